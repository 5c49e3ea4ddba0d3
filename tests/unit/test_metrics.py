"""Scorers of scikit-learn as a study's metric."""

import warnings

import pytest
from sklearn.metrics import get_scorer_names

from ledger.errors import UsageError
from ledger.objectives import Context, load, metrics


def test_the_table_names_every_scorer_of_scikit_learn():
    assert {*metrics.USABLE, *metrics.NOT_USABLE} == set(get_scorer_names())


def usable(model, classes):
    for metric in sorted(metrics.USABLE):
        try:
            metrics.check(metric, model, classes)
        except UsageError:
            continue
        yield metric


@pytest.mark.parametrize(("dataset", "classes"), [("breast_cancer", 2), ("iris", 3)])
@pytest.mark.parametrize(
    ("model", "params"), [("svm", {}), ("lgbm", {"n_estimators": 5}), ("xgb", {"n_estimators": 5})]
)
def test_every_accepted_metric_gives_a_finite_loss(model, params, dataset, classes):
    tried = list(usable(model, classes))
    assert len(tried) > 15
    for metric in tried:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a model may be perfect on iris, and a ratio then divides by zero
            result = load({"model": model, "dataset": dataset, "metric": metric}, ())(params, Context("s", 0, 1, 7, 7))
        score = result.metrics[metric]
        assert result.loss == (-score if metric.startswith("neg_") else 1 - score), metric


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
            '"r2" cannot be used: this metric scores a regression, but the models are classifiers; use roc_auc',
        ),
        ("rand_score", "svm", 2, '"rand_score" cannot be used: this metric scores a clustering'),
        ("f1_samples", "svm", 2, '"f1_samples" cannot be used: this metric scores several labels of a row'),
        ("top_k_accuracy", "xgb", 2, '"top_k_accuracy" is always 1 if the data have only two classes; use accuracy'),
        ("positive_likelihood_ratio", "xgb", 2, '"positive_likelihood_ratio" cannot be used: this metric has no'),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_with_the_way_out(metric, model, classes, said):
    with pytest.raises(UsageError) as caught:
        metrics.check(metric, model, classes)
    assert str(caught.value).startswith(said)
