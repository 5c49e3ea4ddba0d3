"""Finished rows never change, for every role."""

import hashlib
import uuid

import psycopg
import pytest

from ledger.database import managing, protocol, studies
from ledger.database.datasets import StoredDataset
from ledger.objectives.fingerprint import CodePart, ObjectiveCode
from ledger.study.early_stopping import EarlyStopping
from tests.integration.ledgers import add_iteration, make_study, reap, spec, take, tell

END = {
    "complete": lambda connection, held: protocol.complete(connection, held, 0.5, {}, 1.0),
    "failed": lambda connection, held: protocol.fail(connection, held, "error", 1.0),
    "timeout": lambda connection, held: protocol.fail(connection, held, "error", 1.0, "timeout"),
    "released": lambda connection, held: protocol.release(connection, held),
}
TABLES = (
    "study",
    "iteration",
    "trial",
    "attempt",
    "cancellation",
    "worker",
    "dataset",
    "code_version",
    "source",
    "report",
    "cutoff",
    "verdict",
    "promotion",
)


@pytest.fixture(params=["superuser", "superuser in a replica's session", "owner", "holder of every privilege"])
def someone(request, url):
    """Yield a connection of each role that could change finished rows. A replica session skips ordinary triggers."""
    with psycopg.connect(url, autocommit=True) as connection:
        if request.param.startswith("superuser"):
            if "replica" in request.param:
                connection.execute("set session_replication_role = replica")
            yield connection
            return
        role = f"role_{uuid.uuid4().hex[:12]}"
        connection.execute(f"create role {role}")
        connection.execute(f"grant all on schema ledger to {role}")
        connection.execute(f"grant all on all tables in schema ledger to {role}")
        connection.execute(f"grant all on all functions in schema ledger to {role}")
        if request.param == "owner":
            for table in TABLES:
                connection.execute(f"alter table ledger.{table} owner to {role}")
        connection.execute(f"set role {role}")
        yield connection
        connection.execute("reset role")
        connection.execute(f"reassign owned by {role} to current_user")
        connection.execute(f"drop owned by {role}")
        connection.execute(f"drop role {role}")


