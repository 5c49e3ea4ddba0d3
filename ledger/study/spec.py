"""The specification of a study, which contains all settings of the study.

The module validates, hashes and compares specifications.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from ledger.database.bounds import LARGEST_BATCH
from ledger.errors import LedgerError, UsageError, first_fault
from ledger.study.arguments import AcquisitionFunction, BaseEstimator, Mode
from ledger.study.criteria import StoppingCriteria
from ledger.study.early_stopping import EarlyStopping
from ledger.study.objective import FileDataset, HoldoutFile, Objective
from ledger.study.settings import AllowedTexts, NamedCounts, SettingsModel
from ledger.study.space import Space
from ledger.text import one_line, show

MODES: tuple[Mode, ...] = get_args(Mode)
BASE_ESTIMATORS: tuple[BaseEstimator, ...] = get_args(BaseEstimator)
ACQ_FUNCS: tuple[AcquisitionFunction, ...] = get_args(AcquisitionFunction)

# The largest budget of a study, as a number of trials. An export and the database can store every number up to
# `LARGEST_BUDGET`.
LARGEST_BUDGET = 1_000_000
Count = Annotated[int, Field(ge=1, le=LARGEST_BUDGET)]
BatchSize = Annotated[int, Field(ge=1, le=LARGEST_BATCH)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Field(ge=0.01, le=86_400, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class OptimizerSettings(SettingsModel):
    """The settings of the optimizer that proposes points. Each setting has the same name as in scikit-optimize.

    Attributes
    ----------
    base_estimator : str
        The surrogate, which is "GP", "RF" or "ET".
    acq_func : str
        The acquisition function, which is "EI", "LCB", "PI", "MES", "EIps" or "PIps".
    kappa : float or None
        The weight of the standard deviation in the acquisition function "LCB", at least 0. If `kappa` is None, the
        optimizer uses the default weight.
    xi : float or None
        The minimum improvement over the best loss, as a share of the range of the losses. "EI" and "PI" ignore an
        improvement that is smaller than `xi`. The share is at least 0. None means 0.
    """

    base_estimator: Annotated[
        BaseEstimator,
        AllowedTexts(
            BASE_ESTIMATORS,
            {"GBRT": "skopt 0.10's GBRT raises an error with the current scikit-learn", "dummy": "it fits no model"},
        ),
    ] = Field(
        default="GP",
        description="The surrogate, which is a Gaussian process (GP), a random forest (RF) or extra trees (ET).",
    )
    acq_func: Annotated[
        AcquisitionFunction,
        AllowedTexts(
            ACQ_FUNCS,
            # skopt's acquisition function "PVRS" factorises the kernel matrix of the GP, but adds no noise to the
            # matrix. Therefore the factorisation fails if the search space is discrete, or if two losses are equal.
            {
                "gp_hedge": "the ledger does not record the gains that gp_hedge needs",
                "PVRS": "skopt's PVRS needs minutes for each point, and fails if the space is discrete, if two losses"
                " are equal, or if the surrogate is a forest",
            },
        ),
    ] = Field(default="EI", description="The acquisition function.")
    kappa: NonNegative | None = None
    xi: NonNegative | None = None

    @property
    def uses_times(self) -> bool:
        """True if the optimizer uses the training times of the trials."""
        return self.acq_func in ("EIps", "PIps")


class TrialLimits(SettingsModel):
    """The limits that decide whether an attempt is lost, whether an attempt fails, and whether a trial fails.

    Attributes
    ----------
    max_failures : int
        The number of failed attempts after which a trial fails, from 1 to 1,000. An attempt fails if the objective
        raises an exception, or exceeds `trial_timeout`.
    max_crashes : int
        The number of crashed attempts after which a trial fails, from 1 to 1,000. An attempt crashes if the objective
        ends its own process, or if the memory is not sufficient.
    max_lost : int
        The number of lost attempts after which a trial fails, from 1 to 100,000.
    lease : float
        The number of seconds after the last heartbeat during which a worker's claim of a trial is valid, from 0.01 to
        86,400.
    heartbeat : float
        The number of seconds between two heartbeats of a worker, from 0.01 to 86,400. The number must be less than
        `lease`.
    trial_timeout : float or None
        The time limit for the training of one attempt, in seconds, from 0.01 to 31,536,000. If an attempt exceeds the
        time limit, the worker ends the attempt, and the attempt fails. None means no limit.
    keep_artifacts : int or None
        The number of trials that keep their artifacts, from 1 to 1,000,000. Among the trials with artifacts, only the
        best trials keep their artifacts. The manager removes the artifacts of the other ended trials. "best" means 1,
        and "all" means None. None means that each trial keeps its artifacts.
    """

    max_failures: Annotated[int, Field(ge=1, le=1_000)] = 1
    max_crashes: Annotated[int, Field(ge=1, le=1_000)] = 3
    max_lost: Annotated[int, Field(ge=1, le=100_000)] = 20
    lease: Seconds = 30.0
    heartbeat: Seconds = 10.0
    trial_timeout: Annotated[float | None, Field(ge=0.01, le=31_536_000, allow_inf_nan=False)] = Field(
        default=None,
        description="The time limit of a training, in seconds. If a training exceeds the time limit, the attempt fails."
        " Default: no limit.",
    )
    keep_artifacts: Annotated[int | None, Field(ge=1, le=LARGEST_BUDGET), NamedCounts({"best": 1, "all": None})] = (
        Field(
            default=None,
            description="The number of best trials that keep their artifacts: a number, best for 1, or all. The manager"
            " removes the artifacts of the other ended trials. Default: all.",
        )
    )

    @model_validator(mode="after")
    def _beats_in_time(self) -> "TrialLimits":
        if self.heartbeat >= self.lease:
            raise ValueError(
                f"heartbeat {show(self.heartbeat)} is not shorter than lease {show(self.lease)}; set a shorter"
                " heartbeat"
            )
        return self

    def check_models(self, keep_models: str | None) -> None:
        """Raise a UsageError if the setting `keep_models` of the objective does not agree with these limits."""
        if keep_models is not None and self.keep_artifacts not in (None, 1):
            raise UsageError(
                f"{self.keep_artifacts} trials cannot keep a model, because keep_models keeps only the model of the"
                " best trial; leave keep_artifacts out"
            )


class DerivedSettings(SettingsModel):
    """The settings of a study that the ledger computes when the user creates the study.

    The computed settings of a study never change.

    Attributes
    ----------
    initial_points : int
        The number of random points that the ledger proposes before the optimizer fits the first surrogate.
    threads : int
        The number of threads that compute proposals.
    proposer_version : int
        The version of the algorithm that proposes points. If an installation of the ledger contains a different version
        of the algorithm, the installation refuses the study. A different version of the algorithm would propose
        different points.
    """

    initial_points: Count
    threads: Annotated[int, Field(ge=1)] = 1
    proposer_version: Literal[3] = 3


class StudySpec(SettingsModel):
    """The specification of one study, such as the search space, the objective, the optimizer's settings and the seed.

    In batch mode, the points depend only on the specification, on the versions of the packages, and on the results of
    the trials.

    Attributes
    ----------
    name : str
        The name of the study, which is unique in a ledger.
    seed : int
        The seed of all random numbers, in [0, 2**31).
    budget : int
        The number of trials that the ledger proposes, from 1 to 1,000,000. The user can raise the budget later.
    batch_size : int
        In batch mode, the number of trials in an iteration. In steady mode, the total number of pending trials and
        running trials. The batch size is from 1 to 1,000,000.
    mode : str
        The mode, "batch" or "steady". In batch mode, the manager proposes the next iteration after all trials of the
        previous iteration have ended. In steady mode, the manager proposes a new trial when a trial ends. Therefore the
        points depend on the order in which the trials end.
    objective : Objective
    space : Space
    optimizer : OptimizerSettings
    stopping : EarlyStopping
    limits : TrialLimits
    resolved : DerivedSettings
    criteria : StoppingCriteria
        The stopping criteria of the study. The user can change the criteria later.

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
    batch_size: BatchSize
    mode: Mode = "batch"
    objective: Objective
    space: Space
    optimizer: OptimizerSettings
    stopping: EarlyStopping = EarlyStopping()
    limits: TrialLimits
    resolved: DerivedSettings
    criteria: StoppingCriteria = StoppingCriteria()

    def asked(self) -> dict[str, Any]:
        """Return the settings that the user requested, as a JSON object.

        The object does not contain the study's name, budget and criteria, and does not contain the attribute
        `resolved`.
        """
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "objective": self.objective.model_dump(exclude_none=True),
            "space": self.space.to_json(),
            "optimizer": self.optimizer.model_dump(),
            # Older versions of the program had no rules of early stopping. If a study has no rule of early stopping,
            # the study's hash must be the same as in the older versions.
            **({"stopping": self._stopping()} if self.stopping.rule != "none" else {}),
            # Older versions of the program did not have the limit `keep_artifacts`. If a study does not use
            # `keep_artifacts`, the study's hash must be the same as in the older versions.
            "limits": self.limits.model_dump(
                exclude={"keep_artifacts"} if self.limits.keep_artifacts is None else None
            ),
        }

    def _stopping(self) -> dict[str, Any]:
        # Older versions of the program had no brackets. If a study does not use the rule "promotion", the study's hash
        # must be the same as in the older versions.
        without = None if self.stopping.rule == "promotion" else {"brackets"}
        return self.stopping.model_dump(exclude_none=True, exclude=without)

    def spec(self) -> dict[str, Any]:
        """Return the specification as a JSON object.

        The object does not contain the name, the budget or the criteria of the study.
        """
        return {**self.asked(), "resolved": self.resolved.model_dump()}

    @property
    def artifact_keepers(self) -> int | None:
        """The number of best trials that keep their artifacts. None means that each trial keeps its artifacts.

        The artifacts of an objective that trains an estimator are always models.
        """
        return 1 if self.objective.keep_models is not None else self.limits.keep_artifacts

    @classmethod
    def from_spec(cls, name: str, budget: int, spec: Mapping[str, Any]) -> "StudySpec":
        """Make a `StudySpec` from a JSON object that `spec()` has returned.

        Parameters
        ----------
        name : str
            The study's name.
        budget : int
            The budget as a number of trials.
        spec : mapping
            The JSON object that `spec()` has returned.

        Raises
        ------
        LedgerError
            The installed version of the ledger cannot read the specification.
        """
        try:
            return cls(
                name=name,
                budget=budget,
                objective=Objective(**spec["objective"]),
                space=Space.from_json(spec["space"]),
                optimizer=OptimizerSettings(**spec["optimizer"]),
                stopping=EarlyStopping(**spec.get("stopping", {})),
                limits=TrialLimits(**spec["limits"]),
                resolved=DerivedSettings(**spec["resolved"]),
                **{
                    key: value
                    for key, value in spec.items()
                    if key not in ("objective", "space", "optimizer", "stopping", "limits", "resolved")
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
        """The SHA-256 hash, in hexadecimal, of the settings that `asked()` returns. The input of the hash function is
        the canonical JSON text of the settings.
        """
        text = json.dumps(self.asked(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def initial_points(budget: int, batch_size: int) -> int:
    """Return the number of random points that the ledger proposes before the optimizer fits the first surrogate.

    The number of random points is a quarter of the budget, but at least 2 and at most 10. The function rounds the
    number up to a multiple of the batch size. A study in steady mode has batches of one trial. If the rounded number
    exceeds the budget, the function returns the budget. skopt's default is 10 random points. With the default of skopt,
    all points of a small study would be random.

    Examples
    --------
    >>> initial_points(20, 4), initial_points(100, 1), initial_points(7, 2)
    (8, 10, 2)
    """
    wanted = min(10, max(2, -(-budget // 4)))
    return min(budget, -(-wanted // batch_size) * batch_size)


def differences(recorded: StudySpec, asked: StudySpec) -> list[str]:
    """Return a line for each reason why a recorded study cannot continue with the requested settings.

    The requested budget may be larger than the recorded budget, because a larger budget only extends the study. The
    function ignores differences in the attribute `resolved` and in the stopping criteria.

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
    before, now = flat_settings(recorded), flat_settings(asked)
    for place, old, new in _files(recorded, asked):
        if old is not None and new is not None and old.sha256 != new.sha256:
            lines.append(_changed_file(old, new))
            content = {f"{place}.sha256": "", f"{place}.rows": ""}
            before, now = before | content, now | content
    return lines + [
        f"{place}: the study has {before.get(place, 'nothing')}, but {now.get(place, 'nothing')} is requested"
        for place in dict.fromkeys([*before, *now])
        if before.get(place) != now.get(place)
    ]


def _files(
    recorded: StudySpec, asked: StudySpec
) -> Iterator[tuple[str, FileDataset | HoldoutFile | None, FileDataset | HoldoutFile | None]]:
    """For each kind of data file, yield three items: the path of the file's setting, the recorded file, and the
    requested file.
    """
    old, new = recorded.objective.data, asked.objective.data
    yield "objective.data", old, new
    yield "objective.data.holdout", old and old.holdout, new and new.holdout


def _changed_file(recorded: FileDataset | HoldoutFile, asked: FileDataset | HoldoutFile) -> str:
    return (
        f"data file `{one_line(asked.name, 80)}` ({recorded.rows} rows with SHA-256 {recorded.sha256[:12]}, now"
        f" {asked.rows} rows with SHA-256 {asked.sha256[:12]})"
    )


def flat_settings(study: StudySpec) -> dict[str, str]:
    """Return a dict of the requested settings. Each key is the path of a setting, such as "optimizer.acq_func", and
    each value is the text of the setting's value.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> flat_settings(assemble({"model": "svm"}))["optimizer.acq_func"]
    'EI'
    """
    asked = study.asked()
    # The order of the dimensions is a setting of the study, because the optimizer samples random values in the order of
    # the dimensions.
    order = [dimension["name"] for dimension in asked["space"]]
    asked["space"] = {dimension.pop("name"): dimension for dimension in asked["space"]}
    for dimension in asked["space"].values():
        if "default" in dimension:
            # A default can be an empty object, or a text such as "null".
            dimension["default"] = json.dumps(dimension["default"], sort_keys=True)
    flat = {"space": ", ".join(order)}

    def walk(place: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{place}.{key}" if place else key, inner)
        else:
            # PostgreSQL's jsonb changes the order of the keys in an object, so `sort_keys` sorts the keys.
            flat[place] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)

    walk("", asked)
    return flat
