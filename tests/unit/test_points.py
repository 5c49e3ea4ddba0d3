"""Points as people write them: typed by the space, or refused in one line with the value and what is allowed."""

import json

import pytest

from ledger.errors import UsageError
from ledger.study.points import read_lines, read_pairs
from ledger.study.space import Space

SPACE = Space.from_toml(
    {
        "C": {"type": "real", "low": 0.001, "high": 1000.0, "prior": "log-uniform"},
        "depth": {"type": "integer", "low": 1, "high": 9},
        "kernel": {"type": "categorical", "choices": ["rbf", "sigmoid", 2, 0.5, True]},
    }
)


@pytest.mark.parametrize(
    ("texts", "point"),
    [
        (["C=1", "depth=3", "kernel=rbf"], {"C": 1.0, "depth": 3, "kernel": "rbf"}),
        (["kernel=2", "depth=3.0", "C=1e-3"], {"C": 0.001, "depth": 3, "kernel": 2}),
        (["C= 10 ", "depth=9", "kernel=0.5"], {"C": 10.0, "depth": 9, "kernel": 0.5}),
        (["C=10", "depth=9", "kernel=True"], {"C": 10.0, "depth": 9, "kernel": True}),
    ],
)
def test_values_are_typed_by_the_space_and_stand_in_its_order(texts, point):
    (read,) = read_pairs(SPACE, texts)
    assert json.dumps(read) == json.dumps(point)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("C=5000", "parameter 'C': 5000.0 is not in [0.001, 1000.0]"),
        ("C=nan", "parameter 'C': NaN is not in [0.001, 1000.0]"),
        ("C=-inf", "parameter 'C': -Infinity is not in [0.001, 1000.0]"),
        ("C=much", "parameter 'C': \"much\" is not a number in [0.001, 1000.0]"),
        ("C=1_0", "parameter 'C': \"1_0\" is not a number in [0.001, 1000.0]"),
        ("C=", "parameter 'C': \"\" is not a number in [0.001, 1000.0]"),
        ("depth=10", "parameter 'depth': 10 is not in [1, 9]"),
        ("depth=2.5", "parameter 'depth': 2.5 is not an integer in [1, 9]"),
        ("depth=1e400", "parameter 'depth': Infinity is not an integer in [1, 9]"),
        ("depth=" + "9" * 500, "is not an integer in [1, 9]"),
        ("kernel=poly", 'parameter \'kernel\': "poly" is not one of "rbf", "sigmoid", 2, 0.5, true'),
        ("kernel=1", "parameter 'kernel': \"1\" is not one of"),
        ("kernel=[", "parameter 'kernel': \"[\" is not one of"),
        ("dept=3", "the space has no parameter 'dept'; did you mean 'depth'?"),
        ("C", '"C" does not have the form PARAMETER=VALUE; write a pair such as C=1.0'),
    ],
)
def test_what_is_wrong_with_a_value_is_one_line_with_what_is_allowed(change, said):
    name = change.partition("=")[0]
    given = {"C": "C=1", "depth": "depth=3", "kernel": "kernel=rbf", name: change}
    with pytest.raises(UsageError) as refused:
        read_pairs(SPACE, given.values())
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_parameter_that_is_missing_or_given_twice_is_named():
    with pytest.raises(UsageError, match="parameter 'kernel' of the space is missing; add a value for this parameter"):
        read_pairs(SPACE, ["C=1", "depth=3"])
    with pytest.raises(UsageError, match='parameter \'C\' has two values, "1" and "2"; remove one of them'):
        read_pairs(SPACE, ["C=1", "C=2"])


def test_several_points_stand_a_line_each():
    lines = b'\xef\xbb\xbf{"C": 1, "depth": 2.0, "kernel": "rbf"}\r\n\n{"kernel": true, "depth": 2, "C": 2.5}\n'
    assert read_lines(SPACE, "points.jsonl", lines) == [
        {"C": 1.0, "depth": 2, "kernel": "rbf"},
        {"C": 2.5, "depth": 2, "kernel": True},
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            b'{"C": 1, "depth": 2, "kernel": "rbf"}',
            "p:2: the point is the same as in line 1; remove one of the two lines",
        ),
        (b'{"C": NaN, "depth": 2, "kernel": "rbf"}', "p:2: parameter 'C': NaN is not in [0.001, 1000.0]"),
        (b'{"C": "1", "depth": 2, "kernel": "rbf"}', "p:2: parameter 'C': \"1\" is not a number"),
        (b'{"C": 1, "depth": 2}', "p:2: parameter 'kernel' of the space is missing"),
        (b"[1, 2]", "p:2: [1, 2] is not a JSON object with a value for each parameter"),
        (b'{"C": 1', "p:2: not JSON"),
        (b"[" * 100_000, "p:2: not JSON"),
        (b'{"C": "\xff"}', "p: not UTF-8 at byte 45; save the file as UTF-8"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_its_place(line, said):
    with pytest.raises(UsageError) as refused:
        read_lines(SPACE, "p", b'{"C": 1, "depth": 2, "kernel": "rbf"}\n' + line)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_without_points_is_refused():
    with pytest.raises(UsageError, match="^p: the file has no points"):
        read_lines(SPACE, "p", b"\n \n")
