"""The status of a study at one moment, read from the views by one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ledger.database.selecting import query
from ledger.errors import LedgerError
from ledger.text import last_line

# Ended trials that the rate is taken from, or twice the points of an iteration where that is more.
_RATED = 20
_FAILURES = 3


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that is alive, or that holds a trial of the study.

    Attributes
    ----------
    trial : int or None
        What it trains, for `seconds`; None where it is idle.
    since : datetime or None
        When it claimed that trial.
    seen_seconds : float
        Since it said that it is here.
    complete : int
        Trials of the study that it has completed.
    """

    name: str
    host: str
    alive: bool
    trial: int | None
    since: datetime | None
    seconds: float | None
    seen_seconds: float
    complete: int


@dataclass(frozen=True)
class Failure:
    """An attempt that failed, was lost or took too long, with the last line of its error."""

    trial: int
    attempt: int
    worker: str
    outcome: str
    ended_at: datetime
    seconds_ago: float
    error: str


@dataclass(frozen=True)
class Status:
    """A study at the moment `now` of the database's clock, which all seconds here are by.

    Attributes
    ----------
    budget : int
        The number of trials to propose.
    ended : int
        Proposed trials that have ended, at most the budget, without those of a round that was replaced.
    iterations_told : int
        Iterations whose trials have all ended and are told.
    complete, running, pending, failed, cancelled : int
        Trials in each state.
    failures, lost : int
        Attempts that count against a trial's limits.
    managed : bool
        Whether a manager is at work.
    trials_a_second : float or None
        At which trials ended of late; None where none has.
    remaining_seconds : float or None
        An estimate, from that rate; None where the study does not run or nothing is known.
    best : mapping or None
        Of the complete trial with the lowest loss: trial, iteration, loss.
    improvements : sequence of (int, float)
        Each complete trial, in the order of numbers, whose loss is below all before it, with that loss.
    last_complete : int or None
        Number of the last complete trial, where the convergence ends.
    workers : sequence of WorkerStatus
        The earliest first.
    latest_failures : sequence of Failure
        The latest first, at most 3.
    """

    name: str
    state: str
    reason: str | None
    mode: str
    now: datetime
    created_at: datetime
    finished_at: datetime | None
    elapsed_seconds: float
    budget: int
    ended: int
    iterations_told: int
    complete: int
    running: int
    pending: int
    failed: int
    cancelled: int
    failures: int
    lost: int
    managed: bool
    trials_a_second: float | None
    remaining_seconds: float | None
    best: Mapping[str, Any] | None
    improvements: Sequence[tuple[int, float]]
    last_complete: int | None
    workers: Sequence[WorkerStatus]
    latest_failures: Sequence[Failure]

    @property
    def has_ended(self) -> bool:
        return self.state in ("complete", "failed", "cancelled")


def read(connection: Connection, study_id: int) -> Status:
    """Ask how a study stands, in one statement.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    parameters = {"study": study_id, "rated": _RATED, "failures": _FAILURES}
    with connection.begin():
        row = connection.execute(query("status"), parameters).one_or_none()
    if row is None:
        raise LedgerError("the study was deleted while it was watched")
    facts = dict(row._mapping)
    rated, rated_seconds = facts.pop("rated"), facts.pop("rated_seconds")
    rate = rated / rated_seconds if rated and rated_seconds > 0 else None
    is_known = rate is not None and row.state == "running" and row.managed
    ended = min(row.ended, row.budget)
    facts |= {
        "ended": ended,
        "elapsed_seconds": ((row.finished_at or row.now) - row.created_at).total_seconds(),
        "failures": int(row.failures),
        "lost": int(row.lost),
        "trials_a_second": rate,
        "remaining_seconds": (row.budget - ended) / rate if rate is not None and is_known else None,
        "improvements": [(number, float(loss)) for number, loss in row.improvements],
        "workers": [WorkerStatus(**{**worker, "since": _moment(worker["since"])}) for worker in row.workers],
        "latest_failures": [
            Failure(**{**failure, "ended_at": _moment(failure["ended_at"]), "error": _last_line(failure["error"])})
            for failure in facts.pop("failures_seen")
        ],
    }
    return Status(**facts)


def _moment(value: str | None) -> Any:
    """Return a time out of JSON, in UTC as the connection's."""
    return None if value is None else datetime.fromisoformat(value)


def _last_line(error: str | None) -> str:
    return last_line(error) if error else ""
