"""Any content of a file of points, a csv or an export is read whole, or refused in one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.imports.history import gather
from ledger.imports.table import read_rows
from ledger.study.points import read_lines, read_pairs
from ledger.study.space import Space
from ledger.text import one_line
from tests.fuzz import cases, check_line, texts

SPACE = Space.from_toml(
    {
        "C": {"type": "real", "low": 0.001, "high": 1000.0},
        "depth": {"type": "integer", "low": 1, "high": 9},
        "kernel": {"type": "categorical", "choices": ["rbf", "a,b", 2, True]},
    }
)
cells = texts | st.sampled_from(["1", "0.5", "rbf", "2", "3.0", "true", "NaN", "1e999", "", "9" * 400])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def is_a_point(point):
    assert json.dumps(SPACE.normalise(point)) == json.dumps(point)


def check_refusal(error: LedgerError) -> None:
    # as the program shows it
    check_line(one_line(str(error), 1_500))


@cases(100)
@given(st.dictionaries(st.sampled_from(SPACE.names) | texts, cells, max_size=4))
def test_any_pairs_are_a_point_or_refused(given_values):
    try:
        (point,) = read_pairs(SPACE, [f"{name}={text}" for name, text in given_values.items()])
    except UsageError as refused:
        check_refusal(refused)
    else:
        is_a_point(point)


@cases(100)
@given(
    st.binary(max_size=60) | st.lists(values.map(json.dumps), max_size=3).map(lambda lines: "\n".join(lines).encode())
)
def test_any_lines_are_points_or_refused(content):
    try:
        for point in read_lines(SPACE, "points.jsonl", content):
            is_a_point(point)
    except UsageError as refused:
        check_refusal(refused)


@cases(100)
@given(
    header=st.just("C,depth,kernel,loss") | texts | st.lists(cells, max_size=5).map(",".join),
    rows=st.lists(st.lists(cells, max_size=5).map(",".join) | texts, max_size=4),
    raw=st.binary(max_size=10),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_any_csv_is_read_or_refused(header, rows, raw, flags):
    content = "\n".join([header, *rows]).encode() + raw
    try:
        history = gather(
            "old.csv",
            read_rows("old.csv", content, "loss", SPACE, ignore_extra=flags[0]),
            SPACE,
            {},
            skip_unusable=flags[1],
        )
    except UsageError as refused:
        check_refusal(refused)
    else:
        for one in history.finished:
            is_a_point(one.params)


@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", ["bytes", "json", "head"])
def test_any_other_file_is_no_export(kind):
    contents = {
        "bytes": st.binary(max_size=60),
        "json": values.map(lambda value: json.dumps(value).encode()),
        "head": st.dictionaries(
            st.sampled_from(["format", "version", "study", "trials", "iterations", "attempts", "workers"]), values
        ).map(lambda value: json.dumps({"format": "trial-ledger study", "version": 1, **value}).encode()),
    }

    @cases(50)
    @given(contents[kind])
    def check(content):
        with pytest.raises(LedgerError) as refused:
            read("export.json", content)
        check_refusal(refused.value)

    check()
