"""Pasted parameters are read back as exactly the same values."""

import ast
import json
import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from ledger.study.grids import LARGEST_INTEGER
from ledger.terminal.paste import as_python, as_toml

# the values that jsonb can store
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-LARGEST_INTEGER, LARGEST_INTEGER),
    st.booleans(),
    TEXT,
)
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)
PARAMS = st.dictionaries(TEXT, NESTED, min_size=1, max_size=5)


def same(pasted, params):
    """Compare values with their types: 1, 1.0 and true are different. TOML has tables after all other values."""
    return json.dumps(pasted, sort_keys=True) == json.dumps(params, sort_keys=True)


@given(PARAMS)
@example({"a b": 'it\'s "so"\n\\', "": "", "é.x": "\x1b[2J\x7f\u202e\U000e0001\t\r\n", '"': 1e-05})
@example({"C": 1e16, "n": 1, "one": 1.0, "minus": -0.0, "flag": True})
def test_parameters_pasted_as_python_or_toml_are_the_same(params):
    python, toml = as_python(params), as_toml(params)
    assert same(ast.literal_eval(python), params)
    assert same(tomllib.loads(toml), params)
    for text in (python, toml):
        assert text.replace("\n", "").isprintable(), "a terminal shows it unchanged"


def test_each_parameter_without_parts_has_a_line():
    params = {"C": 1.5, "flag": True, "kernel": "a\nb"}
    assert len(as_python(params).splitlines()) == len(params) + 2
    assert len(as_toml(params).splitlines()) == len(params)


def test_none_is_pasted_as_python_and_null_is_a_comment_in_toml():
    params = {"depth": None, "layers": (64, (32,)), "nested": {"a": [None]}, "C": 1.0}
    assert repr(ast.literal_eval(as_python(params))) == repr(params)
    toml = as_toml(params)
    assert toml.splitlines()[:2] == [
        "# depth = null (TOML has no null)",
        '# nested = {"a": [null]} (TOML has no null)',
    ]
    assert tomllib.loads(toml) == {"layers": [64, [32]], "C": 1.0}
