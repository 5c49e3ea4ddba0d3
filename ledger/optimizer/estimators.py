"""The kinds of estimators that an optimizer can use as its surrogate."""

from typing import Any

import skopt.learning
from sklearn.base import clone
from sklearn.multioutput import MultiOutputRegressor

from ledger.optimizer.forest import faster_forest
from ledger.optimizer.gaussian_process import GaussianProcessRegressor

FORESTS = (skopt.learning.RandomForestRegressor, skopt.learning.ExtraTreesRegressor)


def is_refused(estimator: Any) -> bool:
    """Return whether the estimator does not run with this version of scikit-learn."""
    if isinstance(estimator, str):
        return estimator.upper() in ("GBRT", "DUMMY")
    return estimator is None or isinstance(estimator, skopt.learning.GradientBoostingQuantileRegressor)


def is_gp(estimator: Any) -> bool:
    """Return whether the estimator is a Gaussian process, or a Gaussian process for each output."""
    if isinstance(estimator, str):
        return estimator.upper() == "GP"
    return isinstance(getattr(estimator, "estimator", estimator), skopt.learning.GaussianProcessRegressor)


def faster(estimator: Any) -> Any:
    """Return an unfitted estimator with the same settings and faster code, or the estimator itself."""
    if isinstance(estimator, MultiOutputRegressor):
        return clone(estimator).set_params(estimator=faster(estimator.estimator))
    if type(estimator) is skopt.learning.GaussianProcessRegressor:
        return GaussianProcessRegressor(**estimator.get_params(deep=False), hyperprior=True)
    return faster_forest(estimator)


def is_fast(estimator: Any) -> bool:
    """Return whether the optimizer can use its faster code with the estimator."""
    if isinstance(estimator, MultiOutputRegressor):
        return is_fast(estimator.estimator)
    if isinstance(estimator, GaussianProcessRegressor):
        return bool(estimator.is_fast)
    return isinstance(estimator, FORESTS) and bool(estimator.criterion == "squared_error")


def is_forest(estimator: Any) -> bool:
    """Return whether the estimator is a random forest or an extra-trees model."""
    if isinstance(estimator, str):
        return estimator.upper() in ("RF", "ET")
    return isinstance(estimator, FORESTS)
