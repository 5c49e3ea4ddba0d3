"""Retries are new trials, and finished trials stay unchanged. Cancelled trials."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, protocol, reads, studies, trials
from ledger.database.connection import engine
from ledger.errors import LedgerError
from ledger.manager.registration import register
from tests.integration.ledgers import add_iteration, attempt, finish, make_study, managed, take, tell, trial
from tests.integration.test_manager import square, study
from tests.integration.test_manager import workers as workers


def rows(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"select * from ledger.{table} order by 1, 2").fetchall()


def failed(db: Connection, connection: psycopg.Connection[Any], trials: int = 2) -> Any:
    """A study whose trial 0 has failed and whose others are pending."""
    row = make_study(db, trials=trials, max_failures=1)
    assert protocol.fail(connection, take(connection), "ValueError: no", 1.0) == "failed"
    return row


def test_a_retry_is_a_new_trial_of_the_iteration_that_is_under_way(db, connection):
    row = failed(db, connection)
    before = trial(connection, 0)
    assert trials.retry(db, row.id, [0]) == [2]
    assert trial(connection, 0) == before
    new = trial(connection, 2)
    assert (new["source"], new["retry_of"], new["params"]) == ("retried", 0, before["params"])
    assert (new["state"], new["iteration"], new["round"], new["failures"]) == ("pending", 0, 0, 0)
    last = studies.iterations(db, row.id)[-1]
    assert (last.number, last.size) == (0, 3)


def test_a_retry_may_fail_as_often_as_any_trial(db, connection):
    row = make_study(db, trials=1, max_failures=2)
    for expected in ("retry", "failed"):
        assert protocol.fail(connection, take(connection), "no", 1.0) == expected
    trials.retry(db, row.id, [0])
    for expected in ("retry", "failed"):
        assert protocol.fail(connection, take(connection), "no", 1.0) == expected


@pytest.mark.parametrize("state", ["running", "complete", "paused"])
def test_a_retry_after_all_is_told_makes_an_iteration_of_its_own(db, connection, state):
    row = failed(db, connection)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    if state == "complete":
        assert finish(db, row, "complete", "why") == "finished"
    if state == "paused":
        assert studies.pause(db, row.id) == "paused"
    assert trials.retry(db, row.id, [0]) == [2]
    last = studies.iterations(db, row.id)[-1]
    assert (last.number, last.round, last.size, last.told_at) == (1, 0, 1, None)
    now = studies.get(db, "s")
    assert (now.budget, now.reason, now.finished_at) == (row.budget, None, None)
    assert now.state == ("paused" if state == "paused" else "running")


def test_several_are_retried_in_one_iteration_and_all_or_none(db, connection):
    row = make_study(db, trials=3, max_failures=1)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    before = rows(connection, "trial")
    with pytest.raises(LedgerError, match="trial 2 of study s is complete"):
        trials.retry(db, row.id, [0, 2])
    assert rows(connection, "trial") == before
    assert trials.retry(db, row.id, [0, 1]) == [3, 4]
    last = studies.iterations(db, row.id)[-1]
    assert (last.number, last.size) == (1, 2)


def test_a_trial_that_cannot_be_retried_is_refused_with_its_reason(db, connection):
    row = make_study(db, trials=4, max_failures=1)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    protocol.fail(connection, take(connection), "no", 1.0)
    take(connection)
    retry = trials.retry(db, row.id, [1])
    before = [rows(connection, table) for table in ("study", "iteration", "trial", "attempt")]
    for number, said in {
        0: "trial 0 of study s is complete: only a failed or cancelled trial can be retried",
        1: "trial 1 of study s was retried as trial 4, which is pending$",
        2: "trial 2 of study s is running, so it has not ended yet",
        3: "trial 3 of study s is pending, so it has not ended yet",
        9: "trial 9 of study s does not exist",
    }.items():
        with pytest.raises(LedgerError, match=said):
            trials.retry(db, row.id, [number])
    assert [rows(connection, table) for table in ("study", "iteration", "trial", "attempt")] == before
    trials.cancel(db, row.id, retry, "test")
    with pytest.raises(
        LedgerError, match="trial 1 of study s was retried as trial 4, which is cancelled: retry trial 4"
    ):
        trials.retry(db, row.id, [1])
    assert trials.retry(db, row.id, [4]) == [5]
    studies.cancel(db, row.id, "test")
    with pytest.raises(LedgerError, match="the study was cancelled, which is final"):
        trials.retry(db, row.id, [5])


def test_workers_are_notified_of_a_retry(db, connection):
    row = failed(db, connection)
    protocol.listen(connection)
    trials.retry(db, row.id, [0])
    assert [notice.channel for notice in connection.notifies(timeout=10, stop_after=1)] == [protocol.CHANNEL]


def test_a_retry_while_its_iteration_is_told_is_waited_for(db, connection):
    row = failed(db, connection)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    trials.retry(db, row.id, [0])
    assert tell(db, row, 0, 0.5, 0.5, size=2) == "changed"
    assert finish(db, row, "failed", "why") == "changed"
    protocol.complete(connection, take(connection), 0.25, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5, size=2) == "changed", "the losses of two trials are not those of three"
    assert tell(db, row, 0, 0.375, 0.25, size=3) == "told"
    assert finish(db, row, "complete", None) == "finished"


def test_a_manager_waits_for_a_retry_that_comes_while_it_tells(db, url, workers, tmp_path, monkeypatch):
    workers(lambda params: None if params["x"] < 0 else square(params))
    tell = managing.tell
    made: list[int] = []

    def retry_first(*arguments: Any) -> Any:
        if not made:
            with engine(url).connect() as connection:
                other = connection
                study_id = arguments[1].study_id
                chosen = [row.number for row in trials.all_of(other, study_id) if row.state == "failed"]
                made.extend(trials.retry(other, study_id, chosen[:1]))
        return tell(*arguments)

    monkeypatch.setattr(managing, "tell", retry_first)
    row = managed(db, register(db, study(tmp_path, batch_size=4, iterations=2))).run()
    assert (row.state, row.budget, len(made)) == ("complete", 8, 1)
    assert [told.size for told in studies.iterations(db, row.id)] == [5, 4]


@pytest.mark.parametrize("again", [True, False], ids=["complete", "failed"])
def test_a_complete_study_is_complete_again_after_a_retry(db, workers, tmp_path, again):
    repaired = threading.Event()
    workers(lambda params: None if params["x"] < 0 and not repaired.is_set() else square(params))
    row = managed(db, register(db, study(tmp_path, batch_size=4))).run()
    assert row.state == "complete"
    if again:
        repaired.set()
    (chosen, *_) = [trial.number for trial in trials.all_of(db, row.id) if trial.state == "failed"]
    (new,) = trials.retry(db, row.id, [chosen])
    row = managed(db, studies.get(db, "s")).run()
    assert (row.state, row.budget) == ("complete", 16)
    last = studies.iterations(db, row.id)[-1]
    loss = trials.all_of(db, row.id)[new].loss
    assert (loss is not None) == again
    assert (last.size, last.mean_loss, last.best_loss) == (1, loss, loss)
    progress = reads.progress(db, "s")[0]
    assert (progress.iterations_told, progress.ended, progress.budget) == (5, 16, 16)
    assert progress.complete + progress.failed == 17


def test_a_failed_study_goes_on_after_a_retry(db, workers, tmp_path):
    repaired = threading.Event()
    workers(lambda params: square(params) if repaired.is_set() else None)
    row = managed(db, register(db, study(tmp_path, iterations=2))).run()
    assert row.state == "failed"
    repaired.set()
    trials.retry(db, row.id, [1])
    row = managed(db, studies.get(db, "s")).run()
    assert (row.state, row.budget) == ("complete", 4)
    assert [(told.round, told.size) for told in studies.iterations(db, row.id)] == [(0, 3), (0, 2)]


def test_an_iteration_of_cancelled_trials_gets_another_round(db, url, workers, tmp_path):
    cancelled = threading.Event()

    def watch(_progress: Any) -> None:
        if not cancelled.is_set():
            with engine(url).connect() as connection:
                other = connection
                trials.cancel(other, studies.get(other, "s").id, [0, 1], "test")
            cancelled.set()
            workers(square)

    row = managed(db, register(db, study(tmp_path, iterations=2)), watch).run()
    assert row.state == "complete"
    assert [(told.round, told.size) for told in studies.iterations(db, row.id)] == [(1, 4), (0, 2)]


def test_a_cancelled_trial_is_lost_and_its_late_result_stale(db, connection):
    row = make_study(db)
    held = take(connection)
    trials.cancel(db, row.id, [0, 1], "not wanted")
    assert [trial(connection, number)["state"] for number in range(4)] == ["cancelled"] * 2 + ["pending"] * 2
    assert trial(connection, 0)["error"] == "not wanted"
    lost = attempt(connection, held.claim)
    assert (lost["outcome"], lost["error"]) == ("lost", "not wanted")
    assert not protocol.heartbeat(connection, held)
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "stale"
    assert take(connection).trial == 2


def test_a_trial_that_has_ended_is_not_cancelled_and_all_or_none_are(db, connection):
    row = make_study(db)
    protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    for numbers, said in {
        (1, 0): "trial 0 of study s is complete already",
        (1, 9): "trial 9 of study s does not",
    }.items():
        with pytest.raises(LedgerError, match=said):
            trials.cancel(db, row.id, numbers, "test")
        assert trial(connection, 1)["state"] == "pending"


def test_cancelling_a_study_reaches_a_claim_that_is_being_taken(db, connection, url):
    row = make_study(db, trials=1)
    add_iteration(db, row, 1, 1)
    with psycopg.connect(url) as claiming:
        held = take(claiming)
        studies.cancel(db, row.id, "test")
        claiming.commit()
    assert not protocol.heartbeat(connection, held)
    assert [trial(connection, number)["state"] for number in (0, 1)] == ["cancelled"] * 2
    assert attempt(connection, held.claim)["outcome"] == "lost"


def test_a_study_that_has_ended_is_not_cancelled(db):
    row = make_study(db, trials=1)
    trials.cancel(db, row.id, [0], "test")
    assert finish(db, row, "failed", "why") == "finished"
    studies.cancel(db, row.id, "test")
    assert (studies.get(db, "s").state, studies.get(db, "s").reason) == ("failed", "why")
