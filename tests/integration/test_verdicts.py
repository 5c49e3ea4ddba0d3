"""Early stopping in the database: the verdicts of a rule, and the functions that Python computes alike."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from ledger.database import protocol, studies, trials
from ledger.database.rows import StudyRow
from ledger.study.early_stopping import EarlyStopping
from ledger.study.verdicts import cutoff, goes_on, is_audited, promotion_cutoff, stops
from ledger.worker.trial_stopping import TrialStopping, reports_of_call
from tests.integration.ledgers import add_iteration, spec, take, tell
from tests.system.programs import wait_until


@given(
    st.sampled_from(["halving", "median"]),
    st.integers(2, 16),
    st.lists(st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 0.25, 1e308]), st.floats(-1e308, 1e308)), max_size=40),
)
def test_the_cutoff_of_a_rung_is_that_of_python(connection, rule, eta, losses):
    (found,) = connection.execute("select ledger.rung_cutoff(%s, %s, %s::float8[])", (rule, eta, losses)).fetchone()
    assert found == cutoff(rule, eta, losses)


@given(
    st.integers(2, 16),
    st.lists(st.none() | st.sampled_from([-0.0, 0.0, 0.25, 1e308]) | st.floats(-1e308, 1e308), max_size=40),
    st.lists(st.integers(0, 10**6), min_size=40, max_size=40, unique=True),
)
def test_the_cutoff_of_a_promotion_is_that_of_python(connection, eta, losses, numbers):
    trials = numbers[: len(losses)]
    limit = promotion_cutoff(eta, zip(trials, losses, strict=True))
    arguments = (eta, losses, trials)
    found = connection.execute(
        "select loss, trial from ledger.promotion_cutoff(%s, %s::float8[], %s::int[])", arguments
    ).fetchone()
    assert found == (limit or (None, None))
    for trial, loss in zip(trials, losses, strict=True):
        (going,) = connection.execute("select ledger.goes_on(%s, %s, %s, %s)", (loss, trial, *found)).fetchone()
        assert going == goes_on(loss, trial, limit)


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6), st.floats(0, 1))
def test_the_share_of_the_audit_is_that_of_python(connection, seed, trial, share):
    (found,) = connection.execute("select ledger.is_audited(%s, %s, %s)", (seed, trial, share)).fetchone()
    assert found == is_audited(seed, trial, share)


@given(st.sampled_from(["halving", "median"]), st.integers(2, 16), st.integers(1, 2**31 - 2), st.integers(1, 2**31 - 1))
def test_the_rungs_are_those_of_python(connection, rule, eta, first, last):
    least = max(first, last // 100) if rule == "median" else first
    if least >= last:
        return
    rule = EarlyStopping(rule=rule, eta=eta, min_resource=least, max_resource=last)
    (found,) = connection.execute("select ledger.rungs(%s)", (Jsonb(rule.model_dump()),)).fetchone()
    assert tuple(found) == rule.rungs


@given(st.integers(2, 16), st.integers(1, 100), st.integers(101, 10**6), st.integers(0, 10**6), st.data())
def test_the_rungs_of_an_iteration_are_those_of_python(connection, eta, first, last, iteration, data):
    settings = {"rule": "promotion", "eta": eta, "min_resource": first, "max_resource": last}
    brackets = data.draw(st.integers(1, len(EarlyStopping(**settings).rungs)))
    rule = EarlyStopping(**settings, brackets=brackets)
    (found,) = connection.execute("select ledger.rungs(%s, %s)", (Jsonb(rule.model_dump()), iteration)).fetchone()
    assert tuple(found) == rule.rungs_of(iteration)
    assert found


@given(
    st.integers(2, 16),
    st.lists(st.none() | st.sampled_from([-0.0, 0.0, 0.25]) | st.floats(-1e308, 1e308), max_size=20),
    st.none() | st.sampled_from([-0.0, 0.0, 0.25]) | st.floats(-1e308, 1e308),
)
def test_a_stop_is_that_of_python(connection, eta, losses, loss):
    limit = cutoff("halving", eta, losses)
    (found,) = connection.execute(
        "select ledger.is_stopped(%s, %s, %s, nullif(%s, 'infinity'::float8))", (eta, len(losses), loss, limit)
    ).fetchone()
    assert found == stops(loss, limit)


def search(db, trials: int = 4, mode: str = "batch", **rule: Any) -> StudyRow:
    """A running study that stops trials early, with one iteration of pending trials."""
    given = {"rule": "halving", "eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, **rule}
    stopping = EarlyStopping(**given).model_dump(exclude_none=True)
    row = studies.create(db, "s", {**spec(trials), "mode": mode, "stopping": stopping}, "0" * 64, 100, {})
    assert row is not None
    add_iteration(db, row, 0, trials)
    return row


def train(connection: psycopg.Connection[Any], losses: list[float]) -> list[str]:
    """Train a trial whose losses are those of the steps from 0. Return the answers to its reports."""
    held, answers = take(connection), []
    for step, loss in enumerate(losses):
        answers.append(protocol.report(connection, held, [step], [loss]))
        if answers[-1] == "stop":
            break
    protocol.complete(connection, held, 0.5, {}, 1.0)
    return answers


def verdicts(connection: psycopg.Connection[Any], trial: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select rung, step, loss, cutoff, compared, stops from ledger.verdict where trial = %s order by rung", (trial,)
    ).fetchall()


def test_the_first_iteration_stops_no_trial(db, connection):
    search(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        assert train(connection, [loss] * 8) == ["continue"] * 8
    assert verdicts(connection, 3) == [(rung, rung, 0.1, None, 0, False) for rung in (1, 2, 4)]


def test_a_verdict_depends_on_earlier_iterations_alone(db, connection):
    row = search(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        train(connection, [loss] * 8)
    add_iteration(db, row, 1, 3)
    # of five trials, the best two go on: the cutoff is the second best of the earlier four
    assert train(connection, [0.15] * 8) == ["continue"] * 8
    assert train(connection, [0.19, 0.19, 0.2]) == ["continue", "continue", "stop"]
    assert train(connection, [0.5] * 8) == ["continue", "stop"]
    assert verdicts(connection, 5) == [(1, 1, 0.19, 0.2, 4, False), (2, 2, 0.2, 0.2, 4, True)]
    assert verdicts(connection, 6) == [(1, 1, 0.5, 0.2, 4, True)]


def test_a_repeated_attempt_gets_the_verdict_of_the_first(db, connection):
    row = search(db, trials=2)
    for loss in (0.2, 0.1):
        train(connection, [loss] * 8)
    add_iteration(db, row, 1, 1)
    held = take(connection)
    assert protocol.report(connection, held, [0, 1], [0.5, 0.5]) == "stop"
    protocol.release(connection, held)
    connection.execute("update ledger.trial set available_at = claimed_at where number = 2")
    again = take(connection)
    assert protocol.report(connection, again, [0], [0.0]) == "continue", "the attempt has not reached the rung"
    assert protocol.report(connection, again, [1], [0.0]) == "stop"
    assert verdicts(connection, 2) == [(1, 1, 0.5, 0.1, 2, True)]


@pytest.mark.parametrize(("loss", "answer"), [(0.5, "stop"), (0.05, "continue")])
def test_an_attempt_after_a_checkpoint_gets_the_verdict_of_one_attempt(db, connection, loss, answer):
    row = search(db, trials=2, min_resource=5, max_resource=8)
    for earlier in (0.2, 0.1):
        train(connection, [earlier] * 8)
    add_iteration(db, row, 1, 1)
    held = take(connection)
    assert protocol.report(connection, held, [2, 4], [0.9, loss]) == "continue"
    protocol.release(connection, held)
    connection.execute("update ledger.trial set available_at = claimed_at where number = 2")
    again = take(connection)
    alone = TrialStopping(again.stopping)
    assert protocol.report(connection, again, [6], [0.0]) == answer
    assert alone.observe(6, 0.0)
    assert alone.is_stopped == (answer == "stop")
    assert verdicts(connection, 2) == [(5, 4, loss, 0.1, 2, answer == "stop")]
    assert connection.execute("select attempt from ledger.verdict where trial = 2").fetchall() == [(1,)]


def test_reports_that_arrive_together_are_decided_rung_by_rung(db, connection):
    row = search(db, trials=2)
    for loss in (0.2, 0.1):
        train(connection, [loss] * 8)
    add_iteration(db, row, 1, 1)
    held = take(connection)
    assert protocol.report(connection, held, [0, 3, 6], [0.05, 0.5, 0.0]) == "stop"
    # the rungs 1 and 2 take step 0, and the rung 4 takes step 3
    assert verdicts(connection, 2) == [
        (1, 0, 0.05, 0.1, 2, False),
        (2, 0, 0.05, 0.1, 2, False),
        (4, 3, 0.5, 0.1, 2, True),
    ]


def test_a_trial_of_the_audit_goes_on_and_keeps_its_verdicts(db, connection):
    row = search(db, trials=2, audit=1.0)
    for loss in (0.2, 0.1):
        train(connection, [loss] * 8)
    add_iteration(db, row, 1, 1)
    assert train(connection, [0.5] * 8) == ["continue"] * 8
    assert [stops for *_, stops in verdicts(connection, 2)] == [True, True, True]


def test_a_missing_loss_is_the_worst(db, connection):
    row = search(db, trials=2)
    for _ in range(2):
        train(connection, [float("nan")] * 8)
    add_iteration(db, row, 1, 2)
    assert train(connection, [float("nan"), float("nan")]) == ["continue", "stop"]
    assert train(connection, [1e300] * 8) == ["continue"] * 8


@pytest.mark.parametrize("statement", ["update ledger.verdict set stops = true", "delete from ledger.cutoff"])
def test_what_was_decided_does_not_change(db, connection, statement):
    row = search(db)
    train(connection, [0.5] * 8)
    add_iteration(db, row, 1, 1)
    with pytest.raises(psycopg.errors.RestrictViolation, match="what was decided does not change"):
        connection.execute(statement)


@pytest.mark.hypothesis
@given(
    st.lists(st.tuples(st.integers(0, 10), st.sampled_from([0.05, 0.1, 0.3, float("nan")])), min_size=1, max_size=12),
    st.integers(1, 12),
    st.booleans(),
)
def test_a_worker_decides_as_the_database_for_any_order_of_reports(db, connection, reported, most, repeats):
    """A worker knows after each report whether the trial is stopped, however many reports it sends together."""
    with db.begin():
        db.exec_driver_sql("delete from ledger.study")
    row = search(db, trials=3, max_resource=9)
    for loss in (0.1, 0.2, 0.3):
        train(connection, [loss] * 9)
    add_iteration(db, row, 1, 1)
    held = take(connection)
    if repeats:  # an earlier attempt has reached the first rung
        assert protocol.report(connection, held, [1], [0.2]) == "stop"
        protocol.release(connection, held)
        connection.execute("update ledger.trial set available_at = claimed_at where number = 3")
        held = take(connection)
    own, highest, left = TrialStopping(held.stopping), -1, list(reported)
    while left:
        some = left[: reports_of_call(highest, [step for step, _ in left], most)]
        before = own.is_stopped
        for step, loss in some:
            own.observe(step, None if loss != loss else loss)
        answer = protocol.report(connection, held, [step for step, _ in some], [loss for _, loss in some])
        assert answer == ("stop" if own.is_stopped else "continue")
        assert own.is_stopped or not before
        highest, left = max(highest, *(step for step, _ in some)), left[len(some) :]
    assert (protocol.prune(connection, held, 1.0) == "pruned") == (own.is_stopped or repeats)


# Steady mode


def test_in_steady_mode_the_earlier_arrivals_decide(db, connection):
    search(db, trials=4, mode="steady")
    held = [take(connection) for _ in range(4)]
    for number, loss in ((2, 0.4), (0, 0.3)):
        assert protocol.report(connection, held[number], [1], [loss]) == "continue", (
            "fewer than eta others have arrived"
        )
    assert protocol.report(connection, held[1], [1], [0.35]) == "stop"
    assert protocol.report(connection, held[3], [1], [0.1]) == "continue"
    rows = connection.execute(
        "select trial, arrival, compared, cutoff, stops from ledger.verdict order by arrival"
    ).fetchall()
    assert rows == [(2, 1, 0, None, False), (0, 2, 1, None, False), (1, 3, 2, 0.3, True), (3, 4, 3, 0.35, False)]


def test_two_arrivals_at_once_get_two_numbers(db, connection, url):
    search(db, trials=3, mode="steady")
    held = [take(connection) for _ in range(3)]
    with ThreadPoolExecutor() as pool, psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
        assert protocol.report(first, held[0], [1], [0.3]) == "continue"
        waiting = pool.submit(protocol.report, second, held[1], [1], [0.2])
        wait_until(lambda: connection.execute("select from pg_locks where not granted").fetchall())
        first.commit()
        assert waiting.result(60) == "continue"
    rows = connection.execute("select trial, arrival from ledger.verdict order by 2").fetchall()
    assert rows == [(0, 1), (1, 2)]


def test_an_open_transaction_at_a_rung_keeps_no_other_worker_waiting(db, connection, url):
    search(db, trials=3, mode="steady")
    held = [take(connection) for _ in range(3)]
    with psycopg.connect(url) as silent:
        assert protocol.report(silent, held[0], [1], [0.3]) == "continue"
        connection.execute("set statement_timeout = '30s'")
        assert protocol.report(connection, held[1], [1], [0.2]) == "continue"
        assert connection.execute("select trial from ledger.verdict").fetchall() == [], "not decided yet"
        silent.commit()
    # the next report of the trial gets the verdict
    assert protocol.report(connection, held[1], [2], [0.2]) == "continue"
    rows = connection.execute("select trial, rung, arrival from ledger.verdict order by 2, 3").fetchall()
    assert rows == [(0, 1, 1), (1, 1, 2), (1, 2, 1)]


def test_an_enqueued_trial_is_stopped_as_a_proposed_trial(db, connection):
    row = search(db, trials=2)
    for loss in (0.2, 0.1):
        train(connection, [loss] * 8)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert trials.enqueue(db, row.id, [{"C": 77.0}]) == [2]
    assert train(connection, [0.5] * 8) == ["continue", "stop"]
