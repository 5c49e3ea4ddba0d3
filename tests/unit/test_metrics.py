"""Scorers of scikit-learn as a study's metric."""

import warnings

import pytest
from sklearn.metrics import get_scorer_names

from ledger.errors import UsageError
from ledger.objectives import Context, load, metrics
from ledger.objectives.metrics import MetricUse
from ledger.objectives.tabular import digest
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION, TASKS


def test_the_table_names_every_scorer_of_scikit_learn():
    usable = {*metrics.USABLE[CLASSIFICATION], *metrics.USABLE[REGRESSION]}
    assert {*usable, *metrics.NOT_USABLE} == set(get_scorer_names())
    assert not usable & metrics.NOT_USABLE.keys()


def usable(use):
    for metric in sorted(metrics.USABLE[use.task]):
        try:
            metrics.check(metric, use)
        except UsageError:
            continue
        yield metric


@pytest.mark.parametrize(("dataset", "classes"), [("breast_cancer", 2), ("iris", 3)])
@pytest.mark.parametrize(
    ("model", "params"), [("svm", {}), ("lgbm", {"n_estimators": 5}), ("xgb", {"n_estimators": 5})]
)
def test_every_accepted_metric_gives_a_finite_loss(model, params, dataset, classes):
    tried = list(usable(MetricUse(model=model, classes=classes)))
    assert len(tried) > 15
    for metric in tried:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model may be perfect on iris, and a ratio then divides by zero
            result = load({"model": model, "dataset": dataset, "metric": metric}, ())(params, Context("s", 0, 1, 7, 7))
        score = result.metrics[metric]
        assert result.loss == (-score if metric.startswith("neg_") else 1 - score), metric


@pytest.mark.parametrize(
    ("model", "params"), [("svm", {}), ("lgbm", {"n_estimators": 5}), ("xgb", {"n_estimators": 5})]
)
def test_every_metric_of_a_regression_gives_a_finite_loss(model, params):
    objective = {"model": model, "dataset": "diabetes", "task": REGRESSION}
    for metric in usable(MetricUse(REGRESSION, model, lowest=25.0)):
        result = load({**objective, "metric": metric}, ())(params, Context("s", 0, 1, 7, 7))
        score = result.metrics[metric]
        assert result.loss == (-score if metric.startswith("neg_") else 1 - score), metric


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("task", TASKS)
def test_every_accepted_metric_is_computed_with_row_weights(task, classes):
    data = "a,y,w\n" + "".join(
        f"{row},{row % classes + (0.5 if task == REGRESSION else 0)},{row // 3 % 3}\n" for row in range(60)
    )
    content = data.encode()
    entry = {"name": "t.csv", "sha256": digest(content), "target_column": "y", "format": "csv", "weight_column": "w"}
    objective = {"model": "lgbm", "data": entry, "task": task, "cv": 2, "params": {"n_estimators": 3}}
    for metric in usable(MetricUse(task, classes=classes, lowest=0.5, is_weighted=True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = load({**objective, "metric": metric}, (), contents=[content])({}, Context("s", 0, 1, 7, 7))
        assert metric in result.metrics


@pytest.mark.parametrize(
    ("metric", "use", "said"),
    [
        ("accuracy", MetricUse(REGRESSION), '"accuracy" scores a classification, but the task is regression; use r2,'),
        ("neg_max_eror", MetricUse(REGRESSION), "unknown metric \"neg_max_eror\"; did you mean 'neg_max_error'?"),
        ("neg_mean_poisson_deviance", MetricUse(REGRESSION, lowest=-1.5), "needs a target of numbers that are not neg"),
        ("neg_mean_gamma_deviance", MetricUse(REGRESSION, lowest=0.0), "needs a target of positive numbers, but the"),
        ("neg_max_error", MetricUse(REGRESSION, is_weighted=True), 'does not compute "neg_max_error" with row weights'),
        ("roc_auc_ovo", MetricUse(classes=3, is_weighted=True), "with row weights; use balanced_accuracy, f1_macro"),
    ],
)
def test_a_metric_that_does_not_fit_the_task_or_the_weights_is_refused(metric, use, said):
    with pytest.raises(UsageError) as caught:
        metrics.check(metric, use)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "model", "classes", "said"),
    [
        ("roc_acu", "svm", 2, "unknown metric \"roc_acu\"; did you mean 'roc_auc'?"),
        ("roc_auc", "xgb", 3, '"roc_auc" is for two classes, but the data have 3 classes; use roc_auc_ovr'),
        ("f1", "xgb", 3, '"f1" is for two classes, but the data have 3 classes; use f1_macro'),
        (
            "neg_log_loss",
            "svm",
            2,
            '"neg_log_loss" needs the probability of each class, which an svm does not compute',
        ),
        (
            "r2",
            "svm",
            2,
            '"r2" scores a regression, but the task is classification; use roc_auc, f1 or balanced_accuracy, or --task',
        ),
        ("rand_score", "svm", 2, '"rand_score" cannot be used: this metric scores a clustering'),
        ("f1_samples", "svm", 2, '"f1_samples" cannot be used: this metric needs several labels for each row'),
        ("top_k_accuracy", "xgb", 2, '"top_k_accuracy" is always 1 if the data have only two classes; use accuracy'),
        ("positive_likelihood_ratio", "xgb", 2, '"positive_likelihood_ratio" cannot be used: this metric has no'),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_with_the_way_out(metric, model, classes, said):
    with pytest.raises(UsageError) as caught:
        metrics.check(metric, MetricUse(model=model, classes=classes))
    assert str(caught.value).startswith(said)
