"""Text of users as one printable line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.text import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two  words", "two  words"),
        (" a \r\n\n b\x85c\u2028d ", "a b c d"),
        ("\x1b[31m\x07\x7f\x9b", r"\x1b[31m\x07\x7f\x9b"),
        ("\u202e\ud800\U000e0001", r"\u202e\ud800\U000e0001"),
        ("größe 🦊", "größe 🦊"),
        ("0123456789" * 3, "0123...789"),
    ],
)
def test_control_characters_are_escaped_and_long_text_is_cut(text, line):
    assert one_line(text, 10 if "..." in line else 200) == line


@given(st.text(st.characters(), max_size=300), st.integers(5, 100))
def test_every_text_becomes_one_printable_line_of_limited_length(text, longest):
    line = one_line(text, longest)
    assert line.isprintable()
    assert len(line) <= longest
