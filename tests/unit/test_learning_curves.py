"""The reports of models and estimators in a study that stops trials early, with real trainings."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import ledger
from ledger.errors import LedgerError
from ledger.objectives import Context, datasets, load, value_scale
from ledger.objectives.reporting import receive_reports
from ledger.objectives.splits import Rows, split
from ledger.objectives.training_resource import TrainingResource, resource_of_trial, subset
from ledger.seeds import derive

CONTEXT = Context(study="a-study", trial=0, attempt=1, seed=99, study_seed=7)
ROUNDS = TrainingResource("rounds", 8, (2, 4))
ROWS = TrainingResource("rows", 100, (10, 40))
BREAST_CANCER: dict[str, Any] = {"dataset": "breast_cancer"}
DIGITS: dict[str, Any] = {"dataset": "digits"}
DIABETES: dict[str, Any] = {"dataset": "diabetes", "task": "regression", "metric": "r2"}
FOREST: dict[str, Any] = {"estimator": "sklearn.ensemble:RandomForestClassifier", "dataset": "wine"}
SUBSAMPLED = {"n_estimators": 6, "subsample": 0.5, "colsample_bytree": 0.5}


def train(objective, params, resource, *, last=None, threads=1):
    """Train a trial that the rule stops at the step `last`. Return the reports, and the result or None if stopped."""
    reports: list[tuple[int, float | None]] = []
    with receive_reports(
        CONTEXT,
        value_scale(objective),
        lambda step, loss, _: reports.append((step, loss)),
        lambda: bool(reports) and reports[-1][0] == last,
        resource,
    ):
        try:
            result = load(objective, [], threads=threads)(params, CONTEXT)
        except ledger.TrialPruned:
            return reports, None
    return reports, result


def without_time(result):
    return result.loss, {name: value for name, value in result.metrics.items() if name != "fit_seconds"}


@pytest.mark.parametrize(
    ("model", "data", "params"),
    [
        ("xgb", BREAST_CANCER, SUBSAMPLED),
        ("xgb", {**BREAST_CANCER, "metric": "neg_log_loss"}, SUBSAMPLED),
        ("xgb", {**BREAST_CANCER, "metric": "roc_auc"}, {"n_estimators": 4, "booster": "dart", "rate_drop": 0.5}),
        ("xgb", {**BREAST_CANCER, "metric": "neg_log_loss"}, {"n_estimators": 3, "booster": "gblinear"}),
        ("xgb", {**DIGITS, "metric": "neg_log_loss"}, {"n_estimators": 3, "objective": "multi:softmax"}),
        ("xgb", DIABETES, {"n_estimators": 4, "num_parallel_tree": 3, "subsample": 0.5}),
        ("lgbm", BREAST_CANCER, SUBSAMPLED),
        ("lgbm", {**BREAST_CANCER, "metric": "neg_log_loss"}, SUBSAMPLED),
        (
            "lgbm",
            {**BREAST_CANCER, "metric": "roc_auc"},
            {"n_estimators": 4, "boosting_type": "dart", "drop_rate": 0.9},
        ),
        ("lgbm", {**BREAST_CANCER, "metric": "roc_auc"}, {**SUBSAMPLED, "n_estimators": 8}),
        ("lgbm", {**BREAST_CANCER, "metric": "average_precision"}, {**SUBSAMPLED, "boosting_type": "rf"}),
        ("lgbm", {**BREAST_CANCER, "metric": "roc_auc"}, {"n_estimators": 12, "min_child_samples": 300}),
        ("lgbm", {**DIGITS, "metric": "average_precision"}, {"n_estimators": 3}),
        ("lgbm", {**BREAST_CANCER, "metric": "neg_log_loss"}, {**SUBSAMPLED, "boosting_type": "rf"}),
        ("lgbm", {**DIGITS, "metric": "neg_log_loss"}, {"n_estimators": 3}),
        ("lgbm", DIABETES, {"n_estimators": 4, "linear_tree": True}),
        ("lgbm", DIABETES, {"n_estimators": 4, "objective": "poisson"}),
    ],
)
def test_each_round_has_the_score_of_a_model_with_that_many_rounds(model, data, params):
    objective = {"model": model, **data}
    reports, result = train(objective, params, ROUNDS)
    shorter = [load(objective, [])({**params, "n_estimators": rounds}, CONTEXT) for rounds, _ in reports]
    assert [rounds for rounds, _ in reports] == list(range(1, params["n_estimators"] + 1))
    assert [loss for _, loss in reports] == pytest.approx([each.loss for each in shorter], rel=1e-6)
    assert without_time(result) == without_time(shorter[-1])


@pytest.mark.parametrize("model", ["xgb", "lgbm"])
def test_a_curve_does_not_depend_on_the_number_of_threads(model):
    objective = {"model": model, **DIGITS}
    one, two = (train(objective, SUBSAMPLED, ROUNDS, threads=threads) for threads in (1, 2))
    assert one[0] == two[0]
    assert without_time(one[1]) == without_time(two[1])


@pytest.mark.parametrize("model", ["xgb", "lgbm"])
def test_the_rule_ends_the_training_after_a_round(model):
    reports, result = train({"model": model, **BREAST_CANCER}, SUBSAMPLED, ROUNDS, last=2)
    assert [step for step, _ in reports] == [1, 2]
    assert result is None


@pytest.mark.parametrize(
    ("objective", "params"),
    [
        ({"model": "svm", **BREAST_CANCER}, {"C": 3.0, "gamma": 0.02}),
        ({"model": "svm", **DIABETES}, {"C": 3.0}),
        ({"model": "xgb", **BREAST_CANCER}, SUBSAMPLED),
        ({"model": "lgbm", **BREAST_CANCER}, SUBSAMPLED),
        (FOREST, {"n_estimators": 5}),
        ({"steps": [["scale", "sklearn.preprocessing:StandardScaler"], ["svc", "sklearn.svm:SVC"]], **DIGITS}, {}),
        ({**FOREST, "cv": 3, "repeats": 2}, {"n_estimators": 5}),
    ],
)
def test_the_rungs_train_on_growing_parts_and_the_result_stays(objective, params):
    reports, result = train(objective, params, ROWS)
    assert [step for step, _ in reports] == [10, 40, 100]
    assert reports[-1] == (100, result.loss)
    without, same = train(objective, params, None)
    assert without == []
    assert without_time(result) == without_time(same)
    assert train(objective, params, ROWS, last=40) == (reports[:2], None)


def test_a_rung_has_the_score_of_a_training_on_its_rows():
    reports, _ = train(FOREST, {"n_estimators": 5}, ROWS)
    rows, test = split(datasets.load("wine"), CONTEXT.study_seed)
    for part, loss in reports[:2]:
        used = subset(rows, part, 100, derive(CONTEXT.study_seed, "rows", 0), is_classification=True)
        forest = RandomForestClassifier(n_estimators=5, random_state=CONTEXT.seed).fit(used.features, used.targets)
        assert loss == 1 - forest.score(test.features, test.targets)


def test_the_rungs_of_a_cross_validation_have_the_mean_of_all_folds():
    params = {"n_estimators": 5}
    reports, result = train({**FOREST, "cv": 3}, params, ROWS)
    assert reports[-1][1] == 1 - sum(result.metrics["accuracy_folds"]) / 3
    assert len({loss for _, loss in reports}) > 1


def numbered(count, targets, weights=None):
    """Rows whose only feature is their number."""
    return Rows(np.arange(float(count)).reshape(count, 1), np.asarray(targets), weights)


@pytest.mark.parametrize("is_classification", [False, True])
def test_parts_are_nested_stratified_and_as_large_as_asked(is_classification):
    targets = np.repeat([0, 1, 2], [70, 25, 5])
    rows = numbered(100, targets)
    parts = [subset(rows, part, 100, 7, is_classification=is_classification) for part in (3, 10, 50, 99)]
    numbers = [part.features[:, 0].tolist() for part in parts]
    assert [len(each) for each in numbers] == [3, 10, 50, 99]
    for smaller, larger in pairwise(numbers):
        assert set(smaller) < set(larger)
        assert larger == sorted(larger)
    assert numbers[1] != subset(rows, 10, 100, 8, is_classification=is_classification).features[:, 0].tolist()
    if is_classification:
        assert np.bincount(parts[0].targets).tolist() == [1, 1, 1]
        assert np.abs(np.bincount(parts[2].targets) - [35, 12.5, 2.5]).max() <= 1


def test_the_smallest_part_has_each_class_and_a_weight_in_each_class():
    weights = np.zeros(100)
    weights[[3, 60, 98]] = 1.0
    rows = numbered(100, np.repeat([0, 1, 2], [50, 45, 5]), weights)
    part = subset(rows, 1, 1000, 7, is_classification=True)
    assert part.features[:, 0].tolist() == [3, 60, 98]
    assert part.weights is not None
    assert part.weights.tolist() == [1, 1, 1]
    assert len(subset(numbered(50, np.zeros(50)), 1, 1000, 7, is_classification=False).targets) == 2


def test_a_training_that_fails_on_few_rows_names_the_setting():
    objective = {"estimator": "sklearn.neighbors:KNeighborsClassifier", "dataset": "iris"}
    with pytest.raises(ValueError, match="n_neighbors") as refused:
        train(objective, {"n_neighbors": 20}, ROWS)
    (note,) = refused.value.__notes__
    assert note.startswith("the training used 12 of 120 rows, because the study stops trials early")


@pytest.mark.parametrize("objective", [{"model": "svm"}, FOREST, {"model": "xgb", "cv": 3}])
def test_rounds_that_do_not_exist_are_refused_in_one_line(objective):
    with pytest.raises(LedgerError, match=r'^the resource "rounds" in the table \[stopping\] needs the model xgb'):
        train(objective, {}, ROUNDS)


def test_a_claim_without_a_resource_asks_for_no_reports():
    rule = {"eta": 3, "enforce": False, "audited": False, "rungs": [{"step": 1}]}
    assert resource_of_trial(None) is resource_of_trial(rule) is None
    assert resource_of_trial({**rule, "resource": "rounds", "max_resource": 9}) == TrainingResource("rounds", 9, (1,))
