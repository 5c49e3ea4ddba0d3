"""Types of the arguments that specify a study's search space, optimizer and limits."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict

from ledger.study.space import Space

Mode: TypeAlias = Literal["batch", "steady"]
BaseEstimator: TypeAlias = Literal["GP", "RF", "ET"]
AcquisitionFunction: TypeAlias = Literal["EI", "LCB", "PI", "MES", "EIps", "PIps"]
Prior: TypeAlias = Literal["uniform", "log-uniform"]


class RealDimension(TypedDict):
    """A dict that defines a dimension whose values are real numbers in [low, high].

    If the dict has the key `step`, the values are `low`, `low + step` and so on. If the dict has the key `powers_of`,
    the values are powers of the integer that this key contains. The study tries the value of the key `default` first.
    """

    type: Literal["real"]
    low: float
    high: float
    prior: NotRequired[Prior]
    step: NotRequired[float]
    powers_of: NotRequired[int]
    default: NotRequired[float]


class IntegerDimension(TypedDict):
    """A dict that defines a dimension whose values are integers in [low, high].

    If the dict has the key `step`, the values are `low`, `low + step` and so on. If the dict has the key `powers_of`,
    the values are powers of the integer that this key contains. The study tries the value of the key `default` first.
    """

    type: Literal["integer"]
    low: int
    high: int
    prior: NotRequired[Prior]
    step: NotRequired[int]
    powers_of: NotRequired[int]
    default: NotRequired[int]


class CategoricalDimension(TypedDict):
    """A dict that defines a dimension whose values are the given choices.

    If `ordered` is true, the choices are in ascending or descending order. If `tuples` is true and a choice is a list,
    a worker converts the list into a tuple, and passes the tuple to the objective. The study tries the choice `default`
    first.
    """

    type: Literal["categorical"]
    choices: list[Any]
    ordered: NotRequired[bool]
    tuples: NotRequired[bool]
    default: NotRequired[Any]


class ScipyDistribution(Protocol):
    """A protocol for the frozen distributions of scipy.stats. A search space can contain an object of this type."""

    def support(self) -> Any: ...
    def rvs(self, *args: Any, **kwargs: Any) -> Any: ...


class OptunaDistribution(Protocol):
    """A protocol for the distributions of optuna.distributions. A search space can contain an object of this type."""

    def single(self) -> bool: ...
    def to_external_repr(self, param_value_in_internal_repr: float) -> Any: ...


class ConfigSpaceHyperparameter(Protocol):
    """A protocol for the hyper-parameters of ConfigSpace. A search space can contain an object of this type."""

    @property
    def name(self) -> str: ...
    def legal_value(self, value: Any) -> Any: ...


class SkoptDimension(Protocol):
    """A protocol for the dimensions of skopt.space. A search space can contain an object of this type."""

    @property
    def transformed_size(self) -> Any: ...
    def rvs(self, n_samples: int = 1, random_state: Any = None) -> Any: ...


# A list of choices has the type `list[Any]`. With the type `list[str | bool | int | float]`, a type checker would not
# accept a `list[str]`.
Dimension: TypeAlias = (
    tuple[float, float]
    | tuple[float, float, Prior]
    | range
    | list[Any]
    | str
    | float
    | RealDimension
    | IntegerDimension
    | CategoricalDimension
    | ScipyDistribution
    | OptunaDistribution
    | ConfigSpaceHyperparameter
    | SkoptDimension
    | None
)
SearchSpace: TypeAlias = Mapping[str, Dimension]
"""The type of a search space. A search space maps the name of each parameter to the parameter's dimension.

`ledger.objective`, `ledger.Study` and `ledger.space.from_any` accept a value of this type.

If a variable contains a search space, annotate the variable with this type, because type checkers do not infer the
type.

