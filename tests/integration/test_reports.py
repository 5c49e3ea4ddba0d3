"""Reports of intermediate values: the answers of ledger.report, its bounds and its fence."""

import math
from typing import Any

import psycopg
import pytest

from ledger.database import managing, protocol, studies, trials
from ledger.database.bounds import LARGEST_STEP, MOST_REPORTS, MOST_REPORTS_OF_CALL
from ledger.database.protocol import ClaimedTrial
from tests.integration.ledgers import add_iteration, expire, make_study, spec, take, trial


def recorded(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("select trial, attempt, step, loss from ledger.reports order by 1, 2, 3").fetchall()


def take_back(db, connection, advance) -> None:
    """Take the first trial back from its worker, as a manager does after the end of the lease."""
    advance(31)
    assert expire(db, connection) == "pending"


def test_the_first_report_of_each_step_stays(db, connection):
    make_study(db)
    held = take(connection)
    assert protocol.report(connection, held, [1, 0, 1], [0.5, 0.75, 0.25]) == "continue"
    assert protocol.report(connection, held, [1, 2], [0.1, math.inf]) == "continue"
    assert protocol.report(connection, held, [], []) == "continue"
    assert recorded(connection) == [(0, 1, 0, 0.75), (0, 1, 1, 0.5), (0, 1, 2, None)]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, None])
def test_a_loss_that_is_not_finite_is_recorded_as_missing(db, connection, loss):
    make_study(db)
    assert protocol.report(connection, take(connection), [3], [loss]) == "continue"
    assert recorded(connection) == [(0, 1, 3, None)]


def test_the_view_shows_the_value_and_the_seconds_since_the_claim(db, connection, advance):
    objective = {"function": "own.code:score", "direction": "maximize"}
    row = studies.create(db, "s", {**spec(), "objective": objective}, "0" * 64, 4, {})
    assert row is not None
    add_iteration(db, row, 0, 1)
    held = take(connection)
    advance(7)
    metrics = "array[jsonb '{\"rate\": 0.1}', null]"
    connection.execute(
        f"select ledger.report(%s, %s, %s, '{{0,1}}', '{{-2,-3}}', {metrics})", (held.study_id, held.trial, held.claim)
    )
    shown = connection.execute("select study, step, value, loss, metrics, seconds from ledger.reports").fetchall()
    assert [(*row[:5],) for row in shown] == [("s", 0, 2.0, -2.0, {"rate": 0.1}), ("s", 1, 3.0, -3.0, None)]
    assert all(7 <= row[5] < 60 for row in shown)


def test_a_report_of_a_replaced_claim_is_stale(db, connection, advance):
    make_study(db, trials=1)
    zombie = take(connection)
    assert protocol.report(connection, zombie, [0], [0.5]) == "continue"
    take_back(db, connection, advance)
    assert protocol.report(connection, zombie, [1], [0.25]) == "continue", "no other worker has claimed the trial"
    successor = take(connection)
    assert protocol.report(connection, zombie, [2], [0.125]) == "stale"
    assert protocol.report(connection, successor, [0], [0.75]) == "continue"
    assert recorded(connection) == [(0, 1, 0, 0.5), (0, 1, 1, 0.25), (0, 2, 0, 0.75)]


def test_a_report_does_not_renew_the_lease(db, connection, advance):
    make_study(db)
    held = take(connection)
    before = trial(connection)["lease_until"]
    advance(5)
    assert protocol.report(connection, held, [0], [0.5]) == "continue"
    assert trial(connection)["lease_until"] == before


@pytest.mark.parametrize("end", ["complete", "fail", "release", "cancel"])
def test_a_report_after_the_end_is_stale(db, connection, end):
    row = make_study(db)
    held = take(connection)
    {
        "complete": lambda: protocol.complete(connection, held, 0.5, {}, 1.0),
        "fail": lambda: protocol.fail(connection, held, "error", 1.0),
        "release": lambda: protocol.release(connection, held),
        "cancel": lambda: trials.cancel(db, row.id, [held.trial], "test"),
    }[end]()
    assert protocol.report(connection, held, [0], [0.5]) == "stale"
    assert recorded(connection) == []


