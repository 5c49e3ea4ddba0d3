"""A malformed objective of a study is refused in one line, before any model is loaded."""

import pytest

from ledger.errors import LedgerError
from ledger.objectives import load
from ledger.objectives.form import dataset_reference

DATA = {"name": "a.csv", "sha256": "0" * 64, "target_column": "y", "format": "csv", "rows": 2}


@pytest.mark.parametrize(
    "objective",
    [
        {"model": 5},
        {"model": [1]},
        {"model": None},
        {"model": "svm", "dataset": [1]},
        {"model": "svm", "dataset": None},
        {"model": "svm", "metric": [1]},
        {"model": "svm", "metric": {}},
        {"model": "svm", "cv": "3"},
        {"model": "svm", "cv": True},
        {"model": "svm", "cv": 1},
        {"model": "svm", "cv": 10**30},
        {"model": "svm", "cv": 2.5},
        {"model": "svm", "data": DATA, "dataset": "iris"},
        {"function": [1]},
        {"function": None},
        {"function": "a\nb:c"},
        {"function": "mine:loss", "data": DATA},
        {"model": "svm", "x" * 100_000: 1},
        {},
    ],
)
def test_an_objective_of_another_form_is_refused_in_one_line(objective):
    with pytest.raises(LedgerError) as refused:
        load(objective, ["mine"])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize(
    "data",
    [
        *(5, {}, "abc", [1], True, None),
        {"sha256": None, "name": None},
        {"sha256": 5, "name": 7},
        *({**DATA, key: value} for key in ("name", "sha256", "target_column", "format") for value in (None, 5, ["x"])),
        {**DATA, "sha256": "0" * 63},
        {**DATA, "sha256": "0" * 64 + "\n"},
        {**DATA, "format": "xlsx"},
        {"x" * 100_000: 1},
    ],
)
def test_a_malformed_name_of_a_dataset_is_refused_in_one_line(data):
    for refuse in (dataset_reference, lambda objective: load(objective, ())):
        with pytest.raises(LedgerError, match="the study's objective is malformed") as refused:
            refuse({"model": "svm", "data": data})
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("objective", [5, None, [], "svm", True])
def test_an_objective_that_is_no_object_is_refused(objective):
    with pytest.raises(LedgerError, match="the study's objective is malformed"):
        dataset_reference(objective)
