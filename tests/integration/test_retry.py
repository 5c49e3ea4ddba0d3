"""Retries are new trials, and finished trials stay unchanged. Cancelled trials."""

import threading
from typing import Any

import psycopg
import pytest

from ledger.database import protocol
from ledger.database.connection import engine
from ledger.database.store import Store
from ledger.errors import LedgerError
from ledger.manager.batch import Manager, register
from tests.integration.ledgers import add_iteration, attempt, make_study, take, trial
from tests.integration.test_manager import square, study
from tests.integration.test_manager import workers as workers
from tests.system.programs import wait_until


def rows(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"select * from ledger.{table} order by 1, 2").fetchall()


def failed(store: Store, connection: psycopg.Connection[Any], trials: int = 2) -> Any:
    """Create a study whose trial 0 has failed and whose other trials are pending."""
    row = make_study(store, trials=trials, max_failures=1)
    assert protocol.fail(connection, take(connection), "ValueError: no", 1.0) == "failed"
    return row


def test_a_retry_is_a_new_trial_of_the_iteration_that_is_under_way(store, connection):
    row = failed(store, connection)
    before = trial(connection, 0)
    assert store.retry(row.id, [0]) == [2]
    assert trial(connection, 0) == before
    new = trial(connection, 2)
    assert (new["source"], new["retry_of"], new["params"]) == ("retried", 0, before["params"])
    assert (new["state"], new["iteration"], new["round"], new["failures"]) == ("pending", 0, 0, 0)
    last = store.last_iteration(row.id)
    assert (last.number, last.size) == (0, 3)
    assert store.study("s").iterations == 1


def test_a_retry_may_fail_as_often_as_any_trial(store, connection):
    row = make_study(store, trials=1, max_failures=2)
    for expected in ("retry", "failed"):
        assert protocol.fail(connection, take(connection), "no", 1.0) == expected
    store.retry(row.id, [0])
    for expected in ("retry", "failed"):
        assert protocol.fail(connection, take(connection), "no", 1.0) == expected


@pytest.mark.parametrize("state", ["running", "complete", "paused"])
def test_a_retry_after_all_is_told_makes_an_iteration_and_the_budget_grows(store, connection, state):
    row = failed(store, connection)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert store.tell(row.id, 0, 0.5, 0.5)
    if state == "complete":
        assert store.finish(row.id, "complete", "why")
    if state == "paused":
        assert store.pause(row.id)
    assert store.retry(row.id, [0]) == [2]
    last = store.last_iteration(row.id)
    assert (last.number, last.round, last.size, last.told_at) == (1, 0, 1, None)
    now = store.study("s")
    assert (now.iterations, now.reason, now.finished_at) == (2, None, None)
    assert now.state == ("paused" if state == "paused" else "running")


def test_several_are_retried_in_one_iteration_and_all_or_none(store, connection):
    row = make_study(store, trials=3, max_failures=1)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert store.tell(row.id, 0, 0.5, 0.5)
    before = rows(connection, "trial")
    with pytest.raises(LedgerError, match="trial 2 of study s is complete"):
        store.retry(row.id, [0, 2])
    assert rows(connection, "trial") == before
    assert store.retry(row.id, [0, 1]) == [3, 4]
    last = store.last_iteration(row.id)
    assert (last.number, last.size) == (1, 2)


def test_what_cannot_be_retried_is_refused_with_its_reason_and_nothing_is_written(store, connection):
    row = make_study(store, trials=4, max_failures=1)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    protocol.fail(connection, take(connection), "no", 1.0)
    take(connection)
    retry = store.retry(row.id, [1])
    before = [rows(connection, table) for table in ("study", "iteration", "trial", "attempt")]
    for number, said in {
        0: "trial 0 of study s is complete, and its loss stands",
        1: "trial 1 of study s was retried as trial 4, which is pending$",
        2: "trial 2 of study s is running, so it is still to come",
        3: "trial 3 of study s is pending, so it is still to come",
        9: "trial 9 of study s does not exist",
    }.items():
        with pytest.raises(LedgerError, match=said):
            store.retry(row.id, [number])
    assert [rows(connection, table) for table in ("study", "iteration", "trial", "attempt")] == before
    store.cancel_trials(row.id, retry, "test")
    with pytest.raises(
        LedgerError, match="trial 1 of study s was retried as trial 4, which is cancelled: retry that one"
    ):
        store.retry(row.id, [1])
    assert store.retry(row.id, [4]) == [5]
    store.cancel(row.id, "test")
    with pytest.raises(LedgerError, match="the study was cancelled, which is for good"):
        store.retry(row.id, [5])


def test_workers_are_told_of_a_retry(store, connection):
    row = failed(store, connection)
    protocol.listen(connection)
    store.retry(row.id, [0])
    assert [notice.channel for notice in connection.notifies(timeout=10, stop_after=1)] == [protocol.CHANNEL]


def test_a_trial_that_is_retried_while_its_iteration_is_told_or_its_study_ended_is_waited_for(store, connection):
    row = failed(store, connection)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    store.retry(row.id, [0])
    assert not store.tell(row.id, 0, 0.5, 0.5, 2)
    assert not store.finish(row.id, "failed", "why")
    protocol.complete(connection, take(connection), 0.25, {}, 1.0)
    assert not store.tell(row.id, 0, 0.5, 0.5, 2), "the losses of two trials are not those of three"
    assert store.tell(row.id, 0, 0.375, 0.25, 3)
    assert store.finish(row.id, "complete", None)