def test_a_cancellation_that_waited_for_a_lock_ends_the_trial(url, db, connection):
    row = make_study(db)
    held = take(connection)
    with psycopg.connect(url) as locker:
        assert protocol.heartbeat(locker, held)
        assert trials.cancel(db, row.id, [held.trial], "not wanted") == [held.trial]
        assert protocol.report(locker, held, [0], [0.5]) == "stale"
    assert trial(connection)["state"] == "cancelled"
    assert managing.end_cancelled(db) == 0


def test_a_report_of_a_deleted_study_is_unknown(db, connection):
    row = make_study(db)
    held = take(connection)
    assert protocol.report(connection, held, [0], [0.5]) == "continue"
    assert studies.delete(db, row) == "deleted"
    assert protocol.report(connection, held, [1], [0.5]) == "unknown"
    assert connection.execute("select count(*) from ledger.report").fetchone() == (0,)


@pytest.mark.parametrize(
    ("steps", "losses", "metrics", "reason"),
    [
        ("{0,1}", "{0.5}", None, "not lists of the same length"),
        ("{0}", None, None, "not lists of the same length"),
        (None, "{0.5}", None, "not lists of the same length"),
        ("{null}", "{0.5}", None, "not lists of the same length"),
        ("{{0,1}}", "{{1,2}}", None, "not lists of the same length"),
        ("{0}", "{0.5}", "{}", "not lists of the same length"),
        ("{-1}", "{0.5}", None, "the step: -1 is not a step; give a step from 0 to"),
        (f"{{{LARGEST_STEP + 1}}}", "{0.5}", None, "is not a step; give a step from 0 to"),
        ("{0}", "{0.5}", "{[]}", "the metrics: they are not an object"),
        ("{0}", "{0.5}", '{"{\\"a\\": \\"' + "x" * 10_000 + '\\"}"}', "more than 10000 bytes of JSON"),
        ("{0}", "{0.5}", '{"{\\"' + "x" * 301 + '\\": 1}"}', "the name of a metric: a text of 301 characters"),
    ],
)
def test_a_malformed_report_is_refused(db, connection, steps, losses, metrics, reason):
    make_study(db)
    held = take(connection)
    with pytest.raises(psycopg.DataError, match=reason):
        connection.execute(
            "select ledger.report(%s, %s, %s, %s, %s, %s)",
            (held.study_id, held.trial, held.claim, steps, losses, metrics),
        )
    assert recorded(connection) == []


def test_the_number_of_reports_is_bounded(db, connection):
    make_study(db)
    held = take(connection)

    def report(first: int, count: int) -> str:
        return protocol.report(connection, held, range(first, first + count), [0.5] * count)

    with pytest.raises(psycopg.DataError, match="1001 steps are too many for one call; give at most 1000 steps"):
        report(0, MOST_REPORTS_OF_CALL + 1)
    assert report(0, MOST_REPORTS_OF_CALL) == "continue"
    connection.execute(
        "insert into ledger.report select study_id, trial, attempt, step, loss, metrics, reported_at"
        " from (select study_id, trial, attempt, loss, metrics, reported_at from ledger.report limit 1) as one,"
        " generate_series(%s, %s) as step",
        (MOST_REPORTS_OF_CALL, MOST_REPORTS - 2),
    )
    assert report(MOST_REPORTS - 1, 1) == "continue"
    with pytest.raises(psycopg.DataError, match="an attempt may report at most 100000 steps; report fewer steps"):
        report(MOST_REPORTS, 1)
    assert report(0, 1) == "continue"
    assert connection.execute("select count(*) from ledger.report").fetchone() == (MOST_REPORTS,)


def test_a_lost_answer_is_asked_for_again(db, connection):
    make_study(db)
    held: ClaimedTrial = take(connection)
    for _ in range(2):
        assert protocol.report(connection, held, [0], [0.5]) == "continue"
    assert recorded(connection) == [(0, 1, 0, 0.5)]
