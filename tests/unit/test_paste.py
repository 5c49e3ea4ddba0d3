"""Pasted parameters are read back as exactly the same values."""

import ast
import json
import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from ledger.study.dimensions import LARGEST_INTEGER
from ledger.terminal.paste import as_python, as_toml

# the values that jsonb can store
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-LARGEST_INTEGER, LARGEST_INTEGER),
    st.booleans(),
    TEXT,
)
PARAMS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=5)


def same(pasted, params):
    """Compare values with their types: 1, 1.0 and true are different."""
    return json.dumps(pasted) == json.dumps(params)


@given(PARAMS)
@example({"a b": 'it\'s "so"\n\\', "": "", "é.x": "\x1b[2J\x7f\u202e\U000e0001\t\r\n", '"': 1e-05})
@example({"C": 1e16, "n": 1, "one": 1.0, "minus": -0.0, "flag": True})
def test_parameters_pasted_as_python_or_toml_are_the_same(params):
    python, toml = as_python(params), as_toml(params)
    assert same(ast.literal_eval(python), params)
    assert same(tomllib.loads(toml), params)
    for text in (python, toml):
        assert text.replace("\n", "").isprintable(), "a terminal shows it unchanged"
        assert len(text.splitlines()) <= len(params) + 2
