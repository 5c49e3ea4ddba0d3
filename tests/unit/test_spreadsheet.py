"""The texts of a csv export for a spreadsheet: no text is run as a formula, and numbers stay numbers."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.export.documents import spreadsheet_text
from tests.fuzz import cases, texts

dangerous = st.text("=+-@\t\r\n;,'\"a1\x1b\uff1d ", max_size=8)


@cases(300)
@given(text=dangerous | texts)
@example(text="=cmd|' /C calc'!A0")
@example(text="\x1b[31m=red")
@example(text="a;=1+1")
@example(text="\n=1+1")
@example(text="\t=1+1")
@example(text="-1+1")
def test_no_text_for_a_spreadsheet_is_a_formula(text):
    cell = spreadsheet_text(text)
    assert cell.replace("\n", "").isprintable()
    file = io.StringIO()
    csv.writer(file).writerow([cell])
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=separator):
            for part in row:
                number = re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", part, re.ASCII)
                assert number or not part.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")), part


@pytest.mark.parametrize("text", ["-1", "+1.5", "-1e-3", "rbf", "", "two words", "a=b", "it's", "two\nlines", "é"])
def test_a_harmless_text_for_a_spreadsheet_is_unchanged(text):
    assert spreadsheet_text(text) == text
