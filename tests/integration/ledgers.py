"""Ledgers for tests: studies with pending trials, made as a manager makes them."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from ledger.database import iteration_totals, managing, protocol, studies, transfer, trials
from ledger.database.managing import ClaimedStudy, ProposedBatch, TrialLease
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.manager.loop import StudyManager
from ledger.verification import verify

# Sets the columns of an iteration as they are before the iteration is told.
UNTOLD = ", ".join(
    f"{name} = null"
    for name in (
        *("told_at", "mean_loss", "best_loss"),
        *(column.name for column in iteration_totals.columns() if column.name != "first_trial"),
    )
)
LIMITS = {"max_failures": 3, "max_crashes": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": None}


def spec(points: int = 4, **limits: Any) -> dict[str, Any]:
    return {
        "batch_size": points,
        "seed": 42,
        "objective": {"model": "svm", "dataset": "breast_cancer"},
        "space": [{"name": "C", "type": "real", "low": 1.0, "high": 1000.0, "prior": "uniform"}],
        "optimizer": {"base_estimator": "GP", "acq_func": "EI"},
        "limits": {**LIMITS, **limits},
    }


def make_study(db: Connection, name: str = "s", trials: int = 4, **limits: Any) -> StudyRow:
    """A running study with one iteration of pending trials."""
    row = studies.create(db, name, spec(trials, **limits), "0" * 64, trials, {})
    assert row is not None
    add_iteration(db, row, 0, trials)
    return row


def hold(db: Connection, row: StudyRow) -> ClaimedStudy:
    """The study, held by a manager that goes on for as long as the test does."""
    held = ClaimedStudy(row.id, uuid.UUID(int=row.id))
    assert managing.claim_study(db, held, "test", 3600.0) == "held"
    return held


def managed(db: Connection, row: StudyRow, watch: Any = None, *, wait: bool = False) -> StudyManager:
    """A manager with a claim of its own."""
    return StudyManager(db, row, uuid.uuid4(), "test", watch, wait=wait)


def propose(db: Connection, row: StudyRow, number: int, points: Sequence[Mapping[str, Any]], **facts: Any) -> None:
    """Insert proposed points as the next trials of a study."""
    held = hold(db, row)
    with db.begin():
        # A manager's role reads the view, but not the table.
        known = db.execute(
            text("select count(*) from ledger.trials where study_id = :study"), {"study": row.id}
        ).scalar_one()
    batch = ProposedBatch(
        number, facts.pop("round", 0), known, points, facts.pop("surrogate", None), {}, 0.0, 0.0, **facts
    )
    assert managing.propose(db, held, batch) == "proposed"
    managing.leave_study(db, held)


def tell(
    db: Connection,
    row: StudyRow,
    number: int,
    mean_loss: float | None,
    best_loss: float | None,
    *,
    size: int | None = None,
) -> str:
    """Tell an iteration, of as many trials as it has unless a size is given."""
    held = hold(db, row)
    size = size or len(trials.all_of(db, row.id, iteration=number))
    answer = managing.tell(db, held, number, size, mean_loss, best_loss)
    managing.leave_study(db, held)
    return answer


def finish(db: Connection, row: StudyRow, state: str, reason: str | None = None) -> str:
    """End a study as its manager does."""
    held = hold(db, row)
    answer = managing.finish(db, held, state, reason, row.budget)
    managing.leave_study(db, held)
    return answer


def reap(db: Connection, row: StudyRow, lease: TrialLease) -> str | None:
    """Take a trial back as its manager does."""
    held = hold(db, row)
    state = managing.reap(db, held, lease)
    managing.leave_study(db, held)
    return state


def expire(db: Connection, connection: psycopg.Connection[Any], number: int = 0) -> str | None:
    """Take a trial of the study `s` back, as its manager does after the end of the lease."""
    row = trial(connection, number)
    return reap(db, studies.get(db, "s"), TrialLease(number, row["worker"], row["lease_until"]))


def states(db: Connection, row: StudyRow) -> list[str]:
    """The state of each trial."""
    return [trial.state for trial in trials.all_of(db, row.id)]


def verified(db: Connection) -> int:
    """Verify the study `s`, and return the number of its trials."""
    return verify(transfer.snapshot(db, studies.get(db, "s").id)).trials


def add_iteration(db: Connection, row: StudyRow, number: int, size: int) -> None:
    points = [{"C": 1.0 + 100 * number + index / 1000} for index in range(size)]
    propose(db, row, number, points)


def claim_one(
    connection: psycopg.Connection[Any], study: str | None, claim: uuid.UUID, worker: str
) -> ClaimedTrial | None:
    """Claim one trial. Returns None if there is no work."""
    held = protocol.claim(connection, study, [claim], worker)
    assert len(held) <= 1
    return held[0] if held else None


def take(connection: psycopg.Connection[Any], study: str | None = "s", worker: str = "w") -> ClaimedTrial:
    held = claim_one(connection, study, uuid.uuid4(), worker)
    assert held is not None
    return held


def trial(connection: psycopg.Connection[Any], number: int = 0) -> dict[str, Any]:
    return _row(connection, "select * from ledger.trial where number = %s", number)


def attempt(connection: psycopg.Connection[Any], claim: uuid.UUID) -> dict[str, Any]:
    return _row(connection, "select * from ledger.attempt where claim = %s", claim)


def _row(connection: psycopg.Connection[Any], statement: str, parameter: object) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(statement, (parameter,)).fetchone()
    assert row is not None
    return row


def stop_clock(connection: psycopg.Connection[Any], seconds: float) -> datetime:
    """Let the ledger's clock stand still, this many seconds after a moment that is always the same."""
    moment = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    connection.execute(
        "create or replace function ledger.clock() returns timestamptz language sql volatile"
        f" as $$ select timestamptz '{moment}' $$"
    )
    return moment
