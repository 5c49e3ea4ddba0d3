"""Typed rows of the ledger's views. The fields of each class are columns of one view.

Exports, imports, listings and the Python interface use the column names of the row classes. No row contains a claim,
because only the holder of a claim may know the claim.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

OPEN_STATES = ("pending", "running")
TRIAL_STATES = (*OPEN_STATES, "complete", "failed", "cancelled")
SOURCES = ("proposed", "enqueued", "retried", "imported")
# Metadata of a column that exports omit, such as a column that a view computes from other rows.
_COMPUTED = {"computed": True}


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study, as a row of the view ledger.studies.

    `budget` is the number of trials that the optimizer may propose.
    """

    id: int = field(metadata=_COMPUTED)
    name: str
    state: str
    reason: str | None
    budget: int
    created_at: datetime
    finished_at: datetime | None
    spec: dict[str, Any]
    spec_hash: str
    versions: dict[str, Any]

    @property
    def has_ended(self) -> bool:
        """Whether the study is complete, failed or cancelled."""
        return self.state in ("complete", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class IterationRow:
    """An iteration, as a row of the view ledger.iterations.

    In steady mode, `seen` contains the numbers of the trials whose end the manager has seen since the previous
    iteration. In batch mode, `seen` is None.
    """

    number: int
    round: int
    size: int
    asked_at: datetime
    told_at: datetime | None
    ask_seconds: float
    tell_seconds: float
    mean_loss: float | None
    best_loss: float | None
    surrogate: dict[str, Any] | None
    environment: dict[str, Any]
    seen: list[int] | None


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial, as a row of the view ledger.trials.

    `seconds` is the training time of the attempt that completed the trial.
    """

    number: int
    iteration: int
    round: int
    source: str
    retry_of: int | None
    params: dict[str, Any]
    state: str
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

    @property
    def is_open(self) -> bool:
        """Whether the trial is pending or running."""
        return self.state in OPEN_STATES

    @property
    def result(self) -> float:
        """The loss of a complete trial."""
        assert self.loss is not None
        return self.loss


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt, as a row of the view ledger.attempts.

    `outcome` is None while the attempt is running.
    """

    trial: int
    number: int
    worker: str
    claimed_at: datetime
    ended_at: datetime | None
    outcome: str | None
    loss: float | None
    seconds: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker, as a row of the view ledger.workers.

    `study` and `trial` identify the trial that the worker holds now, or are None if the worker holds no trial.
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
    """A live worker's refusal of a study, because the worker cannot load the study's objective."""

    worker: str
    study: str
    reason: str
    refused_at: datetime


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """The progress of a study, as a row of the view ledger.progress.

    `budget`, `proposed` and `ended` are numbers of trials.
    """

    study: str
    state: str
    reason: str | None
    budget: int
    proposed: int
    ended: int
    iterations_told: int
    complete: int
    running: int
    pending: int
    failed: int
    cancelled: int
    attempts: int
    best_loss: float | None
    metric: str | None
    best_score: float | None
    created_at: datetime
    elapsed: timedelta


Row = StudyRow | IterationRow | TrialRow | AttemptRow | WorkerRow


def recorded(row: Row) -> dict[str, Any]:
    """Return the exported columns of a row, as a dictionary in the order of the fields."""
    return {name: getattr(row, name) for name in columns(type(row), recorded=True)}


def columns(row: type, *, recorded: bool = False) -> tuple[str, ...]:
    """Return the names of the columns of a row class, in the order of the fields of the class.

    Parameters
    ----------
    row : type
        One of the row classes of this module.
    recorded : bool
        Whether to leave out the columns that exports omit.

    Examples
    --------
    >>> columns(AttemptRow)[:3]
    ('trial', 'number', 'worker')
    >>> "seconds" in columns(TrialRow, recorded=True)
    False
    """
    return tuple(each.name for each in fields(row) if not (recorded and each.metadata.get("computed")))
