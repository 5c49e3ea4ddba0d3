"""The function `ledger.estimator`, which creates an objective from an estimator and a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ledger.errors import UsageError
from ledger.keywords import known_keywords
from ledger.objectives import MODELS, estimators
from ledger.study.arguments import AnySpace
from ledger.study.callables import contains
from ledger.study.conversion import from_any
from ledger.study.space import Space
from ledger.text import show


@dataclass(frozen=True)
class EstimatorObjective:
    """The settings of an objective that trains an estimator. The function `ledger.estimator` returns the settings.

    The worker that trains the estimator creates a `FittingObjective` from these settings.

    Attributes
    ----------
    table : dict
        The settings of the objective. The keys of the dict are the keys of the table [objective] in a study file.
    ledger_space : Space or None
        The search space. If `ledger_space` is None, the study uses the argument `space` of `ledger.Study`, or the
        default space of a built-in model.

    Examples
    --------
    >>> import ledger
    >>> ledger.estimator("svm", dataset="iris").table
    {'model': 'svm', 'dataset': 'iris'}
    """

    table: dict[str, Any]
    ledger_space: Space | None

    @property
    def modules(self) -> list[str]:
        """The names of the estimator modules that a worker may import only with the user's permission."""
        steps = self.table.get("steps", {"": self.table["estimator"]} if "estimator" in self.table else {})
        return [module for module in estimators.modules(list(steps.items())) if not estimators.is_known(module)]


@known_keywords
def estimator(
    estimator: str | type | Mapping[str, str | type],
    *,
    space: AnySpace | None = None,
    params: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    data: str | None = None,
    target_column: str | None = None,
    holdout: str | None = None,
    task: Literal["classification", "regression"] | None = None,
    metric: str | None = None,
    cv: int | None = None,
    repeats: int | None = None,
    group_column: str | None = None,
    time_column: str | None = None,
    weight_column: str | None = None,
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
) -> EstimatorObjective:
    """Create an objective for a `ledger.Study` from a dataset and an estimator that is compatible with scikit-learn.

    In the table [objective] of a study file, each key has the same meaning as the argument with the same name.

    Parameters
    ----------
    estimator : str, class or mapping
        The estimator. A string is the name of a built-in model ("svm", "xgb" or "lgbm"), or a reference to a class,
        such as "sklearn.ensemble:RandomForestClassifier". A mapping describes a pipeline. Each key of the mapping is
        the name of a step, and each value is a class or a reference to a class.
    space : mapping, sequence or Space, optional
        The search space. `ledger.space.from_any` describes the allowed spaces. In a pipeline, the parameter C of the
        step "svc" has the name "svc__C". A built-in model has a default space.
    params : mapping, optional
        Parameters of the estimator that have the same value in all trials.
    dataset : str, optional
        A dataset of scikit-learn: "breast_cancer" (the default), "iris", "wine", "digits" or "diabetes".
    data : str, optional
        The path of a data file in the format CSV or Parquet. If `data` is not None, the study uses the data file
        instead of `dataset`.
    target_column : str, optional
        The name of the column of `data` that the estimator predicts.
    holdout : str, optional
        The path of a file with the same columns as `data`. A trial trains the estimator on all rows of `data`, and
        computes the score on the rows of `holdout`.
    task : {"classification", "regression"}, optional
        The task. By default, the ledger derives the task from the values in the target column.
    metric : str, optional
        The name of a scorer of scikit-learn. The default is "accuracy" for a classification, and "r2" for a regression.
    cv : int, optional
        Number of folds of a cross-validation, 2 to 48. By default, a trial trains the estimator on four fifths of the
        rows, and computes the score on the remaining rows.
    repeats : int, optional
        The number of cross-validations, from 2 to 100. Each cross-validation has different random folds.
    group_column : str, optional
        The name of the column that contains the group of each row. A split never separates the rows of a group.
    time_column : str, optional
        The name of the column that contains the time of each row. A trial computes the score on the latest rows.
    weight_column : str, optional
        The name of the column that contains the weight of each row. A row with the weight 2 has the same effect as two
        equal rows.
    class_weights : mapping or "balanced", optional
        The weight of each class during the training. With "balanced", the weight of a class is inversely proportional
        to the number of rows of the class.

    Returns
    -------
    EstimatorObjective
        The objective. The user passes the objective to `ledger.Study`.

    Raises
    ------
    UsageError
        An argument is unknown, the ledger cannot import the estimator class by its name, or the search space is not
        valid. `ledger.Study` checks all arguments of `ledger.estimator` except `estimator` and `space`.

    See Also
    --------
    ledger.objective : The decorator that makes an objective from a Python function.

    Examples
    --------
    >>> import ledger
    >>> from sklearn.ensemble import GradientBoostingRegressor
    >>> boosting = ledger.estimator(
    ...     GradientBoostingRegressor,
    ...     space={"learning_rate": (0.01, 0.3, "log-uniform"), "max_depth": (1, 4)},
    ...     params={"n_estimators": 20},
    ...     dataset="diabetes",
    ... )
    >>> boosting.table["estimator"]
    'sklearn.ensemble:GradientBoostingRegressor'
    >>> ledger.Study(boosting, name="boosting", trials=4).name
    'boosting'

    A pipeline has named steps:

    >>> steps = {"scale": "sklearn.preprocessing:StandardScaler", "svc": "sklearn.svm:SVC"}
    >>> pipeline = ledger.estimator(steps, space={"svc__C": (0.1, 100.0, "log-uniform")}, dataset="wine", cv=5)
    >>> ledger.Study(pipeline, trials=4).name
    'SVC-42-...'
    """
    given = {
        "params": params and dict(params),
        "dataset": dataset,
        "data": data and str(data),
        "target_column": target_column,
        "holdout": holdout and str(holdout),
        "task": task,
        "metric": metric,
        "cv": cv,
        "repeats": repeats,
        "group_column": group_column,
        "time_column": time_column,
        "weight_column": weight_column,
        "class_weights": dict(class_weights) if isinstance(class_weights, Mapping) else class_weights,
    }
    table: dict[str, Any]
    if isinstance(estimator, Mapping):
        table = {"steps": {name: _reference(step) for name, step in estimator.items()}}
    elif estimator in MODELS:
        table = {"model": estimator}
    else:
        table = {"estimator": _reference(estimator)}
    table |= {key: value for key, value in given.items() if value is not None}
    return EstimatorObjective(table, None if space is None else from_any(space, "ledger.estimator space:"))


def _reference(estimator: object) -> str:
    """Return the reference of an estimator class, such as "sklearn.svm:SVC", with the shortest possible module name."""
    if isinstance(estimator, str):
        estimators.check_reference(estimator)
        return estimator
    if not isinstance(estimator, type):
        raise UsageError(
            f"{show(estimator)} is not an estimator class; pass a class, or a reference such as sklearn.svm:SVC, and"
            " pass the parameters in params"
        )
    kind: type = estimator
    parts = kind.__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if contains(module, kind.__name__, kind):
            return f"{module}:{kind.__name__}"
    raise UsageError(
        f"the workers cannot import the class {kind.__qualname__} of {kind.__module__}; move the class to the"
        " top level of a module"
    )
