"""Which of scikit-learn's scorers a study can use: a table, because whoever names one need not load scikit-learn. The
tests hold it against the library.

The loss is ``-score`` for a scorer whose name begins with "neg_", and ``1 - score`` for every other.
"""

from collections.abc import Callable
from typing import Any

from ledger.errors import UsageError
from ledger.text import nearest, show

DEFAULT = "accuracy"


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# For any number of classes.
_ANY = _names(
    "accuracy balanced_accuracy matthews_corrcoef f1_macro f1_micro f1_weighted jaccard_macro jaccard_micro"
    " jaccard_weighted precision_macro precision_micro precision_weighted recall_macro recall_micro recall_weighted"
)
# For any number of classes, from the probability of each.
_PROBABILITIES = _names(
    "average_precision d2_brier_score d2_log_loss_score neg_brier_score neg_log_loss roc_auc_ovo roc_auc_ovo_weighted"
    " roc_auc_ovr roc_auc_ovr_weighted"
)
# For two classes -> what to use for more.
_TWO_CLASSES = {
    "f1": "f1_macro",
    "jaccard": "jaccard_macro",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "roc_auc": "roc_auc_ovr",
    "neg_negative_likelihood_ratio": "balanced_accuracy",
}
USABLE = frozenset({*_ANY, *_PROBABILITIES, *_TWO_CLASSES, "top_k_accuracy"})
# What scikit-learn names and a study cannot use -> why.
NOT_USABLE = {
    **dict.fromkeys(
        _names(
            "d2_absolute_error_score explained_variance neg_max_error neg_mean_absolute_error"
            " neg_mean_absolute_percentage_error neg_mean_gamma_deviance neg_mean_poisson_deviance"
            " neg_mean_squared_error neg_mean_squared_log_error neg_median_absolute_error neg_root_mean_squared_error"
            " neg_root_mean_squared_log_error r2"
        ),
        "it scores a regression, and the models are classifiers",
    ),
    **dict.fromkeys(
        _names(
            "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score"
            " homogeneity_score mutual_info_score normalized_mutual_info_score rand_score v_measure_score"
        ),
        "it scores a clustering, and the models are classifiers",
    ),
    **dict.fromkeys(
        _names("f1_samples jaccard_samples precision_samples recall_samples"),
        "it scores several labels a row, and here each row has one class",
    ),
    "positive_likelihood_ratio": "it has no upper bound, so no loss follows from it",
}


def check(metric: str, model: str, classes: int | None) -> None:
    """Check that `model` can be scored by `metric`.

    Parameters
    ----------
    metric : str
        A name of ``sklearn.metrics.get_scorer_names()``.
    classes : int or None
        How many the data have; None for unknown.

    Raises
    ------
    UsageError
        One line, with the way out.
    """
    if metric in NOT_USABLE:
        raise UsageError(f"{show(metric)} cannot be used: {NOT_USABLE[metric]}; use {_of_all(classes)}")
    if metric not in USABLE:
        raise UsageError(f"unknown metric {show(metric)}{nearest(metric, sorted(USABLE))}")
    if classes is not None and classes > 2 and metric in _TWO_CLASSES:
        raise UsageError(f"{show(metric)} is for two classes, and the data have {classes}; use {_TWO_CLASSES[metric]}")
    if classes == 2 and metric == "top_k_accuracy":
        raise UsageError(f"{show(metric)} counts the best two classes, and the data have no others; use accuracy")
    if model == "svm" and metric in _PROBABILITIES:
        instead = "roc_auc" if classes == 2 else "balanced_accuracy"
        raise UsageError(
            f"{show(metric)} needs the probability of each class, which an svm does not give; use {instead}, or the"
            " model xgb or lgbm"
        )


def scorer(metric: str) -> Callable[[Any, Any, Any], float]:
    """Return what takes a fitted estimator, features and classes, and returns the score."""
    if metric == DEFAULT:
        return lambda estimator, features, classes: float((estimator.predict(features) == classes).mean())
    from sklearn.metrics import get_scorer  # here, because a manager checks a metric and needs no scikit-learn for it

    score = get_scorer(metric)
    return lambda estimator, features, classes: float(score(estimator, features, classes))


def loss(metric: str, score: float) -> float:
    """Return what is minimised for a score."""
    return -score if metric.startswith("neg_") else 1.0 - score


def _of_all(classes: int | None) -> str:
    return "roc_auc, f1 or balanced_accuracy" if classes == 2 else "balanced_accuracy, f1_macro or roc_auc_ovr"