def test_terminal_rows_do_not_change(db, connection, someone):
    row = make_study(db, trials=3, max_failures=1)
    END["complete"](connection, take(connection))
    END["failed"](connection, take(connection))
    studies.cancel(db, row.id, "test")
    for state in ("complete", "failed", "cancelled"):
        for change in (
            "update ledger.trial set params = '{}' where state = %s",
            "update ledger.trial set state = 'pending', finished_at = null, loss = null where state = %s",
            "update ledger.trial set number = 99 where state = %s",
            "delete from ledger.trial where state = %s",
            "insert into ledger.trial select * from ledger.trial where state = %s"
            " on conflict (study_id, number) do update set loss = 0",
            "merge into ledger.trial using (select) as nothing on state = %s when matched then update set loss = 0",
            "merge into ledger.trial using (select) as nothing on state = %s when matched then delete",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
                someone.execute(change, (state,))


@pytest.mark.parametrize("outcome", [*END, "lost", "stale"])
def test_ended_attempts_do_not_change(db, connection, someone, outcome):
    row = make_study(db)
    held = take(connection)
    if outcome in END:
        END[outcome](connection, held)
    else:
        studies.cancel(db, row.id, "test")
        if outcome == "stale":
            END["complete"](connection, held)
    for change in (
        "update ledger.attempt set loss = 0, worker = 'v'",
        "update ledger.attempt set ended_at = ledger.clock()",
        "update ledger.attempt set outcome = null, ended_at = null",
        "delete from ledger.attempt",
        "insert into ledger.attempt select * from ledger.attempt on conflict (claim) do update set error = 'another'",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
            someone.execute(change)


def test_a_lost_attempt_is_replaced_by_its_holders_word_only(db, connection, advance):
    row = make_study(db)
    take(connection)
    advance(31)
    (lease,) = managing.leases(db, row.id)
    assert reap(db, row, lease) == "pending"
    for change in ("worker = 'somebody'", "error = 'another'", "outcome = 'complete', loss = 0, worker = 'somebody'"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(f"update ledger.attempt set {change}")


def test_told_iterations_do_not_change(db, connection, someone):
    row = make_study(db, trials=1)
    END["complete"](connection, take(connection))
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    for change in (
        "update ledger.iteration set mean_loss = 0",
        "update ledger.iteration set told_at = null, mean_loss = null, best_loss = null",
        "update ledger.iteration set size = size + 1",
        "delete from ledger.iteration",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
            someone.execute(change)
    assert tell(db, row, 0, 0.1, 0.1) == "changed"


@pytest.mark.parametrize(
    "tables",
    [
        "attempt, ledger.artifact",
        "trial, ledger.attempt, ledger.artifact, ledger.cancellation, ledger.trial_annotation",
        *(f"{table} cascade" for table in ("attempt", "trial", "iteration", "study")),
    ],
)
def test_nothing_is_truncated(db, connection, someone, tables):
    make_study(db)
    END["complete"](connection, take(connection))
    with pytest.raises(psycopg.errors.RestrictViolation, match="what has ended does not change"):
        someone.execute(f"truncate ledger.{tables}")


def test_what_studies_train_on_does_not_change(db, connection, someone):
    sha256 = hashlib.sha256(b"a,y").hexdigest()
    data = {"name": "a.csv", "sha256": sha256, "target_column": "y", "format": "csv", "rows": 0}
    dataset = StoredDataset(sha256, "a.csv", b"a,y")
    studies.create(db, "s", {**spec(), "objective": {"model": "svm", "data": data}}, "0" * 64, 1, {}, [dataset])
    for change in (
        "update ledger.dataset set name = 'another'",
        "update ledger.dataset set content = '', sha256 = encode(sha256(''), 'hex')",
        "delete from ledger.dataset",
        "truncate ledger.dataset",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what studies train on does not change"):
            someone.execute(change)


def test_a_report_does_not_change_and_goes_with_its_study(db, connection, someone):
    rows = [make_study(db, name) for name in ("s", "t")]
    for row in rows:
        assert protocol.report(connection, take(connection, row.name), [0, 1], [0.5, None]) == "continue"
    for change in (
        "update ledger.report set loss = 0",
        "delete from ledger.report",
        "truncate ledger.report",
        "insert into ledger.report select * from ledger.report"
        " on conflict (study_id, trial, attempt, step) do update set loss = 0",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="what was reported does not change"):
            someone.execute(change)
    assert studies.delete(db, rows[0]) == "deleted"
    assert connection.execute("select distinct study_id from ledger.report").fetchall() == [(rows[1].id,)]


def test_a_verdict_does_not_change_and_goes_with_its_study(db, connection, someone):
    rule = EarlyStopping(rule="halving", max_resource=4, audit=0.0).model_dump(exclude_none=True)
    for name in ("s", "t"):
        row = studies.create(db, name, {**spec(1), "stopping": rule}, "0" * 64, 1, {})
        assert row is not None
        add_iteration(db, row, 0, 1)
        assert protocol.report(connection, take(connection, name), [1], [0.5]) == "continue"
        connection.execute("insert into ledger.promotion values (%s, 0, 1, 1, now())", (row.id,))
    for table, column in (("verdict", "loss"), ("cutoff", "loss"), ("promotion", "arrivals")):
        for change in (
            f"update ledger.{table} set {column} = 0",
            f"delete from ledger.{table}",
            f"truncate ledger.{table}",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation, match="what was decided does not change"):
                someone.execute(change)
    kept = studies.get(db, "t")
    assert studies.delete(db, studies.get(db, "s")) == "deleted"
    assert connection.execute("select distinct study_id from ledger.verdict").fetchall() == [(kept.id,)]
    assert connection.execute("select distinct study_id from ledger.cutoff").fetchall() == [(kept.id,)]
    assert connection.execute("select study_id from ledger.promotion").fetchall() == [(kept.id,)]


SOURCES = {"a.py": hashlib.sha256(b"x = 1").hexdigest()}
CODE = ObjectiveCode((CodePart("function", "loss", "0" * 64),), SOURCES, {"a.py": "x = 1"}).to_json()


def test_a_recorded_code_does_not_change_and_goes_with_its_last_study(db, connection, someone):
    rows = [studies.create(db, name, spec(), "0" * 64, 1, {}, code=CODE) for name in ("s", "t")]
    for change in (
        "update ledger.code_version set first_trial = 1",
        "delete from ledger.code_version",
        "truncate ledger.code_version",
        "update ledger.source set text = ''",
        "delete from ledger.source",
        "truncate ledger.source",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="a recorded code does not change"):
            someone.execute(change)
    for row, left in zip(rows, (1, 0), strict=True):
        assert row is not None
        assert studies.delete(db, row) == "deleted"
        assert connection.execute("select count(*) from ledger.source").fetchone() == (left,)


def test_a_whole_study_is_deleted_and_the_others_stay(db, connection):
    row = make_study(db, "gone", trials=2)
    kept = make_study(db, "kept", trials=1)
    END["complete"](connection, take(connection, "gone"))
    END["failed"](connection, take(connection, "gone"))
    END["complete"](connection, take(connection, "kept"))
    assert tell(db, kept, 0, 0.5, 0.5) == "told"
    assert studies.delete(db, row) == "deleted"
    for table in ("iteration", "trial", "attempt"):
        assert connection.execute(f"select distinct study_id from ledger.{table}").fetchall() == [(kept.id,)]


def test_an_iteration_is_told_only_when_all_its_trials_have_ended(db, connection):
    row = make_study(db, trials=2)
    END["complete"](connection, take(connection))
    assert tell(db, row, 0, 0.5, 0.5) == "changed"
    END["complete"](connection, take(connection))
    assert tell(db, row, 0, 0.5, 0.5) == "told"


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
def test_an_impossible_state_cannot_be_stored(db, connection, change):
    make_study(db)
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"update ledger.trial set {change} where number = 0")


def test_parameters_are_unique_within_a_study(db, connection):
    make_study(db)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)"
            " select study_id, 99, 0, 0, 'proposed', params, now() from ledger.trial where number = 0"
        )
