"""Promise 4: what has ended does not change, for any role."""

import psycopg
import pytest

from ledger.database import protocol
from tests.integration.ledgers import make_study, take

END = {
    "complete": lambda connection, held: protocol.complete(connection, held, 0.5, {}, 1.0),
    "failed": lambda connection, held: protocol.fail(connection, held, "error", 1.0),
}


@pytest.fixture(params=["origin", "replica"])
def superuser(request, connection):
    """A superuser's connection, also with the setting that skips ordinary triggers."""
    connection.execute(f"set session_replication_role = {request.param}")
    return connection


def test_terminal_rows_do_not_change(store, superuser):
    row = make_study(store, trials=3, max_failures=1)
    END["complete"](superuser, take(superuser))
    END["failed"](superuser, take(superuser))
    store.cancel(row.id, "test")
    for state in ("complete", "failed", "cancelled"):
        for change in (
            "update ledger.trial set params = '{}' where state = %s",
            "update ledger.trial set state = 'pending', finished_at = null, loss = null where state = %s",
            "delete from ledger.trial where state = %s",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
                superuser.execute(change, (state,))


def test_ended_attempts_do_not_change(store, superuser):
    make_study(store)
    held = take(superuser)
    END["complete"](superuser, held)
    for change in ("update ledger.attempt set loss = 0", "update ledger.attempt set outcome = 'stale'"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
            superuser.execute(change)
    with pytest.raises(psycopg.errors.RestrictViolation):
        superuser.execute("delete from ledger.attempt")


def test_a_lost_attempt_is_replaced_by_its_holders_word_only(store, connection, advance):
    make_study(store)
    held = take(connection)
    advance(31)
    lease_until = connection.execute("select lease_until from ledger.trial where number = 0").fetchone()[0]
    assert store.reap(held.study_id, 0, lease_until) == "pending"
    for change in ("worker = 'somebody'", "error = 'another'", "outcome = 'complete', loss = 0, worker = 'somebody'"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(f"update ledger.attempt set {change}")


def test_told_iterations_do_not_change(store, superuser):
    row = make_study(store, trials=1)
    END["complete"](superuser, take(superuser))
    assert store.tell(row.id, 0, 0.5, 0.5)
    for change in ("update ledger.iteration set mean_loss = 0", "delete from ledger.iteration"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            superuser.execute(change)
    assert not store.tell(row.id, 0, 0.1, 0.1)


@pytest.mark.parametrize("table", ["trial, ledger.attempt", "attempt", "iteration cascade", "study cascade"])
def test_nothing_is_truncated(store, superuser, table):
    make_study(store)
    END["complete"](superuser, take(superuser))
    with pytest.raises(psycopg.errors.RestrictViolation):
        superuser.execute(f"truncate ledger.{table}")


def test_deleting_a_whole_study_is_one_explicit_operation_and_leaves_the_others(store, connection):
    row = make_study(store, "gone", trials=2)
    kept = make_study(store, "kept", trials=1)
    END["complete"](connection, take(connection, "gone"))
    END["failed"](connection, take(connection, "gone"))
    END["complete"](connection, take(connection, "kept"))
    assert store.tell(kept.id, 0, 0.5, 0.5)
    store.delete(row.id)
    for table in ("iteration", "trial", "attempt"):
        assert connection.execute(f"select distinct study_id from ledger.{table}").fetchall() == [(kept.id,)]


def test_an_iteration_is_told_only_when_all_its_trials_have_ended(store, connection):
    row = make_study(store, trials=2)
    END["complete"](connection, take(connection))
    assert not store.tell(row.id, 0, 0.5, 0.5)
    END["complete"](connection, take(connection))
    assert store.tell(row.id, 0, 0.5, 0.5)


@pytest.mark.parametrize(
    "change",
    [
        "state = 'running'",
        "state = 'complete', finished_at = now()",
        "state = 'failed', finished_at = now()",
        "state = 'pending', finished_at = now()",
        "state = 'unknown'",
        "loss = 0.5",
        "lease_until = now()",
        "params = '[]'",
        "source = 'retried'",
    ],
)
def test_an_impossible_state_cannot_be_stored(store, connection, change):
    make_study(store)
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"update ledger.trial set {change} where number = 0")


def test_parameters_are_unique_within_a_study(store, connection):
    make_study(store)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)"
            " select study_id, 99, 0, 0, 'proposed', params, now() from ledger.trial where number = 0"
        )