Examples
--------
>>> import ledger
>>> space: ledger.SearchSpace = {"x": (-5.0, 5.0), "kind": ["a", None], "C": (1e-3, 1e3, "log-uniform"), "n": 3}
"""
AnySpace: TypeAlias = SearchSpace | Sequence[SkoptDimension | ConfigSpaceHyperparameter] | Space
"""The type of the argument of `ledger.space.from_any`."""


class StudyOptions(TypedDict, total=False):
    """The arguments of `ledger.Study` that are also arguments of `ledger.minimize` and `ledger.maximize`."""

    name: str | None
    iterations: int | None
    trials: int | None
    timeout: float | None
    target: float | None
    patience: int | None
    batch_size: int
    seed: int
    mode: Mode
    optimizer: "OptimizerOptions | None"
    stopping: "StoppingOptions | None"
    limits: "LimitOptions | None"
    record_source: bool
    keep_models: Literal["none", "best"]
    database: str | None


class OptimizerOptions(TypedDict, total=False):
    """Options of the optimizer that proposes a study's trials.

    The dict has the same keys as the [optimizer] table of a study file.

    Attributes
    ----------
    base_estimator : {"GP", "RF", "ET"}
        The surrogate, which is a Gaussian process (the default), a random forest, or extra trees.
    acq_func : {"EI", "LCB", "PI", "MES", "EIps", "PIps"}
        The acquisition function. The default is "EI", the expected improvement.
    kappa : float
        The weight of the standard deviation in "LCB", at least 0.
    xi : float
        The minimum improvement on the best loss. "EI" and "PI" ignore an improvement that is smaller than `xi`. `xi` is
        a share of the range of the observed losses, and is at least 0. The default is 0.

    Examples
    --------
    >>> import ledger
    >>> options: ledger.OptimizerOptions = {"base_estimator": "RF", "acq_func": "LCB", "kappa": 1.5}
    """

    base_estimator: BaseEstimator
    acq_func: AcquisitionFunction
    kappa: float
    xi: float


class StoppingOptions(TypedDict, total=False):
    """The rule that stops trials early. The rule compares the values that the trials report.

    The dict has the same keys as the [stopping] table of a study file.

    Attributes
    ----------
    rule : {"none", "halving", "promotion", "median"}
        "halving" lets the best 1/eta of the trials go on at each rung. In batch mode, "promotion" pauses the trials of
        an iteration at each rung, and then lets the best 1/eta of the trials go on. In steady mode, "promotion" lets a
        trial go on if the trial is among the best 1/eta of all trials that have reached the rung. The other trials
        pause, and can go on later. At each rung, "median" lets a trial go on if the trial is better than the median.
        The default is "none", which stops no trial.
    eta : int
        An integer from 2 to 16. "halving" and "promotion" let the best 1/`eta` of the trials go on. A rung of "halving"
        stops no trial before `eta` other trials have reached the rung. The default is 3.
    resource : {"rounds", "rows"}
        The unit of the steps of a built-in model or an estimator: boosting rounds, or training rows. The default is
        "rounds" for "xgb" and "lgbm", and "rows" for each other model and estimator.
    min_resource : int
        The step of the first rung, at least 1. With "halving" and "promotion", each later rung is `eta` times as high
        as the previous rung. The rungs of "median" are the multiples of `min_resource`. The default is 1 for a function
        or a program. For a model or an estimator, the default is `max_resource` / 4 for "median", and `max_resource` /
        `eta`² for the other rules.
    max_resource : int
        The number of steps of a whole training. All rungs are below this step. For a model or an estimator, the default
        is the largest number of rounds, or 100 (percent of the rows).
    brackets : int
        The number of brackets of "promotion" in batch mode. The number of brackets cannot exceed the number of rungs.
        The trials of the iteration ``i`` skip the first ``i % brackets`` rungs. The default is 1.
    group_size : int
        The number of trials in each group of an iteration, for "halving" in batch mode. A rung also compares a trial
        with the trials of the earlier groups of the same iteration. By default, a rung compares a trial only with the
        trials of earlier iterations.
    audit : float
        The share of the trials that the rule never stops, from 0 to 1. The default is 0.05.
    enforce : bool
        Whether the worker ends the training if the objective reports a value after the rule has stopped the trial. The
        default is false.

    Examples
    --------
    >>> import ledger
    >>> stopping: ledger.StoppingOptions = {"rule": "halving", "eta": 3, "max_resource": 81}
    """

    rule: Literal["none", "halving", "promotion", "median"]
    eta: int
    resource: Literal["rounds", "rows"]
    min_resource: int
    max_resource: int
    brackets: int
    group_size: int
    audit: float
    enforce: bool


class LimitOptions(TypedDict, total=False):
    """Limits of a study's trials, such as the time limit of an attempt.

    The dict has the same keys as the [limits] table of a study file.

    Attributes
    ----------
    max_failures : int
        The number of failed attempts after which a trial fails, from 1 to 1,000. An attempt fails if the objective
        raises an exception, or exceeds the time limit `trial_timeout`. The default is 1.
    max_crashes : int
        The number of crashed attempts after which a trial fails, from 1 to 1,000. An attempt crashes if the process of
        the objective ends before the objective returns, or if the memory is not sufficient. The default is 3.
    max_lost : int
        The number of lost attempts after which a trial fails, from 1 to 100,000. The default is 20.
    lease : float
        The number of seconds for which a claim is valid without a heartbeat, from 0.01 to 86,400. The default is 30.
    heartbeat : float
        The number of seconds between two heartbeats of a worker, from 0.01 to 86,400 and less than `lease`. The default
        is 10.
    trial_timeout : float or None
        The time limit for the training of one attempt, in seconds, from 0.01 to 31,536,000. If an attempt exceeds the
        time limit, the worker ends the attempt, and the attempt fails. The default is None, which means no limit.
    keep_artifacts : int, "best", "all" or None
        The number of trials that keep their artifacts, from 1 to 1,000,000. Among the trials with artifacts, only the
        best trials keep their artifacts. The manager removes the artifacts of the other ended trials. "best" means 1.
        The default is None, which means "all".

    Examples
    --------
    >>> import ledger
    >>> limits: ledger.LimitOptions = {"trial_timeout": 60.0, "max_failures": 2}
    """

    max_failures: int
    max_crashes: int
    max_lost: int
    lease: float
    heartbeat: float
    trial_timeout: float | None
    keep_artifacts: int | Literal["best", "all"] | None
