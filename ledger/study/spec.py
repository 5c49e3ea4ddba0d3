"""The specification of a study, with all settings of the study.

The module validates, hashes and compares specifications.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from ledger.errors import LedgerError, UsageError, first_fault
from ledger.objectives import (
    DATASETS,
    DIRECTIONS,
    MODELS,
    Direction,
    ValueScale,
    check_reference,
    metrics,
    value_scale,
)
from ledger.objectives.command_template import PARAMS_AS, CommandTemplate, ParamsAs, pattern_of
from ledger.objectives.datasets import MOST_FOLDS
from ledger.study.arguments import AcquisitionFunction, BaseEstimator, Mode
from ledger.study.criteria import StoppingCriteria
from ledger.study.space import Space
from ledger.text import show

MODES: tuple[Mode, ...] = get_args(Mode)
BASE_ESTIMATORS: tuple[BaseEstimator, ...] = get_args(BaseEstimator)
ACQ_FUNCS: tuple[AcquisitionFunction, ...] = get_args(AcquisitionFunction)

# A study has at most `LARGEST_BUDGET` trials. The exports and the database's integer columns can hold numbers up to
# `LARGEST_BUDGET`.
LARGEST_BUDGET = 1_000_000
Count = Annotated[int, Field(ge=1, le=LARGEST_BUDGET)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Field(ge=0.01, le=86_400, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class AllowedTexts:
    """A constraint that allows only a few texts, in upper or lower case.

    Attributes
    ----------
    choices : tuple of str
        The allowed texts, in the spelling that the ledger records.
    not_usable : mapping of str to str
        Each key is a text that the constraint forbids, although users may try the text. Each value is the reason, for
        the error message.

    Examples
    --------
    >>> AllowedTexts(("GP", "RF")).match("rf")
    'RF'
    """

    choices: tuple[str, ...]
    not_usable: Mapping[str, str] = field(default_factory=dict)

    def match(self, value: str) -> str:
        """Return the choice that `value` names, or raise a ValueError that lists all choices."""
        for choice in self.choices:
            if choice.lower() == value.lower():
                return choice
        choose = f"choose {', '.join(self.choices)}"
        for name, reason in self.not_usable.items():
            if name.lower() == value.lower():
                raise ValueError(f"{show(value)} cannot be used: {reason}; {choose}")
        raise ValueError(f"unknown {show(value)}; {choose}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def match(value: Any) -> Any:
            # If the value is not a text, pydantic refuses the value later, when pydantic checks the type of the field.
            return self.match(value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(match, handler(source))


class SettingsModel(BaseModel):
    """Base class of the immutable pydantic models that hold settings of a study.

    Each subclass accepts only the keys and the types that the subclass declares.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class FileDataset(SettingsModel):
    """A dataset from a file. The ledger stores the content of the data file in the database.

    Attributes
    ----------
    name : str
        The name of the data file, without the folder.
    sha256 : str
        The SHA-256 hash of the data file's content, in hexadecimal.
    target : str
        The name of the data file's column that contains the class of each row.
    format : str
        The format of the file, "csv" or "parquet".
    rows : int
        The number of rows in the file.
    content : bytes or None
        The content of the file. If the study was read from the database, the value is None. The study's JSON does not
        include the content of the data file.
    """

    name: str
    sha256: str
    target: str
    format: Literal["csv", "parquet"]
    rows: int
    content: bytes | None = Field(default=None, exclude=True, repr=False)


