"""Number of statements that a worker sends for trials that take no time."""

import os
from collections import Counter
from typing import Any

import pytest

from ledger.database import studies
from ledger.database import trials as recorded
from ledger.database.session import ReconnectingSession
from ledger.settings import Settings
from ledger.worker import claim_size, claimed_trials
from ledger.worker.options import WorkerOptions
from ledger.worker.supervisor import Supervisor
from tests.integration.ledgers import propose, spec

AHEAD = claim_size.LARGEST_CLAIM


@pytest.fixture
def sent(monkeypatch, tmp_path) -> Counter[str]:
    """Return a counter of the calls of each statement, which does not depend on the machine's speed."""
    monkeypatch.setattr(claim_size, "CLAIM_SECONDS", 600.0)
    monkeypatch.setattr(claimed_trials, "DELIVERY_SECONDS", 600.0)
    (tmp_path / "nothing.py").write_text("def loss(params):\n    return 0.5\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    counted: Counter[str] = Counter()
    try_call = ReconnectingSession.try_call

    def counting(self: ReconnectingSession, statement: Any, *args: Any, **kwargs: Any) -> Any:
        counted[statement.__name__] += 1
        return try_call(self, statement, *args, **kwargs)

    monkeypatch.setattr(ReconnectingSession, "try_call", counting)
    return counted


@pytest.mark.parametrize(("trials", "claims"), [(1 + 4 * AHEAD, 5), (1 + 4 * AHEAD - 1, 5), (1, 1)])
def test_short_trials_cost_two_statements_a_batch(url, db, sent, trials, claims):
    row = studies.create(db, "s", {**spec(trials), "objective": {"function": "nothing:loss"}}, "0" * 64, 1, {})
    assert row is not None
    points = [{"C": float(index)} for index in range(trials + 10)]
    propose(db, row, 0, points)
    orders = WorkerOptions("s", max_trials=trials, allowed=["nothing"])
    assert Supervisor(url, orders, Settings.from_environment()).run() == trials
    # a working worker announces itself once in ten seconds
    assert {name: count for name, count in sent.items() if name != "announce"} == {
        "claim": claims,
        "complete_together": claims,
        # the worker records the code of the objective, and compares it once
        "report_code": 1,
        "objective_code": 1,
    }
    outcomes = [(trial.state, trial.attempts) for trial in recorded.all_of(db, row.id)]
    assert outcomes == [("complete", 1)] * trials + [("pending", 0)] * 10
