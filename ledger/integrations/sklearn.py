"""Functions that train an estimator of scikit-learn step by step, and report a score to the ledger after each step."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from sklearn.base import is_classifier

from ledger.errors import TrialPruned
from ledger.objectives import Context

Estimator = TypeVar("Estimator")


def fit_in_epochs(
    estimator: Estimator, X: Any, y: Any, context: Context, *, epochs: int, score: Callable[[Estimator], float]
) -> float:
    """Train an estimator by `partial_fit`, and report a score after each epoch.

    An epoch is one call of `partial_fit` with all rows. If `context.should_prune` returns True, the function raises
    `ledger.TrialPruned`.

    Parameters
    ----------
    estimator : estimator
        An estimator with the method `partial_fit`, such as `SGDClassifier` or `MLPRegressor`. The function trains this
        estimator.
    X : array of shape (rows, features)
    y : array of shape (rows,)
    context : Context
        The context of the trial.
    epochs : int
        Number of epochs, at least 1.
    score : callable
        Function that receives the estimator, and returns the score of the estimator.

    Returns
    -------
    float
        The score after the last epoch.

    Raises
    ------
    TrialPruned
        The rule of early stopping has stopped the trial.

    Examples
    --------
    >>> import ledger
    >>> from ledger.integrations.sklearn import fit_in_epochs
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import SGDClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> def accuracy(params, context):
    ...     split = train_test_split(*load_iris(return_X_y=True), random_state=context.study_seed)
    ...     X_train, X_test, y_train, y_test = split
    ...     model = SGDClassifier(random_state=context.seed, **params)
    ...     return fit_in_epochs(
    ...         model, X_train, y_train, context, epochs=5, score=lambda fitted: fitted.score(X_test, y_test)
    ...     )
    >>> 0 <= accuracy({"alpha": 0.01}, ledger.Context("s", 0, 1, 7, 42)) <= 1
    True
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: train at least 1 epoch")
    # The method `partial_fit` requires the list of all classes, because a class may be missing from the rows of one
    # call.
    classes = {"classes": np.unique(y)} if is_classifier(estimator) else {}
    train: Any = estimator
    for epoch in range(epochs):
        train.partial_fit(X, y, **classes)
        value = _report(float(score(estimator)), epoch, context)
    return value


def fit_with_warm_start(
    estimator: Estimator,
    X: Any,
    y: Any,
    context: Context,
    *,
    sizes: Sequence[int],
    score: Callable[[Estimator], float],
    parameter: str = "n_estimators",
) -> float:
    """Enlarge an estimator step by step with `warm_start`, and report a score after each step.

    In each step, the estimator keeps its trained parts, and trains only the new parts. For example, a forest keeps its
    trees, and trains only the new trees. The step of a report is the size of the estimator. If `context.should_prune`
    returns True, the function raises `ledger.TrialPruned`.

    Parameters
    ----------
    estimator : estimator
        An estimator with the parameter `warm_start`, such as `RandomForestClassifier` or
        `HistGradientBoostingRegressor`. The function sets `warm_start` to True, and trains this estimator.
    X : array of shape (rows, features)
    y : array of shape (rows,)
    context : Context
        The context of the trial.
    sizes : sequence of int
        The sizes of the estimator, at least one size. Each size is larger than the previous size.
    score : callable
        Function that receives the estimator, and returns the score of the estimator.
    parameter : str
        The name of the parameter for the size of the estimator, such as ``"n_estimators"`` or ``"max_iter"``. With
        `warm_start`, the parameter must be the total size of the estimator after the call of `fit`. In `MLPClassifier`
        and `SGDClassifier`, `max_iter` counts the epochs of one call of `fit`, so use `fit_in_epochs` for these
        estimators.

    Returns
    -------
    float
        The score after the training with the last size.

    Raises
    ------
    TrialPruned
        The rule of early stopping has stopped the trial.

    Examples
    --------
    >>> import ledger
    >>> from ledger.integrations.sklearn import fit_with_warm_start
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> def accuracy(params, context):
    ...     split = train_test_split(*load_iris(return_X_y=True), random_state=context.study_seed)
    ...     X_train, X_test, y_train, y_test = split
    ...     forest = RandomForestClassifier(random_state=context.seed, **params)
    ...     return fit_with_warm_start(
    ...         forest, X_train, y_train, context, sizes=[5, 10, 20], score=lambda fitted: fitted.score(X_test, y_test)
    ...     )
    >>> 0 <= accuracy({"max_depth": 3}, ledger.Context("s", 0, 1, 7, 42)) <= 1
    True
    """
    if not sizes or sizes[0] < 1 or any(later <= earlier for earlier, later in pairwise(sizes)):
        raise ValueError(f"sizes is {sizes!r}: write integers of at least 1, each larger than the previous integer")
    train: Any = estimator
    for size in sizes:
        train.set_params(warm_start=True, **{parameter: size})
        train.fit(X, y)
        value = _report(float(score(estimator)), size, context)
    return value


def _report(value: float, step: int, context: Context) -> float:
    """Report a score, and return it. Raise TrialPruned if the rule of early stopping has stopped the trial."""
    context.report(value, step)
    if context.should_prune():
        raise TrialPruned
    return value
