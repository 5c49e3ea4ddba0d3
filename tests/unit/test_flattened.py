"""Names and types of the columns of a flattened view."""

import pytest

from ledger.database.flattened import columns, view_name


def real(name):
    return {"name": name, "type": "real", "low": 0.0, "high": 1.0, "prior": "uniform"}


@pytest.mark.parametrize(
    ("parameters", "metrics", "names"),
    [
        (["C", "gamma"], ["accuracy"], ["C", "gamma", "accuracy"]),
        # the first columns of every view
        (["loss", "state", "Loss"], ["seconds"], ["param_loss", "param_state", "Loss", "metric_seconds"]),
        (["f1", "accuracy"], ["f1"], ["f1", "accuracy", "metric_f1"]),
        (["param_loss", "loss"], [], ["param_loss", "param_loss~2"]),
        (["param_loss", "param_loss~2", "loss"], [], ["param_loss", "param_loss~2", "param_loss~3"]),
        ([], ["b", "", "a"], ["metric_", "a", "b"]),
        (['a"b', "a'b", "a b", "ü", "ctid", "select"], [], ['a"b', "a'b", "a b", "ü", "ctid", "select"]),
        (["x" * 63], ["x" * 63], ["x" * 63, "metric_" + "x" * 47 + "~698e1836"]),
        (["x" * 64], [], ["x" * 54 + "~c1bb4f81"]),
        # cut between characters: 54 bytes would divide the 28th
        (["a" + "é" * 40], [], ["a" + "é" * 26 + "~08846bab"]),
    ],
)
def test_a_column_has_its_own_name_unless_that_is_not_free(parameters, metrics, names):
    result = columns([real(name) for name in parameters], {name: ["number"] for name in metrics})
    assert [column.name for column in result] == names
    assert [column.key for column in result] == [*parameters, *sorted(metrics)]


@pytest.mark.parametrize(
    ("choices", "type_"),
    [
        (["rbf", "poly"], "text"),
        ([1, 2], "bigint"),
        ([0.5, 1], "double precision"),
        ([True, False], "boolean"),
        ([True, 2], "text"),
        (["auto", 2], "text"),
        ([None, 2], "bigint"),
        ([None, 2, 0.5], "double precision"),
        ([None, True], "boolean"),
        ([None, "auto"], "text"),
        ([None], "text"),
        ([[64], [64, 64]], "jsonb"),
        ([None, {"a": 1}, [1]], "jsonb"),
        (["auto", [1]], "text"),
    ],
)
def test_a_category_has_the_common_type_of_its_choices(choices, type_):
    (column,) = columns([{"name": "x", "type": "categorical", "choices": choices}], {})
    assert column.type == type_


@pytest.mark.parametrize(
    ("kinds", "type_"),
    [
        (["number"], "double precision"),
        (["null", "number"], "double precision"),
        (["string"], "text"),
        (["boolean"], "boolean"),
        (["number", "string"], "jsonb"),
        (["array"], "jsonb"),
        (["null"], "jsonb"),
    ],
)
def test_a_metric_has_the_common_type_of_its_values(kinds, type_):
    (column,) = columns([], {"m": kinds})
    assert column.type == type_


def test_the_name_of_a_view_begins_with_that_of_the_study():
    assert view_name("svm-42-341b3e") == "study:svm-42-341b3e"
    assert view_name("x" * 57) == "study:" + "x" * 57
    first, second = (view_name("x" * 99 + end) for end in "ab")
    assert first != second
    assert first.startswith("study:" + "x" * 48 + "~")
    assert len(first) == 63
