"""Types of what a caller gives to make a study: its space, its optimizer's options and its limits."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Mode: TypeAlias = Literal["batch", "steady"]
BaseEstimator: TypeAlias = Literal["GP", "RF", "ET"]
AcquisitionFunction: TypeAlias = Literal["EI", "LCB", "PI", "MES", "EIps", "PIps"]
Prior: TypeAlias = Literal["uniform", "log-uniform"]


class RealDimension(TypedDict):
    """A real parameter, in [low, high]."""

    type: Literal["real"]
    low: float
    high: float
    prior: NotRequired[Prior]


class IntegerDimension(TypedDict):
    """An integer parameter, in [low, high]."""

    type: Literal["integer"]
    low: int
    high: int
    prior: NotRequired[Prior]


class CategoricalDimension(TypedDict):
    """A categorical parameter, one of `choices`."""

    type: Literal["categorical"]
    choices: list[Any]


# list is invariant: a list of str would not be one of str, bool, int or float
Dimension: TypeAlias = (
    tuple[float, float]
    | tuple[float, float, Prior]
    | list[Any]
    | RealDimension
    | IntegerDimension
    | CategoricalDimension
)
SearchSpace: TypeAlias = Mapping[str, Dimension]
"""The type of a search space, as `ledger.objective` takes it: each parameter's name with its dimension.

For type checkers, a variable that holds a space needs this annotation.

Examples
--------
>>> import ledger
>>> space: ledger.SearchSpace = {"x": (-5.0, 5.0), "kind": ["a", "b"], "C": (1e-3, 1e3, "log-uniform")}
"""


class OptimizerOptions(TypedDict, total=False):
    """Options of the optimizer that proposes a study's trials, as in the [optimizer] table of a study file.

    Attributes
    ----------
    base_estimator : {"GP", "RF", "ET"}
        The surrogate: a Gaussian process (default), a random forest, or extra trees.
    acq_func : {"EI", "LCB", "PI", "MES", "EIps", "PIps"}
        The acquisition function. Default: "EI", the expected improvement.
    kappa : float
        Weight of the standard deviation in "LCB", 0 or more.
    xi : float
        Improvement that "EI" and "PI" ask for, 0 or more, in units of the range of the losses seen. Default: 0.

    Examples
    --------
    >>> import ledger
    >>> options: ledger.OptimizerOptions = {"base_estimator": "RF", "acq_func": "LCB", "kappa": 1.5}
    """

    base_estimator: BaseEstimator
    acq_func: AcquisitionFunction
    kappa: float
    xi: float


class LimitOptions(TypedDict, total=False):
    """Limits of a study's trials, as in the [limits] table of a study file.

    Attributes
    ----------
    max_failures : int
        Failed attempts after which a trial fails, 1 to 1,000. Default: 3.
    max_lost : int
        Lost attempts after which a trial fails, 1 to 100,000. Default: 20.
    lease : float
        Seconds for which a claim is valid without a heartbeat, 0.01 to 86,400. Default: 30.
    heartbeat : float
        Seconds between two heartbeats of a worker, 0.01 to 86,400 and less than `lease`. Default: 10.
    trial_timeout : float or None
        Seconds of training after which an attempt is ended as a failure, 0.01 to 31,536,000. Default: None, no limit.

    Examples
    --------
    >>> import ledger
    >>> limits: ledger.LimitOptions = {"trial_timeout": 60.0, "max_failures": 1}
    """

    max_failures: int
    max_lost: int
    lease: float
    heartbeat: float
    trial_timeout: float | None
