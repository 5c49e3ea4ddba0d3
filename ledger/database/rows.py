"""Classes for the rows of the ledger's views. The fields of a class are columns of one view.

The field names of the row classes are also the column names in exports, imports, lists and the Python interface. No row
contains a claim, because a claim is secret.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

OPEN_STATES = ("pending", "running", "paused")
TRIAL_STATES = (*OPEN_STATES, "complete", "pruned", "failed", "cancelled")
# The states of trials. If a message contains the number of trials in each state, the message lists the states in the
# order of COUNTED_STATES.
COUNTED_STATES = ("complete", "pruned", "running", "paused", "pending", "failed", "cancelled")
STUDY_STATES = ("running", "paused", "complete", "failed", "cancelled")
SOURCES = ("proposed", "enqueued", "retried", "imported")
# Metadata of a column that an export omits. For example, an export omits a column that a view computes from other rows.
_COMPUTED = {"computed": True}
# Metadata of a column that an export contains, but an import does not insert. The ledger can compute the column from
# other exported columns of the study.
_DERIVED = {"derived": True}


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the view `ledger.studies`: a study with its state, budget and settings.

    `budget` is the number of trials that the optimizer may propose. Earlier managers have run the study for
    `managed_seconds` seconds. The time of the current manager is not part of `managed_seconds`. `stopped_by` is the
    stopping criterion that ended the study before the study had used its budget.
    """

    id: int = field(metadata=_COMPUTED)
    name: str
    state: str
    reason: str | None
    budget: int
    target: float | None
    patience: int | None
    timeout_seconds: float | None
    managed_seconds: float
    stopped_by: str | None
    stopping_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    spec: dict[str, Any]
    spec_hash: str
    versions: dict[str, Any]
    changed_batch_size: int | None
    archived_at: datetime | None = field(metadata=_COMPUTED)

    @property
    def batch_size(self) -> int:
        """The current batch size of the study. A user can change the batch size of a study."""
        return self.changed_batch_size or int(self.spec["batch_size"])

    @property
    def is_steady(self) -> bool:
        """True if the study is in steady mode."""
        # A specification without the key stands for batch mode.
        return self.spec.get("mode") == "steady"

    @property
    def has_ended(self) -> bool:
        """True if the study is complete, failed or cancelled."""
        return self.state in ("complete", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """An artifact, as a row of the view ledger.artifacts.

    `content` is the id of the content, and is None after the removal of the artifact. `store` is None if the content is
    in the ledger's database.
    """

    trial: int
    attempt: int
    name: str
    size: int
    sha256: str
    store: str | None
    content: UUID | None
    saved_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class IterationRow:
    """One row of the view `ledger.iterations`: an iteration of a study, with the iteration's times and results.

    In steady mode, `seen` contains the numbers of trials that ended or paused. The manager noticed the end or the pause
    of these trials after the previous iteration. In batch mode, `seen` is None. With the rule "promotion" in steady
    mode, `seen_rungs` has one element for each trial of `seen`. The element is the rung at which the trial waited. An
    element of `seen_rungs` is None if the trial had ended. With another rule, and in batch mode, `seen_rungs` is None.
    `mean_value` is `mean_loss`, converted to a value of the objective. `best_value` is `best_loss`, converted to a
    value of the objective. `batch_size` is the batch size that the study had when the optimizer proposed the iteration.

    The optimizer receives the losses iteration by iteration. The field `told` is the iteration's position in the order
    in which the optimizer receives the losses. The field `last_complete` and the ``total_`` fields describe the trials
    of this iteration, and the trials of all iterations with a lower `told`. In batch mode, a trial of the iteration is
    in `improvements` if the trial is better than all trials with a lower number. In steady mode, `improvements` can
    also contain other trials of the iteration. The fields `told`, `last_complete`, `improvements` and the ``total_``
    fields are None until the optimizer receives the losses.
    """

    number: int
    round: int
    size: int
    batch_size: int | None
    asked_at: datetime
    told_at: datetime | None
    ask_seconds: float
    tell_seconds: float
    mean_loss: float | None
    best_loss: float | None
    mean_value: float | None = field(metadata=_DERIVED)
    best_value: float | None = field(metadata=_DERIVED)
    surrogate: dict[str, Any] | None
    environment: dict[str, Any]
    seen: list[int] | None
    first_trial: int
    told: int | None
    total_proposed: int | None
    total_complete: int | None
    total_failed: int | None
    total_cancelled: int | None
    total_attempts: int | None
    total_failures: int | None
    total_crashes: int | None
    total_lost: int | None
    last_complete: int | None
    improvements: list[int] | None
    total_pruned: int | None
    seen_rungs: list[int | None] | None


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One row of the view `ledger.trials`: a trial with its parameters, state and value.

    `value` is the number that the objective returned, and `loss` is the number that the optimizer minimises. `seconds`
    is the training time of the attempt that completed the trial. `pruned_step` and `pruned_loss` are the step and the
    loss at which the rule of early stopping ended a pruned trial. `pruned_loss` is None if the reported value was NaN.
    """

    number: int
    iteration: int
    round: int
    source: str
    retry_of: int | None
    params: dict[str, Any]
    state: str
    value: float | None = field(metadata=_DERIVED)
    loss: float | None
    metrics: dict[str, Any] | None
    seconds: float | None = field(metadata=_COMPUTED)
    attempts: int
    failures: int
    crashes: int
    lost: int
    worker: str | None
    available_at: datetime
    claimed_at: datetime | None
    lease_until: datetime | None
    deadline_at: datetime | None
    finished_at: datetime | None
    error: str | None
    pruned_step: int | None
    pruned_loss: float | None

    @property
    def is_open(self) -> bool:
        """True if the trial is pending, running or paused."""
        return self.state in OPEN_STATES

    @property
    def is_proof(self) -> bool:
        """True if a worker of this study has trained the trial without a failure. A trial without a failure proves that
        the objective works.
        """
        return self.state in ("complete", "pruned") and self.source != "imported"

    @property
    def result(self) -> float:
        """The value of a complete trial."""
        assert self.value is not None
        return self.value


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One row of the view `ledger.attempts`: an execution of a trial by a worker, with the outcome of the execution.

    `outcome` is None while the attempt is running.
    """

    trial: int
    number: int
    worker: str
    claimed_at: datetime
    ended_at: datetime | None
    outcome: str | None
    value: float | None = field(metadata=_DERIVED)
    loss: float | None
    seconds: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class CodeVersionRow:
    """One row of the view `ledger.code_versions`: a recorded version of the code of a study's objective.

    The docstring of `ledger.objectives.fingerprint.ObjectiveCode` describes `parts` and `sources`.
    """

    number: int
    first_trial: int
    sha256: str
    parts: list[dict[str, str]]
    sources: dict[str, str]
    git_commit: str | None
    git_clean: bool | None
    versions: dict[str, str]
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One row of the view `ledger.annotations`: the tags, the note and the user attributes of a study or of a trial.

    `trial` is None for the annotation of the study. `annotated_by` is the name of the login that made the last change
    to the annotation.
    """

    trial: int | None
    tags: list[str]
    note: str | None
    attributes: dict[str, Any]
    annotated_by: str
    annotated_at: datetime


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of the view `ledger.reports`: an intermediate value that an objective reported during an attempt.

    `value` and `loss` are None if the reported value was NaN or an infinity. `seconds` is the time from the claim of
    the attempt to the report. `after_step` is None, or the highest step that the attempt had reported before this lower
    step.
    """

    trial: int
    attempt: int
    step: int
    value: float | None = field(metadata=_DERIVED)
    loss: float | None
    metrics: dict[str, Any] | None
    seconds: float | None = field(metadata=_COMPUTED)
    reported_at: datetime
    after_step: int | None = None


@dataclass(frozen=True, slots=True)
class CutoffRow:
    """One row of the view `ledger.cutoffs`: the cutoff of an iteration at a rung.

    If the loss of a trial is lower than `loss`, the trial goes on. `loss` is None if each trial with a loss goes on.
    `compared` is the number of trials of earlier iterations and groups that have reached the rung. With the rule
    "promotion", `compared` is the number of trials of the iteration and of earlier iterations that the rule has
    compared at the rung. `trial` is the number of the trial that has the loss `loss`, and can belong to an earlier
    iteration. If another trial has the same loss, the other trial goes on if its number is lower than `trial`.
    `group_number` is the number of the group in the iteration, or 0 if the rule has no groups.
    """

    iteration: int
    rung: int
    loss: float | None
    compared: int
    trial: int | None
    group_number: int = 0


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One row of the view `ledger.verdicts`: the verdict of the rule of early stopping on a trial at a rung.

    `step` is the last reported step at or below the rung, and `loss` is the loss at this step. `loss` is None if the
    reported value was NaN. If the trial's loss is lower than `cutoff`, the trial goes on. `compared` is the number of
    other trials with which the rule compared the trial. With the rule "promotion" in batch mode, `compared` has the
    same value as the field `compared` of the `CutoffRow`. In steady mode, `arrival` is the position of the trial in the
    order of the arrivals at the rung. If `audited` is true, the trial goes on even if `stops` is true. In steady mode,
    `promoted_at` is the time at which the manager promoted the trial at the rung. `promoted_at` is None if the manager
    has not promoted the trial at the rung. A promoted trial goes on even if `stops` is true.
    """

    trial: int
    rung: int
    attempt: int
    step: int
    loss: float | None
    cutoff: float | None
    compared: int
    arrival: int | None
    stops: bool
    audited: bool
    decided_at: datetime
    promoted_at: datetime | None = field(metadata=_COMPUTED)

    @property
    def ends(self) -> bool:
        """True if the trial has a verdict to stop at the rung, and is neither audited nor promoted."""
        return self.stops and not self.audited and self.promoted_at is None


@dataclass(frozen=True, slots=True)
class PromotionRow:
    """One row of the view `ledger.promotions`: the promotion of a paused trial in steady mode.

    The trial waited at `rung`. `arrivals` is the number of trials that had arrived at the rung when the manager
    promoted the trial. The promoted trial was among the best 1/eta of these trials.
    """

    trial: int
    rung: int
    arrivals: int
    promoted_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One row of the view `ledger.workers`: a worker process, and the trial that the worker has claimed.

    `study` and `trial` identify the trial that the worker has claimed. If the worker has no claimed trial, `study` and
    `trial` are None.
    """

    name: str
    host: str
    pid: int
    versions: dict[str, Any]
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    alive: bool = field(metadata=_COMPUTED)
    study: str | None = field(metadata=_COMPUTED)
    trial: int | None = field(metadata=_COMPUTED)


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """One row of the view `ledger.refusals`: a live worker, and a study whose objective the worker cannot load."""

    worker: str
    study: str
    reason: str
    refused_at: datetime


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """One row of the view `ledger.progress`: the progress of a study, such as the number of its ended trials.

    `budget`, `proposed` and `ended` are numbers of trials.
    """

    study: str
    state: str
    reason: str | None
    budget: int
    target: float | None
    patience: int | None
    timeout_seconds: float | None
    stopped_by: str | None
    proposed: int
    ended: int
    iterations_told: int
    complete: int
    running: int
    paused: int
    pending: int
    pruned: int
    failed: int
    cancelled: int
    attempts: int
    direction: str
    best_value: float | None
    best_loss: float | None
    metric: str | None
    best_score: float | None
    created_at: datetime
    elapsed: timedelta
    archived_at: datetime | None
    tags: list[str]


Row = (
    StudyRow
    | IterationRow
    | TrialRow
    | AttemptRow
    | WorkerRow
    | CodeVersionRow
    | AnnotationRow
    | ReportRow
    | CutoffRow
    | VerdictRow
    | PromotionRow
)


def recorded(row: Row) -> dict[str, Any]:
    """Return a dictionary of a row's columns, without the computed and the derived columns. The keys have the order of
    the row's fields.
    """
    return {name: getattr(row, name) for name in columns(type(row), without=("computed", "derived"))}


def exported(row: Row) -> dict[str, Any]:
    """Return a dictionary of a row's exported columns, in the order of the row's fields."""
    return {name: getattr(row, name) for name in export_columns(type(row))}


def export_columns(row: type) -> tuple[str, ...]:
    """Return the names of the exported columns of a row class, in the order of the fields of the class.

    Examples
    --------
    >>> "value" in export_columns(TrialRow), "seconds" in export_columns(TrialRow)
    (True, False)
    """
    return columns(row, without=("computed",))


def columns(row: type, *, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the columns of a row class, in the order of the fields of the class.

    Parameters
    ----------
    row : type
        One of the row classes of this module.
    without : collection of str
        The kinds of columns to leave out, "computed" or "derived". An export omits the computed columns, and an import
        does not insert the derived columns.

    Examples
    --------
    >>> columns(AttemptRow)[:3]
    ('trial', 'number', 'worker')
    >>> "seconds" in columns(TrialRow, without=["computed"])
    False
    """
    return tuple(each.name for each in fields(row) if not any(each.metadata.get(kind) for kind in without))
