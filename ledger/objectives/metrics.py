"""The scikit-learn scorers that a study can use as a metric.

If a scorer's name begins with "neg_", the loss is ``-score``. For any other scorer, the loss is ``1 - score``. This
module contains the names of the scorers, because a manager checks the name of a metric without importing scikit-learn.
Tests compare the names in this module with the names in scikit-learn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger.errors import UsageError
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION
from ledger.text import nearest, show, words

DEFAULT = "accuracy"
# The default metric of each task. The method `score` of each regressor in scikit-learn returns R2. The loss 1 - R2 has
# no unit and is 0 for a perfect model. The loss 1 - accuracy also has no unit, and is also 0 for a perfect model. A
# loss that has the target's unit would have a different scale in each study.
DEFAULTS = {CLASSIFICATION: DEFAULT, REGRESSION: "r2"}


# Metrics for any number of classes.
_ANY = words(
    "accuracy balanced_accuracy matthews_corrcoef f1_macro f1_micro f1_weighted jaccard_macro jaccard_micro"
    " jaccard_weighted precision_macro precision_micro precision_weighted recall_macro recall_micro recall_weighted"
)
# Metrics that need the predicted probability of each class. The data may have any number of classes.
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
_REGRESSION = words(
    "d2_absolute_error_score explained_variance neg_max_error neg_mean_absolute_error"
    " neg_mean_absolute_percentage_error neg_mean_gamma_deviance neg_mean_poisson_deviance neg_mean_squared_error"
    " neg_mean_squared_log_error neg_median_absolute_error neg_root_mean_squared_error"
    " neg_root_mean_squared_log_error r2"
)
# The metrics that each task can use.
USABLE = {
    CLASSIFICATION: frozenset({*_ANY, *_PROBABILITIES, *_TWO_CLASSES, "top_k_accuracy"}),
    REGRESSION: _REGRESSION,
}
# The scorers that no study can use. Each key is the name of a scorer, and each value is the reason.
NOT_USABLE = {
    **dict.fromkeys(
        words(
            "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score"
            " homogeneity_score mutual_info_score normalized_mutual_info_score rand_score v_measure_score"
        ),
        "this metric scores a clustering, but the models are classifiers and regressors",
    ),
    **dict.fromkeys(
        words("f1_samples jaccard_samples precision_samples recall_samples"),
        "this metric needs several labels for each row, but the data has one label for each row",
    ),
    "positive_likelihood_ratio": "this metric has no upper bound, so the ledger cannot compute a loss",
}
# The metrics that scikit-learn does not compute with row weights. If the data have more than two classes, the metrics
# in `_WITHOUT_WEIGHTS_OF_MANY` cannot use row weights.
_WITHOUT_WEIGHTS = words("neg_max_error neg_negative_likelihood_ratio")
_WITHOUT_WEIGHTS_OF_MANY = words("roc_auc_ovo roc_auc_ovo_weighted")
# Metrics that are defined only for certain values of the target. The name of each set of metrics states the condition
# that each value of the target must meet.
_NOT_NEGATIVE = words("neg_mean_poisson_deviance neg_mean_squared_log_error neg_root_mean_squared_log_error")
_POSITIVE = words("neg_mean_gamma_deviance")


@dataclass(frozen=True)
class MetricUse:
    """The properties of a study, such as the task and the model, that determine which metrics the study can use.

    Attributes
    ----------
    task : str
        One of `ledger.objectives.tasks.TASKS`.
    model : str or None
        One of `parameters.MODELS`, or None if the estimator is not a built-in model.
    classes : int or None
        Number of classes in the data, or None if the number is unknown or the task is a regression.
    lowest : float or None
        Smallest value of a regression's target, or None if the value is unknown.
    is_weighted : bool
        Whether the rows have weights.
    """

    task: str = CLASSIFICATION
    model: str | None = None
    classes: int | None = None
    lowest: float | None = None
    is_weighted: bool = False


def check_name(metric: str) -> None:
    """Raise a UsageError if the metric suits neither a classification nor a regression."""
    if metric in NOT_USABLE:
        raise UsageError(
            f"{show(metric)} cannot be used: {NOT_USABLE[metric]}; use balanced_accuracy, f1_macro or roc_auc_ovr for a"
            f" classification, or {DEFAULTS[REGRESSION]} for a regression"
        )
    known = frozenset[str]().union(*USABLE.values())
    if metric not in known:
        raise UsageError(f"unknown metric {show(metric)}{nearest(metric, sorted(known))}")


def check(metric: str, use: MetricUse) -> None:
    """Check that a study can use a metric with the study's model and data.

    Parameters
    ----------
    metric : str
        A name in ``sklearn.metrics.get_scorer_names()``.
    use : MetricUse
        The properties of the study.

    Raises
    ------
    UsageError
        The metric is unknown, or the study cannot use the metric. The message is one line and suggests another metric.

    Examples
    --------
    >>> check("r2", MetricUse("regression"))
    >>> check("r2", MetricUse("classification", classes=2))
    Traceback (most recent call last):
    ledger.errors.UsageError: "r2" scores a regression, but the task is classification; use roc_auc, f1 or ...
    """
    check_name(metric)
    if metric not in USABLE[use.task]:
        other = CLASSIFICATION if use.task == REGRESSION else REGRESSION
        raise UsageError(
            f"{show(metric)} scores a {other}, but the task is {use.task}; use {_suggestion(use)}, or --task {other}"
        )
    if use.classes is not None and use.classes > 2 and metric in _TWO_CLASSES:
        raise UsageError(
            f"{show(metric)} is for two classes, but the data have {use.classes} classes; use {_TWO_CLASSES[metric]}"
        )
    if use.classes == 2 and metric == "top_k_accuracy":
        raise UsageError(f"{show(metric)} is always 1 if the data have only two classes; use accuracy")
    if use.model == "svm" and metric in _PROBABILITIES:
        instead = "roc_auc" if use.classes == 2 else "balanced_accuracy"
        raise UsageError(
            f"{show(metric)} needs the probability of each class, which an svm does not compute; use {instead}, or the"
            " model xgb or lgbm"
        )
    of_many = _WITHOUT_WEIGHTS_OF_MANY if use.classes is not None and use.classes > 2 else frozenset[str]()
    if use.is_weighted and metric in _WITHOUT_WEIGHTS | of_many:
        raise UsageError(
            f"scikit-learn does not compute {show(metric)} with row weights; use {_suggestion(use)}, or leave the"
            " weight column out"
        )
    if use.lowest is not None and (
        (metric in _NOT_NEGATIVE and use.lowest < 0) or (metric in _POSITIVE and use.lowest <= 0)
    ):
        allowed = "positive numbers" if metric in _POSITIVE else "numbers that are not negative"
        raise UsageError(
            f"{show(metric)} needs a target of {allowed}, but the smallest value is {show(use.lowest)}; use"
            f" {_suggestion(use)}"
        )


def needs_probabilities(metric: str) -> bool:
    """Return whether a metric needs the predicted probability of each class (the result of the method
    ``predict_proba``).
    """
    return metric in _PROBABILITIES


def needs_each_class(metric: str) -> bool:
    """Return whether a metric needs at least one row of each class."""
    return metric in _PROBABILITIES or metric in _TWO_CLASSES or metric == "top_k_accuracy"


def scorer(metric: str) -> Callable[[Any, Any, Any, Any], float]:
    """Return the metric's score function.

    The score function has four parameters: a fitted estimator, the features, the targets, and the weights of the rows
    (or None).
    """
    if metric == DEFAULT:
        return _accuracy
    from sklearn.metrics import get_scorer  # A manager imports this module without scikit-learn.

    score = get_scorer(metric)
    return lambda estimator, features, targets, weights: float(
        score(estimator, features, targets, **({} if weights is None else {"sample_weight": weights}))
    )


def loss(metric: str, score: float) -> float:
    """Convert a score to the loss that the study minimises.

    Examples
    --------
    >>> loss("accuracy", 0.75), loss("neg_log_loss", -0.5)
    (0.25, 0.5)
    """
    return -score if metric.startswith("neg_") else 1.0 - score


def _accuracy(estimator: Any, features: Any, classes: Any, weights: Any) -> float:
    is_right = estimator.predict(features) == classes
    # If the predictions had the shape (rows, 1), NumPy would compare each prediction with the classes of all rows.
    if getattr(is_right, "shape", None) != classes.shape:
        raise ValueError(f"the estimator must predict one class for each of {len(classes)} rows")
    return float(is_right.mean() if weights is None else (is_right * weights).sum() / weights.sum())


def _suggestion(use: MetricUse) -> str:
    if use.task == REGRESSION:
        return "r2, neg_root_mean_squared_error or neg_mean_absolute_error"
    return "roc_auc, f1 or balanced_accuracy" if use.classes == 2 else "balanced_accuracy, f1_macro or roc_auc_ovr"