class ObjectiveSettings(SettingsModel):
    """The settings of an objective, without the content of a data file.

    The settings name a user's function, a command, or a built-in model with a dataset and a metric.

    Attributes
    ----------
    model : str or None
        The name of a built-in model. None means that the objective is a user's function or a command.
    dataset : str or None
        The name of a dataset of scikit-learn. The value is None if the dataset is from a file, or if the objective is
        no built-in model.
    cv : int or None
        The number of folds of a cross-validation. None means a single split.
    metric : str or None
        The name of a scorer of scikit-learn. None means the accuracy.
    function : str or None
        A user's function, written as "package.module:function". None means that the objective is no function.
    command : list of str or None
        A program and its arguments, in the form of `CommandTemplate`. None means that the objective is no command.
    params_as : str or None
        How a command receives the parameters, which is "variable" or "file". None means "arguments".
    direction : str or None
        "maximize" if the user's function or command returns a value that the study maximises. None means that the
        study minimises this value, or maximises the score of the built-in model.
    """

    model: Annotated[str | None, AllowedTexts(MODELS)] = Field(
        default=None, description=f"The model whose hyper-parameters the study searches. Default: {MODELS[0]}."
    )
    dataset: Annotated[str | None, AllowedTexts(DATASETS)] = Field(
        default=None, description=f"The scikit-learn dataset to train on. Default: {DATASETS[0]}."
    )
    cv: Annotated[int | None, Field(ge=2, le=MOST_FOLDS)] = Field(
        default=None,
        description="The number of cross-validation folds. The score is the mean over the folds. Without"
        " cross-validation, which is the default, the score is computed on a fifth of the rows.",
    )
    metric: str | None = Field(
        default=None,
        description="A scorer of scikit-learn for classifiers, such as roc_auc or f1_macro. The loss is 1 - score, or"
        f" -score if the scorer's name begins with neg_. Default: {metrics.DEFAULT}.",
    )
    function: str | None = Field(default=None, description="Your own objective, written as package.module:function.")
    command: list[str] | None = Field(
        default=None, description="A program and its arguments, with placeholders such as {lr}, as your own objective."
    )
    params_as: Annotated[ParamsAs | None, AllowedTexts(PARAMS_AS)] = Field(
        default=None,
        description="How a command receives the parameters: as arguments with placeholders, or as JSON in the variable"
        f" LEDGER_TRIAL_PARAMS or in a file. Default: {PARAMS_AS[0]}.",
    )
    direction: Annotated[Direction | None, AllowedTexts(DIRECTIONS)] = Field(
        default=None,
        description="Whether the study searches for the lowest value (minimize) or the highest value (maximize) of your"
        " own objective. Default: minimize. The score of a model is always maximised.",
    )

    @field_validator("metric")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is None or value == metrics.DEFAULT:
            return None  # A study with the default metric is equal to a study without a metric.
        try:
            metrics.check(value, "", None)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("command")
    @classmethod
    def _well_formed_command(cls, value: list[str] | None) -> list[str] | None:
        if value is not None:
            try:
                CommandTemplate(value)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("params_as")
    @classmethod
    def _default_params_as(cls, value: ParamsAs | None) -> ParamsAs | None:
        return None if value == PARAMS_AS[0] else value

    @field_validator("function")
    @classmethod
    def _well_formed(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_reference(value)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return value


class Objective(ObjectiveSettings):
    """The objective of a study: a built-in model on a dataset, or a user's function or a command without a dataset.

    Attributes
    ----------
    data : FileDataset or None
        The dataset from a file. The value is None if the dataset is from scikit-learn, or if the objective is no
        built-in model.
    """

    data: FileDataset | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "params_as" in values and "command" not in values:
            raise ValueError("params_as needs a command; add a command, or leave params_as out")
        own = next((key for key in ("function", "command") if key in values), None)
        direction = values.get("direction")
        if own is None and direction == "minimize":
            raise ValueError("direction minimize: the score of a model is always maximised; leave direction out")
        # A study with the direction of its objective as a setting is equal to a study without this setting.
        if direction == ("minimize" if own is not None else "maximize"):
            values = {key: value for key, value in values.items() if key != "direction"}
        if own is not None:
            others = ("function", "command", "model", "dataset", "data", "metric", "cv")
            other = next((key for key in others if key in values and key != own), None)
            if other:
                raise ValueError(f"{own} and {other} exclude each other; leave one out")
            return values
        if "data" not in values:
            return {"model": MODELS[0], "dataset": DATASETS[0], **values}
        if "dataset" in values:
            raise ValueError("dataset and data exclude each other; leave one out")
        return {"model": MODELS[0], **values}

    @property
    def scale(self) -> ValueScale:
        """The relation between the values that the objective returns and the losses that the optimizer minimises."""
        return value_scale(self.model_dump(exclude_none=True))

    def value(self, loss: float, metrics_: Mapping[str, Any] | None) -> float:
        """Return the value of a complete trial, from the trial's loss and metrics."""
        return self.scale.value(loss, (metrics_ or {}).get(self.metric or metrics.DEFAULT))

    @property
    def label(self) -> str:
        """The name of the model, of the user's function without the module, or of the command's main file."""
        if self.command is not None:
            return CommandTemplate(self.command).label
        return self.model or str(self.function).partition(":")[2]

    @property
    def title(self) -> str:
        """The user's function, the command as a line of a shell, or the model with its dataset.

        Examples
        --------
        >>> Objective(model="svm", dataset="iris").title
        'svm on iris'
        """
        if self.command is not None:
            return pattern_of(self.command)
        return self.function or f"{self.model} on {self.data.name if self.data else self.dataset}"


class OptimizerSettings(SettingsModel):
    """The settings of the optimizer that proposes points. The settings have the same names as in scikit-optimize.

    Attributes
    ----------
    base_estimator : str
        The surrogate, which is "GP", "RF" or "ET".
    acq_func : str
        The acquisition function, which is "EI", "LCB", "PI", "MES", "EIps" or "PIps".
    kappa : float or None
        The weight of the standard deviation in "LCB", at least 0. None means the optimizer's default.
    xi : float or None
        The minimum improvement on the best loss, as a share of the range of the losses. "EI" and "PI" ignore an
        improvement that is smaller than `xi`. The share is at least 0. None means 0.
    """

    base_estimator: Annotated[
        BaseEstimator,
        AllowedTexts(
            BASE_ESTIMATORS,
            {"GBRT": "skopt 0.10's GBRT raises an error with today's scikit-learn", "dummy": "it fits no model"},
        ),
    ] = Field(
        default="GP",
        description="The surrogate, which is a Gaussian process (GP), a random forest (RF) or extra trees (ET).",
    )
    acq_func: Annotated[
        AcquisitionFunction,
        AllowedTexts(
            ACQ_FUNCS,
            # skopt's PVRS factorises the kernel matrix of the GP without a noise term. Without a noise term, the
            # factorisation fails in discrete spaces and with equal losses.
            {
                "gp_hedge": "the ledger does not record the gains that gp_hedge needs",
                "PVRS": "skopt's PVRS fails in discrete spaces, with equal losses and with forests, and takes minutes"
                " for each point",
            },
        ),
    ] = Field(default="EI", description="The acquisition function.")
    kappa: NonNegative | None = None
    xi: NonNegative | None = None


class TrialLimits(SettingsModel):
    """The limits that decide when an attempt is lost or fails, and when a trial fails.

    Attributes
    ----------
    max_failures : int
        The number of failed attempts after which a trial fails, from 1 to 1,000. An attempt fails if the objective
        raises an exception, or exceeds `trial_timeout`.
    max_crashes : int
        The number of crashed attempts after which a trial fails, from 1 to 1,000. An attempt crashes if the objective
        ends its process, or if the memory is not sufficient.
    max_lost : int
        The number of lost attempts after which a trial fails, from 1 to 100,000.
    lease : float
        The number of seconds for which a claim is valid without a heartbeat, from 0.01 to 86,400.
    heartbeat : float
        The number of seconds between two heartbeats of a worker, from 0.01 to 86,400, and less than `lease`.
    trial_timeout : float or None
        The time limit for the training of one attempt, in seconds, from 0.01 to 31,536,000. An attempt that exceeds the
        limit ends and counts as a failure. None means no limit.
    """

    max_failures: Annotated[int, Field(ge=1, le=1_000)] = 1
    max_crashes: Annotated[int, Field(ge=1, le=1_000)] = 3
    max_lost: Annotated[int, Field(ge=1, le=100_000)] = 20
    lease: Seconds = 30.0
    heartbeat: Seconds = 10.0
    trial_timeout: Annotated[float | None, Field(ge=0.01, le=31_536_000, allow_inf_nan=False)] = Field(
        default=None,
        description="The training time, in seconds, after which an attempt ends and counts as a failure. Default: no"
        " limit.",
    )

    @model_validator(mode="after")
    def _beats_in_time(self) -> "TrialLimits":
        if self.heartbeat >= self.lease:
            raise ValueError(
                f"heartbeat {show(self.heartbeat)} is not below lease {show(self.lease)}; set heartbeat below lease"
            )
        return self


class DerivedSettings(SettingsModel):
    """Settings that the ledger computes when the ledger creates the study.

    The derived settings of a study never change.

    Attributes
    ----------
    initial_points : int
        The number of random points that the ledger proposes before the optimizer fits the first surrogate.
    threads : int
        The number of threads that compute proposals.
    proposer_version : int
        The version of the algorithm that proposes points. An installation of the ledger with a different version of the
        algorithm refuses the study, because a different version proposes different points.
    """

    initial_points: Count
    threads: Annotated[int, Field(ge=1)] = 1
    proposer_version: Literal[1] = 1


class StudySpec(SettingsModel):
    """The specification of one study.

    In batch mode, the ledger proposes equal points for two studies with equal specifications, package versions and
    results.

    Attributes
    ----------
    name : str
        The name of the study, which is unique in a ledger.
    seed : int
        The seed of all random numbers, in [0, 2**31).
    budget : int
        The number of trials to propose, from 1 to 1,000,000. The budget may grow.
    batch_size : int
        The number of trials that are proposed at once, from 1 to 1,000,000. In steady mode, the value is the
        number of trials in flight.
    mode : str
        The mode, "batch" or "steady". In batch mode, every trial of an iteration ends before the manager proposes the
        next iteration. In steady mode, the manager proposes a new trial when a trial ends, so the points depend on the
        order in which trials end.
    objective : Objective
    space : Space
    optimizer : OptimizerSettings
    limits : TrialLimits
    resolved : DerivedSettings
    criteria : StoppingCriteria
        The criteria that end the study before its budget is used. The criteria may change.

    See Also
    --------
    ledger.study.file.assemble : Makes a specification from a study file and options.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> study = assemble({"model": "svm", "trials": 7, "batch_size": 2})
    >>> study.budget, study.batch_size, study.space.names
    (7, 2, ('C', 'gamma'))
    >>> study.spec()["objective"]
    {'model': 'svm', 'dataset': 'breast_cancer'}
    >>> StudySpec.from_spec("copy", 20, study.spec()).spec_hash == study.spec_hash
    True
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    seed: Seed
    budget: Count
    batch_size: Count
    mode: Mode = "batch"
    objective: Objective
    space: Space
    optimizer: OptimizerSettings
    limits: TrialLimits
    resolved: DerivedSettings
    criteria: StoppingCriteria = StoppingCriteria()

    def asked(self) -> dict[str, Any]:
        """Return the requested settings as JSON, without the name, the budget, the criteria and `resolved`."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "objective": self.objective.model_dump(exclude_none=True),
            "space": self.space.to_json(),
            "optimizer": self.optimizer.model_dump(),
            "limits": self.limits.model_dump(),
        }

    def spec(self) -> dict[str, Any]:
        """Return the specification as JSON, without the study's name, budget and criteria."""
        return {**self.asked(), "resolved": self.resolved.model_dump()}

    @classmethod
    def from_spec(cls, name: str, budget: int, spec: Mapping[str, Any]) -> "StudySpec":
        """Return the study that `spec` describes.

        Parameters
        ----------
        name : str
            The study's name.
        budget : int
            The budget as a number of trials.
        spec : mapping
            The specification as JSON, in the form that `spec()` returns.

        Raises
        ------
        LedgerError
            This version of the ledger cannot read the specification.
        """
        try:
            return cls(
                name=name,
                budget=budget,
                objective=Objective(**spec["objective"]),
                space=Space.from_json(spec["space"]),
                optimizer=OptimizerSettings(**spec["optimizer"]),
                limits=TrialLimits(**spec["limits"]),
                resolved=DerivedSettings(**spec["resolved"]),
                **{
                    key: value
                    for key, value in spec.items()
                    if key not in ("objective", "space", "optimizer", "limits", "resolved")
                },
            )
        except (KeyError, TypeError, UsageError, ValidationError) as error:
            reason = first_fault(error, str) if isinstance(error, ValidationError) else repr(error)
            raise LedgerError(
                f"study {name}: this version of the ledger cannot read the study's spec ({reason});"
                " use the version that made the study, or a newer version"
            ) from None

    @property
    def spec_hash(self) -> str:
        """The SHA-256 hash, in hexadecimal, of the canonical JSON of `asked()`."""
        text = json.dumps(self.asked(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def initial_points(budget: int, batch_size: int) -> int:
    """Return the number of random points that the optimizer proposes before a surrogate proposes points.

    The number of random points is a quarter of the budget, but at least 2 and at most 10. The function then rounds the
    number of random points up to a multiple of the batch size, but not above the budget. With skopt's default of 10
    random points, all points of a small study would be random.

    Examples
    --------
    >>> initial_points(20, 4), initial_points(100, 1), initial_points(7, 2)
    (8, 10, 2)
    """
    wanted = min(10, max(2, -(-budget // 4)))
    return min(budget, -(-wanted // batch_size) * batch_size)


def differences(recorded: StudySpec, asked: StudySpec) -> list[str]:
    """Return the reasons why a recorded study cannot continue with the requested settings, one line for each reason.

    The requested budget may be larger than the recorded budget, because a larger budget only extends the study. The
    function compares neither the attribute `resolved` nor the stopping criteria of the two studies.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> recorded = assemble({"trials": 6})
    >>> differences(recorded, assemble({"trials": 20}))
    []
    >>> for line in differences(recorded, assemble({"trials": 4, "acq_func": "LCB"})):
    ...     print(line)
    trials: the study has 6, but 4 is requested (the budget of a study cannot be reduced)
    optimizer.acq_func: the study has EI, but LCB is requested
    """
    lines = []
    if asked.budget < recorded.budget:
        lines.append(
            f"trials: the study has {recorded.budget}, but {asked.budget} is requested (the budget of a study cannot be"
            " reduced)"
        )
    before, now = _flat(recorded), _flat(asked)
    return lines + [
        f"{place}: the study has {before.get(place, 'nothing')}, but {now.get(place, 'nothing')} is requested"
        for place in dict.fromkeys([*before, *now])
        if before.get(place) != now.get(place)
    ]


def _flat(study: StudySpec) -> dict[str, str]:
    """Return a dict that maps the path of each requested setting to the setting's value as text.

    For example, the key "optimizer.acq_func" has the value "EI".
    """
    asked = study.asked()
    # The order of the dimensions is part of the study, because the optimizer samples random values in this order.
    order = [dimension["name"] for dimension in asked["space"]]
    asked["space"] = {dimension.pop("name"): dimension for dimension in asked["space"]}
    flat = {"space": ", ".join(order)}

    def walk(place: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{place}.{key}" if place else key, inner)
        else:
            # PostgreSQL's jsonb changes the order of the keys in a choice that is an object.
            flat[place] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)

    walk("", asked)
    return flat
