"""The default values of early stopping, which depend on what a study trains."""

import json
from typing import Any

import pytest

from ledger.errors import UsageError
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

OWN: dict[str, Any] = {"objective": {"function": "own:loss"}, "space": {"x": {"type": "real", "low": 0.0, "high": 1.0}}}
RATE = {"learning_rate": {"type": "real", "low": 0.01, "high": 0.3}}


def rule(options, **tables):
    return assemble({"rule": "halving", **options}, tables=tables).stopping


def facts(stopping: EarlyStopping):
    return stopping.resource, stopping.min_resource, stopping.max_resource, stopping.rungs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model": "xgb"}, ("rounds", 45, 400, (45, 135))),
        ({"model": "lgbm"}, ("rounds", 45, 400, (45, 135))),
        ({"model": "svm"}, ("rows", 12, 100, (12, 36))),
        ({"model": "xgb", "resource": "rows"}, ("rows", 12, 100, (12, 36))),
        ({"model": "xgb", "resource": "rows", "cv": 3}, ("rows", 12, 100, (12, 36))),
        ({"model": "xgb", "max_resource": 9}, ("rounds", 1, 9, (1, 3))),
        ({"model": "svm", "rule": "median"}, ("rows", 25, 100, (25, 50, 75))),
        ({"model": "xgb", "rule": "median"}, ("rounds", 100, 400, (100, 200, 300))),
    ],
)
def test_a_model_has_a_resource_and_rungs_by_default(options, expected):
    assert facts(rule(options)) == expected


@pytest.mark.parametrize(
    ("objective", "space", "largest"),
    [
        ({"model": "xgb"}, RATE, 100),
        ({"model": "xgb", "params": {"n_estimators": 30}}, RATE, 30),
        ({"model": "lgbm"}, {**RATE, "n_estimators": {"type": "integer", "low": 5, "high": 60}}, 60),
        ({"model": "lgbm"}, {**RATE, "n_estimators": [20, 80, 40]}, 80),
        ({"model": "xgb"}, {**RATE, "n_estimators": {"type": "categorical", "choices": [20, None]}}, 100),
    ],
)
def test_a_whole_training_has_the_largest_number_of_rounds(objective, space, largest):
    assert rule({}, objective=objective, space=space).max_resource == largest


@pytest.mark.parametrize(("eta", "rungs"), [(2, (25, 50)), (3, (12, 36)), (10, (1, 10)), (16, (1, 16))])
def test_halving_has_two_rungs_by_default(eta, rungs):
    assert rule({"model": "svm"}, stopping={"eta": eta}).rungs == rungs


def test_an_estimator_by_name_uses_rows():
    objective = {"estimator": "xgboost:XGBClassifier", "dataset": "iris"}
    assert facts(rule({}, objective=objective, space=RATE)) == ("rows", 12, 100, (12, 36))


def test_given_values_are_kept():
    stopping = {"rule": "median", "resource": "Rows", "min_resource": 10, "max_resource": 50, "audit": 0.0}
    study = assemble({"model": "xgb"}, tables={"stopping": stopping})
    assert study.stopping == EarlyStopping(
        rule="median", resource="rows", min_resource=10, max_resource=50, audit=0.0, eta=3
    )


def test_the_values_are_part_of_the_spec_of_a_model_and_not_of_a_function():
    study = assemble({"model": "xgb", "rule": "halving"})
    assert study.spec()["stopping"] == {
        "rule": "halving",
        "eta": 3,
        "resource": "rounds",
        "min_resource": 45,
        "max_resource": 400,
        "audit": 0.05,
        "enforce": False,
    }
    assert StudySpec.from_spec(study.name, study.budget, json.loads(json.dumps(study.spec()))) == study
    own = assemble({"rule": "halving", "max_resource": 9}, tables=OWN)
    assert "resource" not in own.spec()["stopping"]
    assert own.stopping.rungs == (1, 3)


def test_a_study_without_a_rule_has_the_hash_of_a_study_without_the_table():
    without = assemble({"model": "xgb"}, tables={"stopping": {"resource": "rows", "max_resource": 7}})
    assert without.spec_hash == assemble({"model": "xgb"}).spec_hash


@pytest.mark.parametrize(
    ("options", "tables", "message"),
    [
        ({"model": "svm", "resource": "rounds"}, {}, "^--resource or LEDGER_RESOURCE: only the models xgb and lgbm"),
        ({"model": "xgb", "cv": 3}, {}, r"^\[stopping\] resource: with cv, a trial trains one fold after the other"),
        (
            {},
            {"objective": {"model": "xgb", "params": {"n_estimators": 200_000}}, "space": RATE},
            r"^\[stopping\] resource: n_estimators is up to 200,000, but a trial can report at most 100,000 rounds",
        ),
        ({"resource": "rows"}, OWN, "the resource rows is for a model or an estimator, but your own objective"),
        ({}, OWN, r"^\[stopping\]: max_resource is missing; rule halving needs the number of steps"),
        ({"resource": "epochs"}, {}, '^--resource or LEDGER_RESOURCE: unknown "epochs"; choose rounds, rows'),
        ({"max_resource": 1}, {}, "min_resource 1 is not below max_resource 1"),
    ],
)
def test_a_resource_that_the_objective_does_not_have_is_refused(options, tables, message):
    with pytest.raises(UsageError, match=message) as refused:
        rule(options, **tables)
    assert "\n" not in str(refused.value)
