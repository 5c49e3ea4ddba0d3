"""Trials that the rule of early stopping ends: the answers of ledger.prune, and what the ledger keeps of them."""

import uuid
from typing import Any

import psycopg
import pytest

from ledger.database import managing, protocol, studies, trials
from ledger.database.protocol import ClaimedTrial
from ledger.errors import LedgerError
from tests.integration.ledgers import add_iteration, attempt, expire, take, tell, trial
from tests.integration.recounting import check_totals
from tests.integration.test_verdicts import search, train


@pytest.fixture
def row(db, connection):
    """A study whose first iteration is told, with the losses 0.4 to 0.1, and whose second has two pending trials."""
    row = search(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        train(connection, [loss] * 8)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    add_iteration(db, row, 1, 2)
    return row


def stopped(connection: psycopg.Connection[Any]) -> ClaimedTrial:
    """Claim a trial, and report until a verdict stops it at the second step."""
    held = take(connection)
    assert protocol.report(connection, held, [0, 1, 2], [0.1, 0.15, 0.7]) == "stop"
    return held


def test_a_pruned_trial_keeps_the_step_and_the_loss_that_stopped_it(row, connection):
    held = stopped(connection)
    assert protocol.prune(connection, held, 3.5, "said") == "pruned"
    ended = trial(connection, held.trial)
    assert (ended["state"], ended["loss"], ended["metrics"], ended["error"]) == ("pruned", None, None, None)
    assert (ended["pruned_step"], ended["pruned_loss"], ended["lease_until"]) == (2, 0.7, None)
    kept = attempt(connection, held.claim)
    assert (kept["outcome"], kept["loss"], kept["seconds"], kept["output"]) == ("pruned", None, 3.5, "said")
    assert kept["ended_at"] == ended["finished_at"]


def test_a_repeated_call_is_answered_and_changes_nothing(row, connection):
    held = stopped(connection)
    assert protocol.prune(connection, held, 1.0) == "pruned"
    before = trial(connection, held.trial)
    assert protocol.prune(connection, held, 2.0) == "already"
    assert protocol.complete(connection, held, 0.1, {}, 1.0) == "stale"
    assert protocol.fail(connection, held, "no", 1.0) == "stale"
    assert protocol.report(connection, held, [3], [0.1]) == "stale"
    assert not protocol.release(connection, held)
    assert trial(connection, held.trial) == before


def test_without_a_verdict_that_stops_the_trial_nothing_changes(row, connection):
    held = take(connection)
    assert protocol.report(connection, held, [0, 1], [0.1, 0.1]) == "continue"
    before = trial(connection, held.trial)
    assert protocol.prune(connection, held, 1.0) == "continue"
    assert trial(connection, held.trial) == before
    assert protocol.complete(connection, held, 0.1, {}, 1.0) == "recorded"


def test_a_trial_of_the_audit_is_not_pruned(db, connection):
    row = search(db, trials=2, audit=1.0)
    for _ in range(2):
        train(connection, [0.1] * 8)
    add_iteration(db, row, 1, 1)
    held = take(connection)
    assert protocol.report(connection, held, [0, 1], [0.5, 0.5]) == "continue"
    assert protocol.prune(connection, held, 1.0) == "continue"


def test_a_stopped_trial_may_complete_in_spite_of_its_verdict(row, connection):
    held = stopped(connection)
    assert protocol.complete(connection, held, 0.05, {}, 1.0) == "recorded"
    ended = trial(connection, held.trial)
    assert (ended["state"], ended["loss"], ended["pruned_step"]) == ("complete", 0.05, None)


def test_a_claim_that_was_replaced_is_stale(row, db, connection, advance):
    zombie = stopped(connection)
    advance(31)
    assert expire(db, connection, zombie.trial) == "pending"
    successor = take(connection)
    assert successor.trial == zombie.trial
    assert protocol.prune(connection, zombie, 1.0) == "stale"
    assert attempt(connection, zombie.claim)["outcome"] == "stale"
    assert trial(connection, zombie.trial)["state"] == "running"
    # the verdict of the first attempt stands, so the second need not reach the rung
    assert protocol.prune(connection, successor, 1.0) == "pruned"


def test_a_late_end_counts_if_no_other_worker_has_claimed_the_trial(row, db, connection, advance):
    held = stopped(connection)
    advance(31)
    assert expire(db, connection, held.trial) == "pending"
    assert protocol.prune(connection, held, 1.0) == "pruned"
    assert attempt(connection, held.claim)["outcome"] == "pruned"


def test_a_cancelled_or_unknown_trial_is_not_pruned(row, db, connection, url):
    held = stopped(connection)
    with psycopg.connect(url) as locker:
        assert protocol.heartbeat(locker, held)
        assert trials.cancel(db, row.id, [held.trial], "not wanted") == [held.trial]
        assert protocol.prune(locker, held, 1.0) == "stale"
    assert trial(connection, held.trial)["state"] == "cancelled"
    assert managing.end_cancelled(db) == 0
    guessed = ClaimedTrial(**{**vars(held), "claim": uuid.uuid4()})
    assert protocol.prune(connection, guessed, 1.0) == "unknown"


def test_a_claim_names_the_cutoffs_and_the_verdicts_of_earlier_attempts(row, connection):
    held = stopped(connection)
    assert held.stopping is not None
    assert held.stopping["eta"] == 2
    assert held.stopping["rungs"] == [
        {"step": step, "cutoff": 0.2, "compared": 4, "stops": None, "last_step": None, "last_loss": None}
        for step in (1, 2, 4)
    ]
    assert protocol.release(connection, held)
    connection.execute("update ledger.trial set available_at = claimed_at where number = %s", (held.trial,))
    again = take(connection)
    assert again.trial == held.trial
    assert again.stopping is not None
    assert [rung["stops"] for rung in again.stopping["rungs"]] == [False, True, None]
    assert [rung["last_step"] for rung in again.stopping["rungs"]] == [1, 2, 2]


def test_a_pruned_trial_counts_for_the_budget_and_for_no_mean(row, db, connection):
    pruned = stopped(connection)
    assert protocol.prune(connection, pruned, 1.0) == "pruned"
    train(connection, [0.1] * 8)
    progress = connection.execute(
        "select proposed, ended, complete, pruned, failed, best_loss from ledger.progress"
    ).fetchall()
    assert progress == [(6, 6, 5, 1, 0, 0.5)]
    check_totals(connection, row.id)
    assert tell(db, row, 1, 0.5, 0.5) == "told"
    assert studies.iterations(db, row.id)[1].total_pruned == 1
    check_totals(connection, row.id)
    assert connection.execute("select trial from ledger.best_trials").fetchone() != (pruned.trial,)


def test_what_was_pruned_does_not_change_and_is_not_retried(row, db, connection):
    held = stopped(connection)
    assert protocol.prune(connection, held, 1.0) == "pruned"
    with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
        connection.execute("update ledger.trial set pruned_loss = 0.0 where number = %s", (held.trial,))
    with pytest.raises(LedgerError, match=f"trial {held.trial} of study s is pruned: only a failed or cancelled trial"):
        trials.retry(db, row.id, [held.trial])
    with pytest.raises(LedgerError, match="is pruned: the rule of early stopping ended it after step 2"):
        trials.enqueue(db, row.id, [trial(connection, held.trial)["params"]])
