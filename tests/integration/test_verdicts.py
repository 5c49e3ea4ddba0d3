"""Early stopping in the database: the verdicts of a rule, and the functions that Python computes alike."""

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from ledger.database import protocol, studies
from ledger.database.rows import StudyRow
from ledger.study.early_stopping import EarlyStopping, cutoff, is_audited
from tests.integration.ledgers import add_iteration, spec, take


@given(
    st.sampled_from(["halving", "median"]),
    st.integers(2, 16),
    st.lists(st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 0.25, 1e308]), st.floats(-1e308, 1e308)), max_size=40),
)
def test_the_cutoff_of_a_rung_is_that_of_python(connection, rule, eta, losses):
    (found,) = connection.execute("select ledger.rung_cutoff(%s, %s, %s::float8[])", (rule, eta, losses)).fetchone()
    assert found == cutoff(rule, eta, losses)


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


def search(db, trials: int = 4, **rule: Any) -> StudyRow:
    """A running study that stops trials early, with one iteration of pending trials."""
    given = {"rule": "halving", "eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, **rule}
    stopping = EarlyStopping(**given).model_dump()
    row = studies.create(db, "s", {**spec(trials), "stopping": stopping}, "0" * 64, 100, {})
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


def test_reports_that_arrive_together_are_decided_in_the_order_of_the_rungs(db, connection):
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
