"""The protocol of workers: claim, heartbeat, complete, fail, release and reap, with their guarantees."""

import threading
import time
import uuid

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledger.database import managing, migration, protocol, studies, trials
from ledger.database.connection import engine
from ledger.database.retry import RetryPolicy
from ledger.database.session import ReconnectingSession
from ledger.worker.output import KEPT
from tests.integration.ledgers import attempt, claim_one, expire, finish, make_study, propose, reap, spec, take, trial

ENDED = "ledger_ended"


def test_a_claim_takes_the_pending_trial_with_the_lowest_number(db, connection):
    make_study(db, trials=2)
    first, second = take(connection), take(connection)
    assert (first.trial, second.trial) == (0, 1)
    assert first.params == {"C": 1.0}
    assert (first.lease_seconds, first.heartbeat_seconds, first.timeout_seconds) == (30.0, 10.0, None)
    assert (first.study_name, first.study_seed, first.attempt) == ("s", 42, 1)
    assert claim_one(connection, "s", uuid.uuid4(), "w") is None
    assert trial(connection)["state"] == "running"


def test_no_trial_is_claimed_twice_by_many_workers_at_once(url, db, connection):
    make_study(db, trials=120)
    taken: list[int] = []
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as own:
                while (held := claim_one(own, "s", uuid.uuid4(), name)) is not None:
                    taken.append(held.trial)
                    assert protocol.complete(own, held, 0.5, {}, 0.0) == "recorded"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"w{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(taken) == list(range(120))
    assert connection.execute("select count(*), count(distinct trial) from ledger.attempt").fetchone() == (120, 120)


def test_a_claim_waits_for_no_lock_and_skips_a_locked_trial(url, db, connection):
    make_study(db, trials=2)
    with psycopg.connect(url) as other:
        other.execute("select from ledger.trial where number = 0 for no key update")
        assert take(connection).trial == 1


def test_a_claim_sent_again_is_answered_with_the_same_trial(db, connection):
    make_study(db, trials=2)
    held = take(connection)
    assert claim_one(connection, "s", held.claim, "w") == held
    assert trial(connection)["attempts"] == 1
    assert trial(connection, 1)["state"] == "pending"


def test_a_claim_that_has_ended_is_not_answered_with_its_trial(db, connection):
    make_study(db, trials=2)
    held = take(connection)
    protocol.complete(connection, held, 0.5, {}, 0.0)
    assert claim_one(connection, "s", held.claim, "w") is None
    assert trial(connection, 1)["state"] == "pending"


@pytest.mark.parametrize("state", ["paused", "cancelled", "complete", "failed"])
def test_pause_and_cancel_bind_at_once(db, connection, state):
    row = make_study(db)
    if state == "paused":
        studies.pause(db, row.id)
    elif state == "cancelled":
        studies.cancel(db, row.id, "test")
    else:
        # with SQL, because a study with open trials cannot be finished
        connection.execute("update ledger.study set state = %s, finished_at = now()", (state,))
    assert claim_one(connection, "s", uuid.uuid4(), "w") is None
    assert claim_one(connection, None, uuid.uuid4(), "w") is None


def test_a_worker_of_any_study_serves_the_oldest_that_has_work(db, connection):
    make_study(db, "a", trials=1)
    make_study(db, "b", trials=1)
    assert [take(connection, None).study_name for _ in range(2)] == ["a", "b"]


def test_a_study_that_is_not_there_yet_has_no_work_and_has_not_ended(db, connection):
    assert claim_one(connection, "later", uuid.uuid4(), "w") is None
    assert not protocol.ended(connection, "later")
    assert not protocol.ended(connection, None)


def test_ended_is_true_of_one_study_and_of_all(db, connection):
    done = make_study(db, "done")
    make_study(db, "open")
    trials.cancel(db, done.id, range(4), "test")
    assert finish(db, done, "complete", None) == "finished"
    assert protocol.ended(connection, "done")
    assert not protocol.ended(connection, "open")
    assert not protocol.ended(connection, None)


