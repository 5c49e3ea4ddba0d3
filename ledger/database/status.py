"""The status of a study at one moment. One SQL statement reads the status from the views in the schema `ledger`. With
a rule of early stopping, a second statement reads the saved steps, which can include trials that were pruned meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ledger.database import savings
from ledger.database.selecting import query
from ledger.errors import LedgerError
from ledger.text import last_line

# Parameters of the query that the function `read` executes. The query computes the number of ended trials per second
# from the latest ended trials. To compute the number of ended trials per second, the query reads at most
# min(most_rated, max(rated, 2 * batch size)) trials. The query returns at most `failures` failed attempts, beginning
# with the latest failed attempt. To find the failed attempts, the query searches the attempts of at most `troubled`
# trials. The query returns at most `improvements` trials that improved the best value.
LIMITS: Mapping[str, int] = {
    "rated": 20,
    "most_rated": 2_000,
    "failures": 3,
    "troubled": 50,
    "improvements": 1_000,
}


@dataclass(frozen=True)
class WorkerStatus:
    """The status of one worker, as a part of the status of a study.

    The status of a study contains each worker that has claimed a trial of the study. The status of a study also
    contains each live worker that is idle.

    Attributes
    ----------
    trial : int or None
        Number of the trial that the worker has claimed; None if the worker is idle.
    since : datetime or None
        Time when the worker claimed the trial; None if the worker is idle.
    seconds : float or None
        Seconds since the worker claimed the trial; None if the worker is idle.
    seen_seconds : float
        Seconds since the worker last announced itself to the ledger.
    complete : int
        Number of the study's trials that the worker has completed.
    step : int or None
        Last step that the current attempt of the trial has reported. None if the attempt has reported no step.
    """

    name: str
    host: str
    alive: bool
    trial: int | None
    since: datetime | None
    seconds: float | None
    seen_seconds: float
    complete: int
    step: int | None = None


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that failed, was lost or exceeded its time limit.

    The attribute `error` contains the last line of the attempt's error.
    """

    trial: int
    attempt: int
    worker: str
    outcome: str
    ended_at: datetime
    seconds_ago: float
    error: str


@dataclass(frozen=True)
class Improvement:
    """A complete trial that improved the best value: all earlier complete trials have a worse value."""

    trial: int
    value: float
    loss: float


@dataclass(frozen=True)
class StudyStatus:
    """The status of a study at one moment, such as the number of trials in each state and the status of each worker.

    The attribute `now` is the time of the status on the database's clock.

    Attributes
    ----------
    budget : int
        Number of trials that the optimizer may propose.
    ended : int
        Number of proposed trials that have ended. The number of ended trials is at most the budget. If all trials of a
        round failed, `ended` does not count the trials of this round, because the next round replaces these trials.
    iterations_told : int
        Number of iterations whose results the optimizer has received.
    complete, pruned, running, paused, pending, failed, cancelled : int
        Number of trials in each state.
    failures, crashes, lost : int
        Number of failed attempts, number of crashed attempts, and number of lost attempts.
    managed : bool
        Whether a live manager runs the study.
    trials_a_second : float or None
        Number of ended trials per second, computed from the latest ended trials. The value is None if no trial has
        ended since the oldest live worker started.
    remaining_seconds : float or None
        Remaining time in seconds, estimated from `trials_a_second`. The estimate is never longer than the time that is
        left until the study's timeout. The value is None if the study is not running, or if no live manager runs the
        study. The value is also None if `trials_a_second` is None and the study has no timeout.
    target : float or None
        The study ends when a trial has the value `target` or a better value.
    patience : int or None
        The study ends when the best value has not improved during `patience` trials.
    timeout_seconds : float or None
        The study ends when managers have run the study for `timeout_seconds` seconds in total.
    direction : str
        "minimize" if the lowest value is best, or "maximize" if the highest value is best.
    best : mapping or None
        Number, iteration, loss, value, metric and score of the complete trial with the lowest loss.
    improvements : sequence of Improvement
        The complete trials that improved the best value, in the order of their numbers. If a study has more
        than 1,000 improvements, the sequence contains a selection that includes the first and the last improvement.
    last_complete : int or None
        The highest number of a complete trial. The convergence curve ends at the trial `last_complete`.
    workers : sequence of WorkerStatus
        Workers in the order of their start times.
    latest_failures : sequence of FailedAttempt
        The latest attempts that failed, crashed or were lost, at most 3 attempts. The latest failure comes first.
    saved_steps : int or None
        Total number of steps that the pruned trials did not run. None if the study has no rule of early stopping.
    saved_seconds : float or None
        Estimated training time of the saved steps. None if the study has no rule of early stopping, or if the time is
        unknown.
    """

    name: str
    state: str
    reason: str | None
    mode: str
    direction: str
    now: datetime
    created_at: datetime
    finished_at: datetime | None
    elapsed_seconds: float
    budget: int
    target: float | None
    patience: int | None
    timeout_seconds: float | None
    ended: int
    iterations_told: int
    complete: int
    running: int
    paused: int
    pending: int
    pruned: int
    failed: int
    cancelled: int
    failures: int
    crashes: int
    lost: int
    managed: bool
    trials_a_second: float | None
    remaining_seconds: float | None
    best: Mapping[str, Any] | None
    improvements: Sequence[Improvement]
    last_complete: int | None
    workers: Sequence[WorkerStatus]
    latest_failures: Sequence[FailedAttempt]
    saved_steps: int | None = None
    saved_seconds: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ("complete", "failed", "cancelled")


def read(connection: Connection, study_id: int) -> StudyStatus:
    """Read the status of a study.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    with connection.begin():
        row = connection.execute(query("status"), {"study": study_id, **LIMITS}).one_or_none()
        saved = savings.read(connection, study_id) if row is not None and row.stops_early else None
    if row is None:
        raise LedgerError("the study was deleted, so it has no status")
    facts = dict(row._mapping)
    del facts["stops_early"]
    rated, rated_seconds = facts.pop("rated"), facts.pop("rated_seconds")
    rate = rated / rated_seconds if rated and rated_seconds > 0 else None
    ended = min(row.ended, row.budget)
    remaining = [] if rate is None else [(row.budget - ended) / rate]
    timeout_left = facts.pop("timeout_left")
    remaining += [] if timeout_left is None else [timeout_left]
    is_managed = row.state == "running" and row.managed
    facts |= {
        "ended": ended,
        "elapsed_seconds": max(0.0, ((row.finished_at or row.now) - row.created_at).total_seconds()),
        "failures": int(row.failures),
        "crashes": int(row.crashes),
        "lost": int(row.lost),
        "saved_steps": None if saved is None else saved.steps,
        "saved_seconds": None if saved is None else saved.seconds,
        "trials_a_second": rate,
        "remaining_seconds": min(remaining) if remaining and is_managed else None,
        "improvements": [Improvement(number, float(value), float(loss)) for number, loss, value in row.improvements],
        "workers": [WorkerStatus(**{**worker, "since": _moment(worker["since"])}) for worker in row.workers],
        "latest_failures": [
            FailedAttempt(
                **{**failure, "ended_at": _moment(failure["ended_at"]), "error": _last_line(failure["error"])}
            )
            for failure in facts.pop("failures_seen")
        ],
    }
    return StudyStatus(**facts)


def _moment(value: str | None) -> Any:
    """Convert a text that contains a time into a datetime.

    The datetime is in UTC, because the time zone of the connection is UTC.
    """
    return None if value is None else datetime.fromisoformat(value)


def _last_line(error: str | None) -> str:
    return last_line(error) if error else ""
