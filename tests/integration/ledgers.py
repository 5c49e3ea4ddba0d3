"""Ledgers for tests: studies with pending trials, inserted as a manager inserts them."""

import uuid
from typing import Any

import psycopg

from ledger.database import protocol
from ledger.database.protocol import Claimed
from ledger.database.store import Batch, Store, StudyRow

LIMITS = {"max_failures": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": None}


def spec(points: int = 4, **limits: Any) -> dict[str, Any]:
    return {
        "batch_size": points,
        "seed": 42,
        "objective": {"model": "svm", "dataset": "breast_cancer"},
        "space": [{"name": "C", "type": "real", "low": 1.0, "high": 1000.0, "prior": "uniform"}],
        "optimizer": {"base_estimator": "GP", "acq_func": "EI"},
        "limits": {**LIMITS, **limits},
    }


def make_study(store: Store, name: str = "s", trials: int = 4, **limits: Any) -> StudyRow:
    """Create a running study with one iteration of pending trials."""
    row = store.create(name, spec(trials, **limits), "0" * 64, 1, {})
    assert row is not None
    add_iteration(store, row, 0, trials)
    return row


def add_iteration(store: Store, row: StudyRow, number: int, trials: int) -> None:
    points = [{"C": 1.0 + 100 * number + index / 1000} for index in range(trials)]
    assert store.propose(row.id, number, 0, Batch(points, None, {}, 0.0, 0.0))


def claim_one(connection: psycopg.Connection[Any], study: str | None, claim: uuid.UUID, worker: str) -> Claimed | None:
    """Claim one trial. Returns None if there is no work."""
    held = protocol.claim(connection, study, [claim], worker)
    assert len(held) <= 1
    return held[0] if held else None


def take(connection: psycopg.Connection[Any], study: str | None = "s", worker: str = "w") -> Claimed:
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
