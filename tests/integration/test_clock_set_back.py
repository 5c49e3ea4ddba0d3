"""The database's clock is set back or ahead. No lease, pause or view then waits for the time that the clock lost."""

import time
import uuid
from datetime import timedelta

import pytest

from ledger.database import managing, protocol, reads, status, studies
from ledger.database.managing import ClaimedStudy
from ledger.database.retry import RetryPolicy
from ledger.database.session import ReconnectingSession
from ledger.worker import registration
from tests.integration.ledgers import add_iteration, make_study, reap, take, trial

HOUR = 3600.0


@pytest.fixture
def row(db):
    return make_study(db, trials=2)


def lease(db, row):
    (lease,) = managing.leases(db, row.id)
    return lease


def test_pending_trials_can_be_claimed_after_the_clock_was_set_back(connection, row, advance):
    advance(-HOUR)
    held = take(connection)
    assert protocol.fail(connection, held, "no", 0.0) == "retry"
    advance(-2 * HOUR)
    assert {take(connection).trial, take(connection).trial} == {0, 1}


def test_a_pause_after_releases_is_never_longer_than_without_the_clock(connection, row, advance):
    protocol.fail(connection, take(connection), "no", 0.0)
    for _ in range(8):
        held = protocol.claim(connection, "s", [uuid.uuid4()], "w")
        if not held or held[0].trial != 0:
            break
        protocol.release(connection, held[0])
    paused = trial(connection)
    assert paused["state"] == "pending"
    assert paused["attempts"] - paused["failures"] == 6
    # the pause is a second, so it begins an hour after this time
    advance(-HOUR)
    assert protocol.claim(connection, "s", [uuid.uuid4()], "w")[0].trial == 0


def test_the_trial_of_a_dead_worker_is_reaped_after_the_clock_was_set_back(connection, db, row, advance):
    held = take(connection)
    seen = lease(db, row)
    # less than a lease: the manager tries again until the lease ends
    advance(-25)
    assert reap(db, row, seen) is None
    advance(-HOUR)
    assert reap(db, row, seen) == "pending"
    # the worker was alive all the same
    assert protocol.heartbeat(connection, held)
    assert reap(db, row, seen) is None, "the worker has renewed the lease"
    assert reap(db, row, lease(db, row)) is None, "by the clock of now, the lease has not ended"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"


def test_the_study_of_a_dead_manager_is_free_after_the_clock_was_set_back(connection, db, row, advance):
    # no session is known, as behind a pooler
    claim = "select ledger.claim_study(%s, %s, 'm', 30)"
    first, second = uuid.uuid4(), uuid.uuid4()
    assert connection.execute(claim, (row.id, first)).fetchone() == ("held",)
    advance(-25)
    assert connection.execute(claim, (row.id, second)).fetchone() == ("taken",)
    advance(-HOUR)
    assert connection.execute("select alive from ledger.managers").fetchone() == (False,)
    # a manager that is alive renews its lease
    assert connection.execute(claim, (row.id, first)).fetchone() == ("held",)
    assert connection.execute(claim, (row.id, second)).fetchone() == ("taken",)
    assert connection.execute("select alive from ledger.managers").fetchone() == (True,)
    advance(-2 * HOUR)
    assert connection.execute(claim, (row.id, second)).fetchone() == ("held",)
    managing.leave_study(db, ClaimedStudy(row.id, first))
    assert connection.execute("select count(*) from ledger.manager").fetchone() == (1,)
    assert studies.delete(db, row) == "managed"
    advance(-3 * HOUR)
    assert studies.delete(db, row) == "deleted"


def test_a_manager_that_loses_its_study_by_the_clock_writes_nothing(connection, db, row, advance):
    claim = "select ledger.claim_study(%s, %s, 'm', 30)"
    first, second = uuid.uuid4(), uuid.uuid4()
    assert connection.execute(claim, (row.id, first)).fetchone() == ("held",)
    advance(HOUR)
    assert connection.execute(claim, (row.id, second)).fetchone() == ("held",)
    assert connection.execute(claim, (row.id, first)).fetchone() == ("taken",)
    assert managing.finish(db, ClaimedStudy(row.id, first), "failed", None, row.budget) == "lost"


def test_a_dead_worker_is_not_alive_after_the_clock_was_set_back(connection, row, advance):
    for worker in ("w", "v"):
        protocol.announce(connection, worker, "host", 1, {})
    take(connection, worker="w")
    alive = "select worker from ledger.workers where alive order by worker"
    assert connection.execute(alive).fetchall() == [("v",), ("w",)]
    advance(-HOUR)
    assert connection.execute(alive).fetchall() == []
    protocol.announce(connection, "v", "host", 1, {})
    assert connection.execute(alive).fetchall() == [("v",)]


def test_no_age_is_negative_after_the_clock_was_set_back(connection, db, row, advance):
    add_iteration(db, row, 1, 1)
    protocol.announce(connection, "w", "host", 1, {})
    held = take(connection, worker="w")
    protocol.fail(connection, take(connection, worker="w"), "no", 0.0)
    advance(-HOUR)
    protocol.heartbeat(connection, held)
    now = status.read(db, row.id)
    assert now.elapsed_seconds == 0
    assert [(worker.seconds, worker.seen_seconds) for worker in now.workers] == [(0, 0)]
    assert [failure.seconds_ago for failure in now.latest_failures] == [0]
    assert [age for _, age in reads.workers(db)] == [0]
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    hours = trial(connection)["claimed_at"] - trial(connection)["finished_at"]
    assert hours > timedelta(minutes=59), "the trial has ended before it began"
    assert connection.execute("select min(elapsed) from ledger.progress").fetchone() == (timedelta(),)
    assert connection.execute("select min(claimed_seconds) >= 0 from ledger.outcomes").fetchone() == (True,)
    negative = "select from ledger.trial_times where least(queue_seconds, claimed_seconds, total_seconds) < 0"
    assert connection.execute(negative).fetchall() == []


def test_an_idle_worker_keeps_its_versions_after_the_clock_was_set_ahead(url, connection, advance, monkeypatch):
    monkeypatch.setattr(registration, "ANNOUNCE_SECONDS", 0.0)
    session = ReconnectingSession(url, "ledger worker", 10.0, RetryPolicy(0.0), protocol.listen, time.sleep)
    idle = registration.WorkerRegistration(session, "idle", "host")
    idle.announce()
    asked = "select versions from ledger.worker where name = 'idle'"
    versions = connection.execute(asked).fetchone()
    assert versions is not None
    assert "numpy" in versions[0]
    advance(2 * HOUR)
    protocol.announce(connection, "new", "host", 2, {})
    assert connection.execute(asked).fetchone() is None, "the new worker lets the ledger forget the idle one"
    idle.announce()
    assert connection.execute(asked).fetchone() == versions
    session.close()
