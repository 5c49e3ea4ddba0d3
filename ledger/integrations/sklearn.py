"""A function that trains an estimator by scikit-learn's method `partial_fit`, and reports a score to the ledger."""

from collections.abc import Callable
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
        value = float(score(estimator))
        context.report(value, epoch)
        if context.should_prune():
            raise TrialPruned
    return value
