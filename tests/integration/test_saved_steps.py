"""The steps and the seconds that early stopping saves: what counts as the end and the length of a trial."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, status, studies
from ledger.database.rows import StudyRow
from ledger.study.early_stopping import EarlyStopping
from tests.integration.ledgers import propose, spec, take, tell

RULE = {"rule": "halving", "eta": 2, "min_resource": 2, "max_resource": 8, "audit": 0.0}
ROUNDS = {**RULE, "resource": "rounds"}


def begun(
    db: Connection,
    connection: psycopg.Connection[Any],
    points: list[dict[str, Any]],
    rule: dict[str, Any] = RULE,
    fixed: dict[str, Any] | None = None,
) -> StudyRow:
    """A study whose iteration 0 has ended with the loss 0.5 at each rung, and whose iteration 1 has the points."""
    objective = {"model": "xgb", "dataset": "breast_cancer", "params": fixed or {}}
    (name,) = points[0]
    space = [{"name": name, "type": "integer", "low": 1, "high": 1000, "prior": "uniform"}]
    stopping = EarlyStopping(**rule).model_dump(exclude_none=True)
    settings = {**spec(2), "objective": objective, "space": space, "stopping": stopping}
    row = studies.create(db, "s", {**settings, "resolved": {"initial_points": 2}}, "0" * 64, 9, {})
    assert row is not None
    propose(db, row, 0, [{name: 901}, {name: 902}])
    for _ in range(2):
        held = take(connection)
        assert protocol.report(connection, held, [2, 4, 8], [0.5, 0.5, 0.5]) == "continue"
        assert protocol.complete(connection, held, 0.5, {}, 4.0) == "recorded"
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    propose(db, row, 1, points)
    return row


def pruned(connection: psycopg.Connection[Any], steps: list[int], seconds: Any) -> None:
    held = take(connection)
    assert protocol.report(connection, held, steps, [0.9] * len(steps)) == "stop"
    assert protocol.prune(connection, held, seconds) == "pruned"


def saved(db: Connection, row: StudyRow) -> tuple[int | None, float | None]:
    shown = status.read(db, row.id)
    return shown.saved_steps, shown.saved_seconds


def test_a_trial_ends_at_its_last_report_and_not_at_its_rung(db, connection):
    row = begun(db, connection, [{"x": 1}, {"x": 2}, {"x": 3}])
    assert saved(db, row) == (0, None)
    pruned(connection, [1, 2], 3.0)
    assert saved(db, row) == (6, 9.0)
    # the worker reports less often than the rule decides
    pruned(connection, [1, 5], 2.5)
    assert saved(db, row) == (6 + 3, 9.0 + 1.5)
    # the trial trained more steps than the rule expects
    pruned(connection, [1, 10], 2.5)
    assert saved(db, row) == (9, 10.5)


@pytest.mark.parametrize(
    ("point", "fixed", "rule", "expected"),
    [
        ({"n_estimators": 5}, {}, ROUNDS, (3, 1.5)),
        ({"n_estimators": 100}, {}, ROUNDS, (98, 49.0)),
        ({"n_estimators": 1}, {}, ROUNDS, (0, 0.0)),
        ({"x": 1}, {"n_estimators": 6}, ROUNDS, (4, 2.0)),
        ({"x": 1}, {"n_estimators": None}, ROUNDS, (6, 3.0)),
        ({"n_estimators": 5}, {}, {**RULE, "resource": "rows"}, (6, 3.0)),
    ],
    ids=["of the point", "longer", "no round left", "fixed", "default", "rows"],
)
def test_a_boosted_model_saves_only_its_own_rounds(db, connection, point, fixed, rule, expected):
    row = begun(db, connection, [point], rule, fixed)
    pruned(connection, [1, 2], 1.0)
    assert saved(db, row) == expected


def test_an_attempt_that_continues_counts_only_its_own_steps(db, connection):
    row = begun(db, connection, [{"x": 1}, {"x": 2}, {"x": 3}])
    for again, steps, expected in (
        # the attempt trained the step 2, after the step 1 of the earlier attempt
        ([1], [2], (6, 6.0)),
        # the attempt began again, and trained both steps
        ([1], [1, 2], (12, 9.0)),
        ([0, 1], [3, 4], (16, 9.0 + 4 / 3)),
    ):
        held = take(connection)
        assert protocol.report(connection, held, again, [0.9] * len(again)) == "continue"
        assert protocol.fail(connection, held, "error", 100.0) == "retry"
        pruned(connection, steps, 1.0)
        assert saved(db, row) == pytest.approx(expected)


@pytest.mark.parametrize(("steps", "seconds"), [([1, 2], None), ([1, 2], 0.75e9)], ids=["unknown", "too long"])
def test_a_trial_of_unknown_speed_adds_steps_but_no_seconds(db, connection, steps, seconds):
    row = begun(db, connection, [{"x": 1}, {"x": 2}])
    pruned(connection, steps, seconds)
    assert saved(db, row) == (6, None)
    pruned(connection, [2], 1.0)
    assert saved(db, row) == (12, 3.0)
