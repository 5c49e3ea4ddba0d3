"""The status of a study that the views show."""

import pytest
from sqlalchemy import event

from ledger.database import protocol
from ledger.database.store import MANAGER_LOCK, Store
from ledger.errors import LedgerError
from tests.integration.ledgers import add_iteration, make_study, spec, take


def announce(connection, name, **how):
    protocol.announce(connection, name, "host", 7, {}, **how)


def test_a_study_without_trials_has_a_status(store):
    row = store.create("s", spec(4), "0" * 64, 3, {})
    found = store.status(row.id)
    assert (found.iterations_told, found.iterations, found.done, found.total) == (0, 3, 0, 12)
    assert (found.best, found.improvements, found.last_complete, found.workers) == (None, [], None, [])
    assert (found.trials_a_second, found.remaining_seconds, found.managed) == (None, None, False)


def test_a_status_counts_trials_and_knows_the_convergence(store, connection):
    row = make_study(store, trials=4)
    for loss in (0.5, 0.75, 0.25):
        protocol.complete(connection, take(connection), loss, {}, 1.0)
    found = store.status(row.id)
    assert (found.complete, found.pending, found.running, found.done, found.total) == (3, 1, 0, 3, 4)
    assert found.improvements == [(0, 0.5), (2, 0.25)]
    assert found.last_complete == 2
    assert found.best == {"trial": 2, "iteration": 0, "loss": 0.25, "metric": None, "score": None}
    assert not found.has_ended

    protocol.complete(connection, take(connection), 0.25, {}, 1.0)
    assert store.tell(row.id, 0, 0.4, 0.25)
    assert store.finish(row.id, "complete", None)
    found = store.status(row.id)
    assert (found.iterations_told, found.done, found.has_ended) == (1, 4, True)
    assert found.best is not None
    assert found.best["trial"] == 2, "of equal ones the earlier"
    with pytest.raises(LedgerError, match="was deleted"):
        store.status(row.id + 1)


def test_a_round_tried_again_and_a_retry_count_once(store, connection):
    row = make_study(store, trials=2, max_failures=1)
    store.extend(row.id, 2)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    assert store.status(row.id).done == 2
    connection.execute("update ledger.iteration set round = 1, size = 4")
    assert store.status(row.id).done == 0, "the next round's trials are those that count"
    connection.execute("update ledger.iteration set round = 0, size = 2")
    (retried,) = store.retry(row.id, [1])
    assert retried == 2
    found = store.status(row.id)
    assert (found.done, found.failed, found.pending, found.failures) == (2, 2, 1, 2)


def test_a_status_shows_the_workers_of_this_study_by_the_databases_clock(store, connection, advance):
    row = make_study(store, trials=4)
    other = make_study(store, "other", trials=1)
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
    found = store.status(row.id)
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


def test_the_estimate_is_of_the_latest_trials_and_leaves_out_the_time_when_nobody_worked(store, connection, advance):
    row = make_study(store, trials=4)
    store.extend(row.id, 2)
    connection.execute("select pg_advisory_lock(%s, %s)", (MANAGER_LOCK, row.id))
    announce(connection, "w")
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    advance(3600)
    announce(connection, "w", stopped=True)
    announce(connection, "new")
    held = take(connection, worker="new")
    assert store.status(row.id).trials_a_second is None, "none has ended since somebody works again"
    advance(3610)
    protocol.complete(connection, held, 0.5, {}, 1.0)
    found = store.status(row.id)
    assert found.managed
    assert found.trials_a_second == pytest.approx(0.1, rel=0.5)
    assert found.remaining_seconds == pytest.approx(6 / found.trials_a_second)
    store.pause(row.id)
    assert store.status(row.id).remaining_seconds is None


def test_a_status_tells_the_latest_failures(store, connection):
    row = make_study(store, trials=4, max_failures=9)
    assert store.status(row.id).latest_failures == []
    for number in range(5):
        protocol.fail(connection, take(connection, worker=f"w{number}"), f"Traceback\nValueError: {number}", 1.0)
    found = store.status(row.id)
    assert (found.failures, found.failed) == (5, 0)
    assert [failure.error for failure in found.latest_failures] == [f"ValueError: {number}" for number in (4, 3, 2)]
    assert [failure.worker for failure in found.latest_failures] == ["w4", "w3", "w2"]
    assert {failure.outcome for failure in found.latest_failures} == {"failed"}
    assert all(failure.seconds_ago >= 0 for failure in found.latest_failures)


def test_in_steady_mode_iterations_worth_of_trials_count(store, connection):
    row = store.create("s", {**spec(2), "mode": "steady"}, "0" * 64, 3, {})
    add_iteration(store, row, 0, 2)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    add_iteration(store, row, 1, 1)
    assert (store.status(row.id).iterations_told, store.status(row.id).done) == (0, 1)
    for _ in range(2):
        protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    found = store.status(row.id)
    assert (found.mode, found.iterations_told, found.done, found.total) == ("steady", 1, 3, 6)


def test_a_status_is_one_statement_and_no_transaction_stays_open(url, store, connection):
    row = make_study(store)
    read = [
        statement
        for statement in _statements(store, lambda: store.status(row.id))
        if not statement.lower().startswith(("begin", "commit"))
    ]
    assert len(read) == 1
    ((count,),) = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    ).fetchall()
    assert count == 0


def _statements(store: Store, task):
    said: list[str] = []

    def note(_connection, _cursor, statement, *_):
        said.append(statement)

    event.listen(store._connection, "before_cursor_execute", note)
    try:
        task()
    finally:
        event.remove(store._connection, "before_cursor_execute", note)
    return said
