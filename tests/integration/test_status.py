"""The status of a study, as a view of it reads it."""

import pytest
from sqlalchemy import Connection, event

from ledger.database import managing, protocol, status, studies, trials
from ledger.errors import LedgerError
from tests.integration.ledgers import add_iteration, finish, hold, make_study, spec, take, tell


def announce(connection, name, **how):
    protocol.announce(connection, name, "host", 7, {}, **how)


def test_a_study_without_trials_has_a_status(db):
    row = studies.create(db, "s", spec(4), "0" * 64, 12, {})
    assert row is not None
    found = status.read(db, row.id)
    assert (found.iterations_told, found.ended, found.budget) == (0, 0, 12)
    assert (found.best, found.improvements, found.last_complete, found.workers) == (None, [], None, [])
    assert (found.trials_a_second, found.remaining_seconds, found.managed) == (None, None, False)


def test_a_status_counts_trials_and_knows_the_convergence(db, connection):
    row = make_study(db, trials=4)
    for loss in (0.5, 0.75, 0.25):
        protocol.complete(connection, take(connection), loss, {}, 1.0)
    found = status.read(db, row.id)
    assert (found.complete, found.pending, found.running, found.ended, found.budget) == (3, 1, 0, 3, 4)
    assert [(each.trial, each.value, each.loss) for each in found.improvements] == [(0, 0.5, 0.5), (2, 0.75, 0.25)]
    assert found.last_complete == 2
    assert found.best == {"trial": 2, "iteration": 0, "value": 0.75, "loss": 0.25, "metric": None, "score": None}
    assert not found.has_ended

    protocol.complete(connection, take(connection), 0.25, {}, 1.0)
    assert tell(db, row, 0, 0.4, 0.25) == "told"
    assert finish(db, row, "complete", None) == "finished"
    found = status.read(db, row.id)
    assert (found.iterations_told, found.ended, found.has_ended) == (1, 4, True)
    assert found.best is not None
    assert found.best["trial"] == 2, "of equal ones the earlier"
    with pytest.raises(LedgerError, match="was deleted"):
        status.read(db, row.id + 1)


def test_a_round_tried_again_and_a_retry_count_once(db, connection):
    row = make_study(db, trials=2, max_failures=1)
    studies.extend(db, row.id, 4)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    assert status.read(db, row.id).ended == 2
    connection.execute("update ledger.iteration set round = 1, size = 4")
    assert status.read(db, row.id).ended == 0, "the next round's trials are those that count"
    connection.execute("update ledger.iteration set round = 0, size = 2")
    (retried,) = trials.retry(db, row.id, [1])
    assert retried == 2
    found = status.read(db, row.id)
    assert (found.ended, found.failed, found.pending, found.failures) == (2, 2, 1, 2)


def test_a_status_shows_the_workers_of_this_study_by_the_databases_clock(db, connection, advance):
    row = make_study(db, trials=4)
    other = make_study(db, "other", trials=1)
    for name in ("idle", "trains", "elsewhere", "left", "silent"):
        announce(connection, name)
    protocol.complete(connection, take(connection, worker="trains"), 0.5, {}, 1.0)
    take(connection, worker="silent")
    take(connection, other.name, worker="elsewhere")
    advance(100)
    held = take(connection, worker="trains")
    for name in ("idle", "trains", "elsewhere"):
        announce(connection, name)
    announce(connection, "left", stopped=True)
    advance(107)
    found = status.read(db, row.id)
    workers = {worker.name: worker for worker in found.workers}
    assert set(workers) == {"idle", "trains", "silent"}
    trains, silent = workers["trains"], workers["silent"]
    assert (trains.trial, trains.complete, trains.alive) == (held.trial, 1, True)
    assert trains.seconds == pytest.approx(7, abs=5)
    assert trains.since is not None
    assert (found.now - trains.since).total_seconds() == pytest.approx(trains.seconds)
    assert (silent.alive, silent.trial) == (False, 1)
    assert silent.seen_seconds > 100
    assert (workers["idle"].trial, workers["idle"].since, workers["idle"].seconds) == (None, None, None)


def test_the_estimate_leaves_out_the_time_without_workers(db, connection, advance):
    row = make_study(db, trials=4)
    studies.extend(db, row.id, 8)
    managed = hold(db, row)
    announce(connection, "w")
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    advance(3600)
    announce(connection, "w", stopped=True)
    announce(connection, "new")
    held = take(connection, worker="new")
    assert status.read(db, row.id).trials_a_second is None, "none has ended since somebody works again"
    advance(3610)
    protocol.complete(connection, held, 0.5, {}, 1.0)
    assert managing.claim_study(db, managed, "test", 3600.0) == "held"
    found = status.read(db, row.id)
    assert found.managed
    assert found.trials_a_second == pytest.approx(0.1, rel=0.5)
    assert found.trials_a_second is not None
    assert found.remaining_seconds == pytest.approx(6 / found.trials_a_second)
    studies.pause(db, row.id)
    assert status.read(db, row.id).remaining_seconds is None


def test_a_status_tells_the_latest_failures(db, connection):
    row = make_study(db, trials=4, max_failures=9)
    assert status.read(db, row.id).latest_failures == []
    for number in range(5):
        protocol.fail(connection, take(connection, worker=f"w{number}"), f"Traceback\nValueError: {number}", 1.0)
    found = status.read(db, row.id)
    assert (found.failures, found.failed) == (5, 0)
    assert [failure.error for failure in found.latest_failures] == [f"ValueError: {number}" for number in (4, 3, 2)]
    assert [failure.worker for failure in found.latest_failures] == ["w4", "w3", "w2"]
    assert {failure.outcome for failure in found.latest_failures} == {"failed"}
    assert all(failure.seconds_ago >= 0 for failure in found.latest_failures)


def test_in_steady_mode_trials_count_too(db, connection):
    row = studies.create(db, "s", {**spec(2), "mode": "steady"}, "0" * 64, 6, {})
    assert row is not None
    add_iteration(db, row, 0, 2)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    add_iteration(db, row, 1, 1)
    assert (status.read(db, row.id).iterations_told, status.read(db, row.id).ended) == (0, 1)
    for _ in range(2):
        protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    found = status.read(db, row.id)
    assert (found.mode, found.iterations_told, found.ended, found.budget) == ("steady", 0, 3, 6)


def test_a_status_is_one_statement_and_no_transaction_stays_open(url, db, connection):
    row = make_study(db)
    read = [
        statement
        for statement in _statements(db, lambda: status.read(db, row.id))
        if not statement.lower().startswith(("begin", "commit"))
    ]
    assert len(read) == 1
    ((count,),) = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    ).fetchall()
    assert count == 0


def _statements(db: Connection, task):
    said: list[str] = []

    def note(_connection, _cursor, statement, *_):
        said.append(statement)

    event.listen(db, "before_cursor_execute", note)
    try:
        task()
    finally:
        event.remove(db, "before_cursor_execute", note)
    return said
