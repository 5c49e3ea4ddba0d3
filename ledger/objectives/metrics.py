"""The scorers of scikit-learn that a study can use as its metric.

If a scorer's name begins with "neg_", the loss is ``-score``. For any other scorer, the loss is ``1 - score``. This
module contains the names of the scorers, because a manager checks the name of a metric without importing scikit-learn.
Tests compare the names in this module with the names in scikit-learn.
"""

from collections.abc import Callable
from typing import Any

from ledger.errors import UsageError
from ledger.text import nearest, show, words

DEFAULT = "accuracy"


# Metrics for any number of classes.
_ANY = words(
    "accuracy balanced_accuracy matthews_corrcoef f1_macro f1_micro f1_weighted jaccard_macro jaccard_micro"
    " jaccard_weighted precision_macro precision_micro precision_weighted recall_macro recall_micro recall_weighted"
)
# Metrics that need the probability of each class, for any number of classes.
_PROBABILITIES = words(
    "average_precision d2_brier_score d2_log_loss_score neg_brier_score neg_log_loss roc_auc_ovo roc_auc_ovo_weighted"
    " roc_auc_ovr roc_auc_ovr_weighted"
)
# Metrics for exactly two classes. Each two-class metric is mapped to a similar metric for more than two classes.
_TWO_CLASSES = {
    "f1": "f1_macro",
    "jaccard": "jaccard_macro",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "roc_auc": "roc_auc_ovr",
    "neg_negative_likelihood_ratio": "balanced_accuracy",
}
USABLE = frozenset({*_ANY, *_PROBABILITIES, *_TWO_CLASSES, "top_k_accuracy"})
# The scorers that a study cannot use, each with the reason.
NOT_USABLE = {
    **dict.fromkeys(
        words(
            "d2_absolute_error_score explained_variance neg_max_error neg_mean_absolute_error"
            " neg_mean_absolute_percentage_error neg_mean_gamma_deviance neg_mean_poisson_deviance"
            " neg_mean_squared_error neg_mean_squared_log_error neg_median_absolute_error neg_root_mean_squared_error"
            " neg_root_mean_squared_log_error r2"
        ),
        "this metric scores a regression, but the models are classifiers",
    ),
    **dict.fromkeys(
        words(
            "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score"
            " homogeneity_score mutual_info_score normalized_mutual_info_score rand_score v_measure_score"
        ),
        "this metric scores a clustering, but the models are classifiers",
    ),
    **dict.fromkeys(
        words("f1_samples jaccard_samples precision_samples recall_samples"),
        "this metric scores several labels of a row, but a row of the data has only one class",
    ),
    "positive_likelihood_ratio": "this metric has no upper bound, so the ledger cannot compute a loss",
}


def check(metric: str, model: str, classes: int | None) -> None:
    """Check that a study can use a metric with the study's model and data.

    Parameters
    ----------
    metric : str
        A name in ``sklearn.metrics.get_scorer_names()``.
    model : str
        One of `parameters.MODELS`.
    classes : int or None
        Number of classes in the data, or None if the number is unknown.

    Raises
    ------
    UsageError
        The metric is unknown, or the study cannot use the metric. The message is one line and suggests another metric.
    """
    if metric in NOT_USABLE:
        raise UsageError(f"{show(metric)} cannot be used: {NOT_USABLE[metric]}; use {_suggestion(classes)}")
    if metric not in USABLE:
        raise UsageError(f"unknown metric {show(metric)}{nearest(metric, sorted(USABLE))}")
    if classes is not None and classes > 2 and metric in _TWO_CLASSES:
        raise UsageError(
            f"{show(metric)} is for two classes, but the data have {classes} classes; use {_TWO_CLASSES[metric]}"
        )
    if classes == 2 and metric == "top_k_accuracy":
        raise UsageError(f"{show(metric)} is always 1 if the data have only two classes; use accuracy")
    if model == "svm" and metric in _PROBABILITIES:
        instead = "roc_auc" if classes == 2 else "balanced_accuracy"
        raise UsageError(
            f"{show(metric)} needs the probability of each class, which an svm does not compute; use {instead}, or the"
            " model xgb or lgbm"
        )


def scorer(metric: str) -> Callable[[Any, Any, Any], float]:
    """Return the metric's score function. The score function takes a fitted estimator, features and classes."""
    if metric == DEFAULT:
        return lambda estimator, features, classes: float((estimator.predict(features) == classes).mean())
    from sklearn.metrics import get_scorer  # A manager imports this module without scikit-learn.

    score = get_scorer(metric)
    return lambda estimator, features, classes: float(score(estimator, features, classes))


def loss(metric: str, score: float) -> float:
    """Convert a score to a loss, which the study minimises.

    Examples
    --------
    >>> loss("accuracy", 0.75), loss("neg_log_loss", -0.5)
    (0.25, 0.5)
    """
    return -score if metric.startswith("neg_") else 1.0 - score


def _suggestion(classes: int | None) -> str:
    return "roc_auc, f1 or balanced_accuracy" if classes == 2 else "balanced_accuracy, f1_macro or roc_auc_ovr"
