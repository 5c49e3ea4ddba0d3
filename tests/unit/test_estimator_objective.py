"""The function `ledger.estimator`: references of classes, the study of an estimator, and refusals."""

import enum
from typing import Any

import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBRegressor

import ledger
from ledger.errors import UsageError

FOREST = {"max_depth": (1, 8)}


class Local:
    pass


@pytest.mark.parametrize(
    ("estimator", "table"),
    [
        ("svm", {"model": "svm"}),
        ("sklearn.svm:SVC", {"estimator": "sklearn.svm:SVC"}),
        (RandomForestRegressor, {"estimator": "sklearn.ensemble:RandomForestRegressor"}),
        (XGBRegressor, {"estimator": "xgboost:XGBRegressor"}),
        (Local, {"estimator": f"{__name__}:Local"}),
        (
            {"scale": StandardScaler, "svc": "sklearn.svm:SVC"},
            {"steps": {"scale": "sklearn.preprocessing:StandardScaler", "svc": "sklearn.svm:SVC"}},
        ),
    ],
)
def test_a_class_gets_its_shortest_public_reference(estimator: Any, table: dict[str, Any]) -> None:
    assert ledger.estimator(estimator, space=FOREST).table == table


def test_only_the_modules_of_users_need_permission() -> None:
    assert ledger.estimator(RandomForestRegressor, space=FOREST).modules == []
    assert ledger.estimator({"scale": StandardScaler, "own": Local}, space=FOREST).modules == [__name__]
    assert ledger.estimator("svm").modules == []


def test_a_study_of_an_estimator_is_that_of_the_study_file() -> None:
    from ledger.study.file import assemble

    objective = {"estimator": "sklearn.ensemble:RandomForestRegressor", "dataset": "diabetes", "params": {"n_jobs": 1}}
    space = {"max_depth": {"type": "integer", "low": 1, "high": 8}}
    of_file = assemble({}, tables={"objective": objective, "space": space})
    of_python = ledger.Study(
        ledger.estimator(RandomForestRegressor, space=FOREST, dataset="diabetes", params={"n_jobs": 1})
    )
    assert of_python.name == of_file.name


def test_the_space_of_an_estimator_may_be_an_argument_of_the_study() -> None:
    forest = ledger.estimator(RandomForestRegressor, dataset="diabetes")
    with_space = ledger.estimator(RandomForestRegressor, space=FOREST, dataset="diabetes")
    assert ledger.Study(forest, space=FOREST).name == ledger.Study(with_space).name
    with pytest.raises(UsageError) as refused:
        ledger.Study(forest)
    assert str(refused.value) == "the objective 'ledger.estimator' has no space: call Study(..., space={...})"


def test_a_built_in_model_has_a_default_space() -> None:
    assert ledger.Study(ledger.estimator("lgbm", dataset="iris")).name.startswith("lgbm-42-")


def inside() -> type:
    class Inside:
        pass

    return Inside


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        ("SVC", {}, "estimator 'SVC' must have the form package.module:Class"),
        (SVC(), {}, '"SVC()" is not an estimator class; pass a class, or a reference such as sklearn.svm:SVC, and'),
        (inside(), {}, "the workers cannot import the class inside.<locals>.Inside of tests.unit.test_estimator_objec"),
        (5, {}, "5 is not an estimator class; pass a class"),
        ("svm", {"datast": "iris"}, "estimator() has no argument 'datast'; did you mean 'dataset'?"),
        ("svm", {"space": {"C": (2.0, 1.0)}}, "ledger.estimator space: C: low 2.0 is not below high 1.0"),
    ],
)
def test_what_is_no_estimator_class_is_refused(estimator: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        ledger.estimator(estimator, **options)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "irsi"}, '[objective] dataset: unknown "irsi"; choose breast_cancer, iris, wine, digits, diab'),
        ({"cv": 1}, "[objective] cv: 1 must be greater than or equal to 2"),
        ({"data": "none.csv", "target_column": "y"}, "[objective] data: none.csv: No such file or directory"),
        ({"params": {"C": enum}}, '[objective] params: the value of "C" is not a JSON value'),
        ({"params": {"d": 3}}, "[objective] params: SVC (model svm) has no hyper-parameter 'd'"),
    ],
)
def test_the_study_checks_the_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        ledger.Study(ledger.estimator("svm", **options))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