def test_a_manager_waits_for_a_retry_that_comes_while_it_tells(store, url, workers, tmp_path, monkeypatch):
    workers(lambda params: None if params["x"] < 0 else square(params))
    tell = store.tell
    made: list[int] = []

    def retry_first(*arguments: Any) -> Any:
        if not made:
            with engine(url).connect() as connection:
                other = Store(connection)
                chosen = [row.number for row in other.trials(arguments[0]) if row.state == "failed"]
                made.extend(other.retry(arguments[0], chosen[:1]))
        return tell(*arguments)

    monkeypatch.setattr(store, "tell", retry_first)
    row = Manager(store, register(store, study(tmp_path, batch_size=4, iterations=2))).run()
    assert (row.state, row.iterations, len(made)) == ("complete", 2, 1)
    assert [told.size for told in store.iterations(row.id)] == [5, 4]


@pytest.mark.parametrize("again", [True, False], ids=["complete", "failed"])
def test_a_complete_study_is_complete_again_after_a_retry_whatever_becomes_of_it(store, workers, tmp_path, again):
    repaired = threading.Event()
    workers(lambda params: None if params["x"] < 0 and not repaired.is_set() else square(params))
    row = Manager(store, register(store, study(tmp_path, batch_size=4))).run()
    assert row.state == "complete"
    if again:
        repaired.set()
    (chosen, *_) = [trial.number for trial in store.trials(row.id) if trial.state == "failed"]
    (new,) = store.retry(row.id, [chosen])
    row = Manager(store, store.study("s")).run()
    assert (row.state, row.iterations) == ("complete", 5)
    last = store.iterations(row.id)[-1]
    loss = store.trials(row.id)[new].loss
    assert (loss is not None) == again
    assert (last.size, last.mean_loss, last.best_loss) == (1, loss, loss)
    progress = store.progress("s")[0]
    assert (progress.iterations_told, progress.iterations) == (5, 5)
    assert progress.complete + progress.failed == 17


def test_a_failed_study_goes_on_after_a_retry(store, workers, tmp_path):
    repaired = threading.Event()
    workers(lambda params: square(params) if repaired.is_set() else None)
    row = Manager(store, register(store, study(tmp_path, iterations=2))).run()
    assert row.state == "failed"
    repaired.set()
    store.retry(row.id, [5])
    row = Manager(store, store.study("s")).run()
    assert (row.state, row.iterations) == ("complete", 2)
    assert [(told.round, told.size) for told in store.iterations(row.id)] == [(2, 7), (0, 2)]


def test_an_iteration_whose_trials_were_all_cancelled_gets_another_round(store, url, workers, tmp_path):
    cancelled = threading.Event()

    def watch(_progress: Any) -> None:
        if not cancelled.is_set():
            with engine(url).connect() as connection:
                other = Store(connection)
                other.cancel_trials(other.study("s").id, [0, 1], "test")
            cancelled.set()
            workers(square)

    row = Manager(store, register(store, study(tmp_path, iterations=2)), watch).run()
    assert row.state == "complete"
    assert [(told.round, told.size) for told in store.iterations(row.id)] == [(1, 4), (0, 2)]


def test_a_cancelled_trial_is_gone_at_its_next_heartbeat_and_its_late_result_is_kept_as_stale(store, connection):
    row = make_study(store)
    held = take(connection)
    store.cancel_trials(row.id, [0, 1], "not wanted")
    assert [trial(connection, number)["state"] for number in range(4)] == ["cancelled"] * 2 + ["pending"] * 2
    assert trial(connection, 0)["error"] == "not wanted"
    lost = attempt(connection, held.claim)
    assert (lost["outcome"], lost["error"]) == ("lost", "not wanted")
    assert not protocol.heartbeat(connection, held)
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "stale"
    assert take(connection).trial == 2


def test_a_trial_that_has_ended_is_not_cancelled_and_all_or_none_are(store, connection):
    row = make_study(store)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    for numbers, said in {
        (1, 0): "trial 0 of study s is complete already",
        (1, 9): "trial 9 of study s does not",
    }.items():
        with pytest.raises(LedgerError, match=said):
            store.cancel_trials(row.id, numbers, "test")
        assert trial(connection, 1)["state"] == "pending"


def test_cancelling_a_study_reaches_a_claim_that_is_being_taken(store, connection, url):
    row = make_study(store, trials=1)
    add_iteration(store, row, 1, 1)
    with psycopg.connect(url) as claiming, engine(url).connect() as other:
        held = take(claiming)
        cancelling = threading.Thread(target=lambda: Store(other).cancel(row.id, "test"))
        cancelling.start()
        waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        wait_until(lambda: connection.execute(waiting).fetchall())
        claiming.commit()
        cancelling.join()
    assert [trial(connection, number)["state"] for number in (0, 1)] == ["cancelled"] * 2
    assert attempt(connection, held.claim)["outcome"] == "lost"


def test_a_study_that_has_ended_is_not_cancelled(store):
    row = make_study(store, trials=1)
    store.cancel_trials(row.id, [0], "test")
    assert store.finish(row.id, "failed", "why")
    store.cancel(row.id, "test")
    assert (store.study("s").state, store.study("s").reason) == ("failed", "why")
