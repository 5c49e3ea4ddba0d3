"""A snapshot that stays open: claims become slower, nothing breaks, and `ledger db check` names its session."""

import threading
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from ledger import embedded
from ledger.database import health, managing, migration, protocol, reads, rights
from ledger.database.connection import engine
from tests.fuzz import run
from tests.integration.ledgers import add_iteration, claim_one, make_study, take

TRIALS, WORKERS = 2_000, 4


@pytest.fixture
def check(url: str, tmp_path, monkeypatch) -> Callable[..., tuple[int, list[str], str]]:
    """Return a function that runs `ledger db check`. It returns exit code, printed lines and standard error."""
    monkeypatch.chdir(tmp_path)
    # Another test may have created the roles of a ledger, which belong to the whole server.
    monkeypatch.setattr(rights, "warnings", lambda connection: [])

    def check(*options: str, database: str = url) -> tuple[int, list[str], str]:
        code, out, error = run(["db", "check", *options], {"DATABASE_URL": database})
        return code, out.splitlines(), error

    return check


def flush(connection: psycopg.Connection) -> None:
    """Flush the statistics of this session, which takes up to a second otherwise."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select")


def test_a_pinned_snapshot_breaks_no_trial_and_is_named(url, db, connection, check):
    # autovacuum would remove the count of the dead rows with those that died before the snapshot
    connection.execute("alter table ledger.trial set (autovacuum_enabled = off)")
    row = make_study(db, trials=TRIALS)
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as own:
                while (held := claim_one(own, "s", uuid4(), name)) is not None:
                    assert protocol.heartbeat(own, held)
                    assert protocol.complete(own, held, held.trial / TRIALS, {"worker": name}, 0.0) == "recorded"
                flush(own)
        except BaseException as error:
            errors.append(error)

    with psycopg.connect(url, application_name="forgotten notebook") as culprit:
        culprit.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert culprit.execute("select count(*) from ledger.trial where state = 'pending'").fetchone() == (TRIALS,)
        threads = [threading.Thread(target=work, args=(f"w{index}",)) for index in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        # the snapshot sees the old state, and all other sessions see the new one
        assert culprit.execute("select count(*) from ledger.trial where state = 'pending'").fetchone() == (TRIALS,)
        connection.execute("vacuum ledger.trial")
        flush(connection)
        code, lines, error = check("--older-than", "0")
        pid = culprit.info.backend_pid
    assert (code, error.count("\n")) == (1, 1), error
    assert "PostgreSQL cannot remove dead rows" in error
    (line,) = lines
    assert line.startswith(f"warning: session {pid} (forgotten notebook, user ")
    assert "so PostgreSQL cannot remove the old versions of rows that were deleted or updated since then (" in line
    assert "(ledger.trial has " in line
    assert f"its state is idle in transaction: end the session by `select pg_terminate_backend({pid})`" in line

    whole = "select count(*), count(distinct trial), count(*) filter (where outcome = 'complete') from ledger.attempt"
    assert connection.execute(whole).fetchone() == (TRIALS, TRIALS, TRIALS)
    states = connection.execute("select state, count(*), sum(attempts) from ledger.trial group by state").fetchall()
    assert states == [("complete", TRIALS, TRIALS)]
    assert managing.leases(db, row.id) == []
    assert managing.state(db, row.id).state == "running"
    (progress,) = reads.progress(db, "s")
    assert (progress.complete, progress.attempts, progress.best_loss) == (TRIALS, TRIALS, 0.0)
    convergence = "select count(*), max(best_loss) from ledger.convergence"
    assert connection.execute(convergence).fetchone() == (TRIALS, 0.0)

    connection.execute("vacuum ledger.trial")
    flush(connection)
    add_iteration(db, row, 1, 1)
    protocol.complete(connection, take(connection), 0.5, {}, 0.0)
    assert check("--older-than", "0")[0] == 0, "the culprit is gone"


def test_a_young_snapshot_is_no_reason_to_warn(url, db, connection, check):
    make_study(db)
    with psycopg.connect(url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("select from ledger.study")
        code, lines, _ = check()
        assert (code, len(lines)) == (0, 1), lines
        assert " is healthy: " in lines[0]


def test_an_idle_transaction_without_a_snapshot_is_a_warning_alone(url, db, check):
    with psycopg.connect(url, application_name="odd \x1b[31mname") as other:
        other.execute("select 1")
        code, lines, error = check("--older-than", "0")
        pid = other.info.backend_pid
    assert (code, error) == (0, "")
    assert lines[0].startswith(f"warning: session {pid} (")
    assert "has been in a transaction since" in lines[0]
    assert lines[0].isprintable()
    assert " is healthy: " in lines[1]


def test_a_transaction_that_wrote_and_idles_is_named(url, db, connection, check):
    make_study(db)
    take(connection)
    flush(connection)
    with psycopg.connect(url) as other:
        other.execute("insert into ledger.worker values ('w', 'h', 1, '{}', now(), now())")
        code, lines, _ = check("--older-than", "0")
        other.rollback()
    assert code == 1
    assert "has held a snapshot since" in lines[0]


def test_a_role_that_may_not_see_other_sessions_is_told_so(url, server, db, connection, check):
    role = f"reader_{connection.info.dbname}"
    connection.execute(sql.SQL("create role {} login password 'reader'").format(sql.Identifier(role)))
    try:
        connection.execute(
            sql.SQL(
                "grant usage on schema ledger to {0}; grant select on all tables in schema ledger to {0};"
                " grant execute on all functions in schema ledger to {0}"
            ).format(sql.Identifier(role))
        )
        own = psycopg.conninfo.make_conninfo(url, user=role, password="reader")
        code, lines, error = check("--older-than", "0", database=own)
        assert (code, error) == (0, "")
        assert f"are hidden from role {role} and were not checked: " in lines[0]
    finally:
        connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


def test_a_replication_slot_with_a_snapshot_is_named(url, db, connection, check, monkeypatch):
    make_study(db)
    take(connection)
    flush(connection)
    # a real slot holds a snapshot only if its standby sends feedback
    slot = "select 'standby' as slot_name, false as active, 5000 as transactions"
    monkeypatch.setattr(health, "_SLOTS", text(slot))
    code, (line,), _ = check("--older-than", "0")
    assert code == 1
    assert line.startswith(
        "warning: replication slot standby, not in use, holds a snapshot that is 5,000 transactions old"
    )
    assert "`select pg_drop_replication_slot('standby')`" in line


def test_a_prepared_transaction_is_named(tmp_path, check):
    home = tmp_path / "home"
    with embedded.running(home, create=True) as url, psycopg.connect(url, autocommit=True) as first:
        first.execute("alter system set max_prepared_transactions = 1")  # a restart applies the setting
    with embedded.running(home, create=False) as url, psycopg.connect(url) as forgetful:
        with engine(url).connect() as connection:
            migration.upgrade(connection)
            make_study(connection)
        forgetful.execute("update ledger.study set versions = '{}'")
        forgetful.execute("prepare transaction 'it''s\x07 forgotten'")
        with psycopg.connect(url, autocommit=True) as own:
            take(own)
            flush(own)
        code, lines, _ = check("--older-than", "0", database=url)
    assert code == 1
    said = [line for line in lines if line.startswith("warning: prepared transaction")]
    assert len(said) == 1
    assert "forgotten" in said[0]
    assert said[0].isprintable()