def test_a_heartbeat_prolongs_the_lease(db, connection, advance):
    make_study(db)
    held = take(connection)
    advance(20)
    before = trial(connection)["lease_until"]
    assert protocol.heartbeat(connection, held)
    assert 19 < (trial(connection)["lease_until"] - before).total_seconds() < 25


def test_a_result_is_recorded_with_its_attempt(db, connection):
    make_study(db)
    held = take(connection)
    assert protocol.complete(connection, held, 0.25, {"accuracy": 0.75}, 1.5) == "recorded"
    row = trial(connection)
    assert (row["state"], row["loss"], row["metrics"]) == ("complete", 0.25, {"accuracy": 0.75})
    assert row["finished_at"] is not None
    ended = attempt(connection, held.claim)
    assert (ended["outcome"], ended["loss"], ended["seconds"], ended["number"]) == ("complete", 0.25, 1.5, 1)


def test_a_lost_acknowledgement_of_a_result_is_recognised(db, connection):
    make_study(db)
    held = take(connection)
    protocol.complete(connection, held, 0.25, {}, 1.5)
    assert protocol.complete(connection, held, 0.25, {}, 1.5) == "already"


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_refused_by_the_database(db, connection, loss):
    make_study(db)
    held = take(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the loss: -?(NaN|Infinity) is not a finite"):
        protocol.complete(connection, held, loss, {}, 1.0)
    assert trial(connection)["state"] == "running"


def test_an_expired_claim_goes_back_to_pending_and_its_attempt_is_lost(db, connection, advance):
    make_study(db)
    held = take(connection)
    assert expire(db, connection) is None, "the lease has not run out"
    advance(31)
    assert [lease.trial for lease in managing.leases(db, held.study_id)] == [0]
    assert expire(db, connection) == "pending"
    row = trial(connection)
    assert (row["state"], row["lost"], row["failures"], row["claim"]) == ("pending", 1, 0, held.claim)
    assert attempt(connection, held.claim)["outcome"] == "lost"


def test_a_claim_that_was_renewed_after_it_was_seen_is_not_taken_back(db, connection, advance):
    row = make_study(db)
    held = take(connection)
    advance(31)
    (seen,) = managing.leases(db, row.id)
    assert protocol.heartbeat(connection, held)
    advance(62)
    assert reap(db, row, seen) is None
    assert trial(connection)["state"] == "running"


def test_a_trial_that_the_machines_lose_too_often_fails(db, connection, advance):
    make_study(db, max_lost=2)
    for seconds, expected in ((31, "pending"), (62, "failed")):
        take(connection)
        advance(seconds)
        assert expire(db, connection) == expected
    row = trial(connection)
    assert row["state"] == "failed"
    assert row["error"] == "lost 2 times, the last by worker w"


def test_a_late_result_of_a_claim_that_was_not_replaced_is_kept(db, connection, advance):
    make_study(db)
    held = take(connection)
    advance(31)
    expire(db, connection)
    assert protocol.complete(connection, held, 0.5, {}, 40.0) == "recorded"
    assert trial(connection)["state"] == "complete"
    assert attempt(connection, held.claim)["outcome"] == "complete"


def test_a_result_of_a_replaced_claim_is_kept_as_stale(db, connection, advance):
    make_study(db, trials=1)
    late = take(connection)
    advance(31)
    expire(db, connection)
    holder = take(connection, worker="other")
    assert protocol.complete(connection, late, 0.5, {}, 40.0) == "stale"
    assert trial(connection)["state"] == "running"
    kept = attempt(connection, late.claim)
    assert (kept["outcome"], kept["loss"]) == ("stale", 0.5)
    assert protocol.complete(connection, holder, 0.25, {}, 1.0) == "recorded"
    assert trial(connection)["loss"] == 0.25
    assert protocol.complete(connection, late, 0.5, {}, 40.0) == "stale"


def test_a_heartbeat_revives_a_claim_that_was_not_replaced(db, connection, advance):
    make_study(db)
    held = take(connection)
    advance(31)
    expire(db, connection)
    assert protocol.heartbeat(connection, held)
    assert trial(connection)["state"] == "running"
    assert protocol.fail(connection, held, "it broke", 40.0) == "retry"
    assert attempt(connection, held.claim)["outcome"] == "failed"


def test_a_heartbeat_says_that_the_claim_is_gone(db, connection, advance):
    make_study(db, trials=1)
    late = take(connection)
    advance(31)
    expire(db, connection)
    take(connection, worker="other")
    assert not protocol.heartbeat(connection, late)
    assert not protocol.release(connection, late)
    assert protocol.fail(connection, late, "too late", 1.0) == "stale"
    assert trial(connection)["failures"] == 0


def test_a_trial_whose_objective_fails_is_tried_again_up_to_max_failures(db, connection):
    make_study(db, trials=1)
    for expected in ("retry", "retry", "failed"):
        held = take(connection)
        assert protocol.fail(connection, held, f"ValueError: {held.attempt}\0", 0.5) == expected
        assert protocol.fail(connection, held, "again", 0.5) == "already"
    row = trial(connection)
    assert (row["state"], row["failures"], row["attempts"]) == ("failed", 3, 3)
    assert row["error"] == "ValueError: 3\\0"
    outcomes = connection.execute("select outcome, error from ledger.attempt order by number").fetchall()
    assert outcomes == [("failed", f"ValueError: {number}\\0") for number in (1, 2, 3)]


def test_a_trial_that_crashes_is_tried_again_up_to_max_crashes(db, connection):
    make_study(db, trials=2, max_failures=1, max_crashes=2)
    for expected in ("retry", "failed"):
        held = take(connection)
        assert protocol.fail(connection, held, "signal SIGSEGV", 0.5, "crashed") == expected
        assert protocol.fail(connection, held, "signal SIGSEGV", 0.5, "crashed") == "already"
    row = trial(connection)
    assert (row["state"], row["failures"], row["crashes"]) == ("failed", 0, 2)
    outcomes = connection.execute("select outcome from ledger.attempt order by number").fetchall()
    assert outcomes == [("crashed",)] * 2


def test_crashes_and_failures_are_counted_apart(db, connection):
    make_study(db, trials=1, max_failures=2, max_crashes=2)
    for outcome, expected in (("crashed", "retry"), ("timeout", "retry"), ("crashed", "failed")):
        assert protocol.fail(connection, take(connection), "no", 0.5, outcome) == expected
    row = trial(connection)
    assert (row["failures"], row["crashes"]) == (1, 2)


def test_the_end_of_an_output_is_kept_with_its_attempt(db, connection):
    make_study(db, trials=1)
    longest = KEPT
    outputs = {"": None, "é\0": "é\\0", "a" * longest + "end": "a" * (longest - 3) + "end"}
    for output, kept in outputs.items():
        held = take(connection)
        if output:
            assert protocol.fail(connection, held, "no", 1.0, "failed", output) == "retry"
        else:
            assert protocol.fail(connection, held, "no", 1.0) == "retry"
        assert attempt(connection, held.claim)["output"] == kept
        connection.execute("update ledger.trial set failures = 0")
    late = take(connection)
    (answer,) = protocol.complete_together(
        connection, [protocol.CompletedTrial(late, 0.5, {}, 1.0, "b" * longest + "end")]
    )
    assert answer == "recorded"
    assert attempt(connection, late.claim)["output"] == "b" * (longest - 3) + "end"


def test_a_database_of_any_encoding_keeps_the_output(server):
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    try:
        with engine(make_conninfo(server, dbname="latin")).connect() as db:
            migration.upgrade(db)
            make_study(db, trials=1)
        with psycopg.connect(server, dbname="latin", client_encoding="UTF8", autocommit=True) as connection:
            held = take(connection)
            assert protocol.fail(connection, held, "no ✓", 1.0, "failed", "done ✓") == "retry"
            row = attempt(connection, held.claim)
            assert (row["error"], row["output"]) == ("no \\u2713", "done \\u2713")
    finally:
        with psycopg.connect(server, autocommit=True) as maintenance:
            maintenance.execute("drop database latin with (force)")


def test_a_released_trial_is_claimable_and_counted_against_nothing(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    assert protocol.release(connection, held)
    assert attempt(connection, held.claim)["outcome"] == "released"
    again = take(connection)
    assert (again.trial, again.attempt) == (0, 2)
    row = trial(connection)
    assert (row["failures"], row["lost"]) == (0, 0)
    assert not protocol.heartbeat(connection, held)


def test_a_result_for_a_cancelled_study_is_kept_as_stale(db, connection):
    row = make_study(db)
    held = take(connection)
    studies.cancel(db, row.id, "test")
    assert not protocol.heartbeat(connection, held)
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "stale"
    assert attempt(connection, held.claim)["loss"] == 0.5
    states = connection.execute("select distinct state from ledger.trial").fetchall()
    assert states == [("cancelled",)]


def test_a_claim_that_never_was_is_unknown(db, connection):
    make_study(db)
    held = take(connection)
    stranger = protocol.ClaimedTrial(**{**vars(held), "claim": uuid.uuid4()})
    assert protocol.complete(connection, stranger, 0.5, {}, 1.0) == "unknown"
    assert protocol.fail(connection, stranger, "error", 1.0) == "unknown"
    assert trial(connection)["state"] == "running"


def test_a_result_for_a_deleted_study_is_unknown(db, connection):
    row = make_study(db)
    held = take(connection)
    assert studies.delete(db, row) == "deleted"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "unknown"


def test_new_trials_are_notified_once_a_batch(url, db):
    with psycopg.connect(url, autocommit=True) as listener:
        protocol.listen(listener)
        make_study(db, trials=50)
        heard = list(listener.notifies(timeout=5, stop_after=1))
        heard += list(listener.notifies(timeout=0))
    assert [notification.channel for notification in heard] == [protocol.CHANNEL]


@pytest.mark.parametrize("how", ["complete", "fail", "cancel"])
def test_the_end_of_an_iteration_is_told_once_and_that_of_a_trial_never(url, connection, db, how):
    row = make_study(db, trials=3, max_failures=1)
    held = [take(connection) for _ in range(3)]
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {ENDED}")
        protocol.complete(connection, held[0], 0.5, {}, 1.0)
        protocol.complete(connection, held[1], 0.5, {}, 1.0)
        assert not list(listener.notifies(timeout=0.2))
        if how == "complete":
            protocol.complete(connection, held[2], 0.5, {}, 1.0)
        elif how == "fail":
            protocol.fail(connection, held[2], "ValueError: no", 1.0)
        else:
            studies.cancel(db, row.id, "test")
        heard = list(listener.notifies(timeout=5, stop_after=1))
        heard += list(listener.notifies(timeout=0))
    assert [(told.channel, told.payload) for told in heard] == [(ENDED, str(row.id))]


def test_a_trial_that_becomes_pending_again_does_not_end_its_iteration(url, connection, db):
    make_study(db)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {ENDED}")
        protocol.release(connection, take(connection))
        assert trial(connection)["state"] == "pending"
        assert not list(listener.notifies(timeout=0.2))


def test_a_manager_waits_no_longer_than_to_the_end_of_an_iteration(connection, db):
    row = make_study(db, trials=1)
    managing.listen(db)
    ending = threading.Timer(0.2, protocol.complete, (connection, take(connection), 0.5, {}, 1.0))
    ending.start()
    started = time.monotonic()
    managing.wait(db, 60)
    assert time.monotonic() - started < 60
    ending.join()
    assert [each.state for each in managing.news(db, row.id, {0}, 1)] == ["complete"]
    state = managing.state(db, row.id)
    assert (state.state, state.budget) == ("running", row.budget)


def test_in_steady_mode_no_end_is_told(url, connection, db):
    asked = {**spec(1), "mode": "steady"}
    row = studies.create(db, "s", asked, "0" * 64, 1, {})
    assert row is not None
    propose(db, row, 0, [{"C": 1.0}], seen=[])
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {ENDED}")
        protocol.complete(connection, take(connection), 0.5, {}, 1.0)
        assert not list(listener.notifies(timeout=0.2))


def test_an_announced_worker_is_seen(connection):
    protocol.announce(connection, "w", "host", 7, {"python": "3.11"})
    protocol.announce(connection, "w", "host", 7, {})
    row = connection.execute("select host, pid, versions, stopped_at from ledger.worker").fetchall()
    assert row == [("host", 7, {"python": "3.11"}, None)]
    protocol.announce(connection, "w", "host", 7, {}, stopped=True)
    assert connection.execute("select stopped_at is not null from ledger.worker").fetchall() == [(True,)]


@pytest.mark.parametrize("metrics", ["[1]", "null", "0.5"])
def test_metrics_are_an_object_or_refused(db, connection, metrics):
    make_study(db)
    held = take(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the metrics: they are not an object"):
        connection.execute(
            "select ledger.complete(%s, %s, %s, 0.5, %s)", (held.study_id, held.trial, held.claim, metrics)
        )
    assert trial(connection)["state"] == "running"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_seconds_are_finite_or_refused(db, connection, seconds):
    make_study(db)
    held = take(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="seconds: -?(NaN|Infinity|1) is not a plausible"):
        protocol.complete(connection, held, 0.5, {}, seconds)


def test_a_failure_without_a_reason_is_recorded(db, connection):
    make_study(db, max_failures=1)
    held = take(connection)
    answer = connection.execute("select ledger.fail(%s, %s, %s, null)", (held.study_id, held.trial, held.claim))
    assert answer.fetchone() == ("failed",)
    assert trial(connection)["error"] == "no reason was given"


@pytest.mark.parametrize("outcome", ["released", "lost", "complete", "stale", "", None])
def test_a_failure_is_failed_crashed_or_timeout(db, connection, outcome):
    make_study(db)
    held = take(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="failed, crashed and timeout"):
        protocol.fail(connection, held, "error", 1.0, outcome)


def test_a_claim_sent_again_waits_for_the_commit_of_the_first(db, connection, url):
    make_study(db)
    claim = uuid.uuid4()
    answers: list[protocol.ClaimedTrial | None] = []
    with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as again:
        held = claim_one(first, "s", claim, "w")
        thread = threading.Thread(target=lambda: answers.append(claim_one(again, "s", claim, "w")))
        thread.start()
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while connection.execute(waiting).fetchone() == (0,):
            assert thread.is_alive()
        first.commit()
        thread.join()
    assert answers == [held]
    assert connection.execute("select count(*) from ledger.attempt").fetchone() == (1,)


def test_a_worker_behind_a_pooler_goes_on_without_prepared_statements(db, url):
    make_study(db, trials=9)
    session = ReconnectingSession(url, "ledger worker", 10.0, RetryPolicy(60), protocol.listen, lambda seconds: None)
    taken = []
    for number in range(9):
        held = session.call(claim_one, "s", uuid.uuid4(), "w")
        assert held is not None
        taken.append(held.trial)
        if number == 6:
            # another session of the server, as behind a pooler
            session.call(lambda connection: connection.execute("deallocate all"))
    session.close()
    assert taken == list(range(9))


def claims(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def test_several_claims_take_the_pending_trials_with_the_lowest_numbers(db, connection):
    make_study(db, trials=5, trial_timeout=60.0)
    held = protocol.claim(connection, "s", asked := claims(3), "w")
    assert [(each.trial, each.claim, each.attempt) for each in held] == [(n, asked[n], 1) for n in range(3)]
    assert [attempt(connection, claim)["trial"] for claim in asked] == [0, 1, 2]
    # the other trials begin later, so they have no deadline yet
    assert [trial(connection, number)["deadline_at"] is None for number in range(3)] == [False, True, True]
    assert [each.trial for each in protocol.claim(connection, "s", claims(3), "w")] == [3, 4]
    assert protocol.claim(connection, "s", claims(3), "w") == []


def test_several_claims_sent_again_are_answered_with_the_same_trials(db, connection):
    make_study(db, trials=5)
    held = protocol.claim(connection, "s", asked := claims(3), "w")
    assert protocol.claim(connection, "s", asked, "w") == held
    protocol.complete(connection, held[1], 0.5, {}, 0.0)
    assert protocol.claim(connection, "s", asked, "w") == [held[0], held[2]]
    assert trial(connection, 3)["state"] == "pending"


def test_no_worker_is_given_more_than_its_share_of_what_is_pending(db, connection, advance):
    make_study(db, trials=20)
    for name in ("w", "other", "third", "fourth", "left"):
        protocol.announce(connection, name, "host", 7, {}, stopped=name == "left")
    assert len(protocol.claim(connection, "s", claims(3), "w")) == 3
    assert len(protocol.claim(connection, "s", claims(16), "other")) == 4, "a quarter of 17"
    # a worker that has not reported for 30 seconds gets no share
    advance(31)
    protocol.announce(connection, "w", "host", 7, {})
    assert len(protocol.claim(connection, "s", claims(10), "w")) == 10
    protocol.announce(connection, "other", "host", 7, {})
    assert len(protocol.claim(connection, "s", claims(10), "w")) == 1
    assert len(protocol.claim(connection, "s", claims(10), "w")) == 1
    assert len(protocol.claim(connection, "s", claims(10), "w")) == 1, "the last one, though its half is none"
    assert protocol.claim(connection, "s", claims(10), "w") == []


def test_several_claims_are_of_one_study(db, connection):
    make_study(db, "a", trials=2)
    make_study(db, "b", trials=2)
    assert [held.study_name for held in protocol.claim(connection, None, claims(4), "w")] == ["a", "a"]
    assert [held.study_name for held in protocol.claim(connection, None, claims(4), "w")] == ["b", "b"]


def test_too_many_claims_at_once_are_refused(db, connection):
    make_study(db)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="65 claims at once are too many: 64 are the most"):
        protocol.claim(connection, "s", claims(65), "w")
    assert protocol.claim(connection, "s", [], "w") == []


def test_results_written_together_are_answered_one_by_one(db, connection, advance):
    make_study(db, trials=4)
    held = protocol.claim(connection, "s", claims(4), "w")
    protocol.complete(connection, held[0], 0.5, {}, 0.0)
    protocol.fail(connection, held[1], "error", 1.0)
    stranger = protocol.ClaimedTrial(**{**vars(held[2]), "claim": uuid.uuid4()})
    results = [protocol.CompletedTrial(each, 0.25, {"n": each.trial}, 1.5) for each in (*held[:3], stranger, held[3])]
    answers = ["already", "stale", "recorded", "unknown", "recorded"]
    assert protocol.complete_together(connection, results) == answers
    assert [trial(connection, number)["metrics"] for number in (2, 3)] == [{"n": 2}, {"n": 3}]


def test_trials_released_together_are_answered_one_by_one(db, connection):
    make_study(db, trials=3)
    held = protocol.claim(connection, "s", claims(3), "w")
    protocol.complete(connection, held[1], 0.5, {}, 0.0)
    assert protocol.release(connection, *held) == {held[0].claim, held[2].claim}
    assert [attempt(connection, each.claim)["outcome"] for each in held] == ["released", "complete", "released"]
    rows = connection.execute("select state, failures, lost from ledger.trial order by number").fetchall()
    assert rows == [("pending", 0, 0), ("complete", 0, 0), ("pending", 0, 0)]


def test_calls_of_the_hot_path_are_prepared_again_after_a_loss(db, url):
    make_study(db, trials=40)
    session = ReconnectingSession(url, "ledger worker", 10.0, RetryPolicy(60), protocol.listen, lambda seconds: None)
    for _connection in range(2):
        for _ in range(10):
            (held,) = session.call(protocol.claim, "s", claims(1), "w")
            session.call(protocol.complete, held, 0.5, {}, 0.0)
        prepared = session.call(
            lambda connection: connection.execute("select statement from pg_prepared_statements").fetchall()
        )
        for function in ("ledger.claim(", "ledger.complete("):
            assert len([statement for (statement,) in prepared if function in statement]) == 1
        # as after a lost attempt
        session.close()
