"""Migrations: up, down, in parallel and on a ledger in use; and the messages about an invalid database."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ledger.database import connection as connections
from ledger.database import migration, protocol, reads, revision, studies, trials
from ledger.database.connection import connect, engine
from ledger.database.tables import SCHEMA, metadata
from ledger.errors import LedgerError, UsageError
from ledger.resources import folder
from tests.databases import new_database
from tests.integration.ledgers import claim_one, make_study, tell
from tests.roles import make_roles

REVISIONS = revision.known()
# The file of a revision adds rows to the rows of the earlier revisions.
ROWS = Path(__file__).parent / "revisions"


def objects(connection: Connection) -> set[tuple[str, ...]]:
    """Return the catalog's descriptions of the tables, without the owner and Alembic's table."""
    statements = [
        "select 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text,"
        " attgenerated::text, attidentity::text, pg_get_expr(adbin, adrelid)"
        " from pg_attribute join pg_class on pg_class.oid = attrelid left join pg_attrdef on adrelid = attrelid"
        " and adnum = attnum where relnamespace = 'ledger'::regnamespace and relkind = 'r' and attnum > 0",
        "select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
        " where connamespace = 'ledger'::regnamespace and contype <> 'n'",
        "select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " join pg_class on pg_class.oid = indexrelid where relnamespace = 'ledger'::regnamespace",
        "select 'options', oid::regclass::text, reloptions::text from pg_class"
        " where relnamespace = 'ledger'::regnamespace and relkind = 'r'",
        "select 'comment', relname, attname, description from pg_description"
        " join pg_class on pg_class.oid = objoid left join pg_attribute on attrelid = objoid and attnum = objsubid"
        " where classoid = 'pg_class'::regclass and relnamespace = 'ledger'::regnamespace and relkind = 'r'",
    ]
    with connection.begin():
        rows = {tuple(row) for statement in statements for row in connection.execute(text(statement))}
    return {row for row in rows if "alembic_version" not in str(row)}


@pytest.fixture
def empty(empty_url):
    with engine(empty_url).connect() as connection:
        yield connection


def test_up_then_down_then_up(empty):
    migration.upgrade(empty)
    there = objects(empty)
    assert len(there) > 50
    migration.downgrade(empty, "base")
    assert objects(empty) == set()
    assert migration.current(empty) is None
    with empty.begin():
        left = empty.scalar(text("select count(*) from pg_proc where pronamespace = 'ledger'::regnamespace"))
    assert left == 0
    migration.upgrade(empty)
    assert objects(empty) == there
    migration.check(empty)


def test_an_upgrade_runs_only_if_the_files_of_sql_or_the_revision_changed(empty):
    def newest_function():
        with empty.begin():
            return empty.scalar(text("select max(xmin::text::bigint) from pg_proc where proname = 'claim'"))

    migration.upgrade_if_needed(empty)
    first = newest_function()
    migration.upgrade_if_needed(empty)
    assert newest_function() == first
    with empty.begin():
        empty.execute(text("comment on table ledger.alembic_version is 'other files'"))
    migration.upgrade_if_needed(empty)
    second = newest_function()
    assert second > first
    migration.downgrade(empty, REVISIONS[0])
    migration.upgrade_if_needed(empty)
    assert migration.current(empty) == REVISIONS[-1]
    assert newest_function() > second


def test_an_upgrade_runs_after_the_roles_are_created(empty_url, empty):
    migration.upgrade_if_needed(empty)
    make_roles(empty_url)
    migration.upgrade_if_needed(empty)
    with empty.begin():
        assert empty.scalar(text("select has_schema_privilege('ledger_worker', 'ledger', 'usage')"))


def test_models_and_migrations_agree(server, empty):
    migration.upgrade(empty)
    with empty.begin():
        context = MigrationContext.configure(
            empty,
            opts={
                "version_table_schema": SCHEMA,
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            },
        )
        assert compare_metadata(context, metadata) == []
    migrated = objects(empty)
    with new_database(server) as other, engine(other).connect() as connection:
        with connection.begin():
            connection.execute(text("create schema ledger"))
            metadata.create_all(connection)
        assert objects(connection) == migrated


def described(connection: Connection) -> dict[tuple[str, str], str | None]:
    """Return the comments of all tables, views, columns and functions of the schema, and of the schema."""
    statements = [
        "select relname, coalesce(attname, ''), description from pg_class left join pg_attribute"
        " on attrelid = pg_class.oid and attnum > 0 and not attisdropped"
        " left join pg_description on objoid = pg_class.oid and classoid = 'pg_class'::regclass and objsubid = attnum"
        " where relnamespace = 'ledger'::regnamespace and relkind in ('r', 'v')",
        "select relname, '', obj_description(oid, 'pg_class') from pg_class"
        " where relnamespace = 'ledger'::regnamespace and relkind in ('r', 'v')",
        "select oid::regprocedure::text, '', obj_description(oid, 'pg_proc') from pg_proc"
        " where pronamespace = 'ledger'::regnamespace",
        "select '', '', obj_description('ledger'::regnamespace, 'pg_namespace')",
    ]
    with connection.begin():
        rows = [row for statement in statements for row in connection.execute(text(statement))]
    return {(name, column): comment for name, column, comment in rows}


def test_the_database_explains_itself(empty):
    migration.upgrade(empty)
    found = described(empty)
    assert [place for place, comment in found.items() if not comment] == []
    declared = {
        (table.name, name): comment
        for table in metadata.tables.values()
        for name, comment in [("", table.comment), *((column.name, column.comment) for column in table.columns)]
    }
    assert all(declared.values())
    assert {place: found[place] for place in declared} == declared
    # a view that shows a table has the comments of the table's columns
    assert found["trials", "loss"] == declared["trial", "loss"]
    assert not any("\n" in str(comment) or len(str(comment)) > 250 for comment in found.values())


@pytest.mark.parametrize("older", REVISIONS)
def test_an_upgraded_database_is_described_as_a_fresh_one(server, empty, older):
    migration.upgrade(empty)
    with new_database(server) as other, engine(other).connect() as upgraded:
        migration.upgrade(upgraded, older)
        migration.upgrade(upgraded)
        assert described(upgraded) == described(empty)


def test_the_revisions_are_alembics():
    scripts = ScriptDirectory(str(folder("alembic")))
    assert [script.revision for script in scripts.walk_revisions()] == REVISIONS[::-1]


def test_each_revision_has_a_file_with_rows():
    assert [path.stem for path in sorted(ROWS.iterdir())] == REVISIONS


@pytest.mark.parametrize("older", REVISIONS)
def test_a_ledger_with_a_study_under_way_is_upgraded_from_every_revision(empty, empty_url, older):
    migration.upgrade(empty, older)
    with psycopg.connect(empty_url) as connection:
        for each in REVISIONS[: REVISIONS.index(older) + 1]:
            connection.execute((ROWS / f"{each}.sql").read_text())
    migration.upgrade(empty)
    migration.check(empty)

    db = empty
    study = studies.get(db, "under-way")
    last = studies.iterations(db, study.id)[-1]
    assert last is not None
    assert (last.number, last.told_at) == (1, None)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        running = connection.execute("select claim from ledger.trial where state = 'running'").fetchone()
        assert running is not None
        held = claim_one(connection, "under-way", running[0], "w")
        assert held is not None
        assert protocol.complete(connection, held, 0.125, {}, 1.0) == "recorded"
        pending = claim_one(connection, "under-way", uuid.uuid4(), "w")
        assert pending is not None
        assert protocol.complete(connection, pending, 0.125, {}, 1.0) == "recorded"
        assert claim_one(connection, "under-way", uuid.uuid4(), "w") is None
    paused = [row.number for row in trials.all_of(db, study.id) if row.state == "paused"]
    assert trials.cancel(db, study.id, paused, "not wanted") == []
    assert tell(db, study, 1, 0.25, 0.125) == "told"
    assert [row.state for row in reads.progress(db)] == ["running", "complete"]


def test_upgrade_is_safe_to_run_from_several_processes_at_once(empty_url):
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ledger", "db", "upgrade"],
            env={**os.environ, "DATABASE_URL": empty_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        out, error = process.communicate()
        assert process.returncode == 0, error
        assert f"revision {revision.head()}" in out
    with engine(empty_url).connect() as connection:
        migration.check(connection)


def test_check_names_a_database_that_is_not_migrated(empty):
    with pytest.raises(LedgerError, match="^the database is not migrated: run `ledger db upgrade`$"):
        migration.check(empty)


def test_check_names_a_schema_that_is_too_new_and_upgrade_refuses_it(empty):
    migration.upgrade(empty)
    with empty.begin():
        empty.execute(text("update ledger.alembic_version set version_num = 'ffff'"))
    for act in (migration.check, migration.upgrade):
        with pytest.raises(LedgerError, match="too new: this package does not know revision ffff"):
            act(empty)


def test_check_names_a_schema_that_is_too_old(empty, monkeypatch):
    migration.upgrade(empty)
    monkeypatch.setattr(revision, "head", lambda: "0099")
    with pytest.raises(
        LedgerError, match="too old: the schema's revision is .* needs revision 0099; run `ledger db upgrade`"
    ):
        migration.check(empty)


def test_a_server_that_is_too_old_is_refused_by_name(empty_url, monkeypatch):
    monkeypatch.setattr(connections, "OLDEST_SERVER", 990000)
    with pytest.raises(LedgerError, match=r"is on PostgreSQL 1\d\.\d+, which is too old"):
        connect(empty_url)


def test_a_server_that_cannot_be_reached_is_named_without_its_password():
    with pytest.raises(LedgerError) as caught:
        connect("postgresql://me:secret@127.0.0.1:1/mine")
    message = str(caught.value)
    assert "database mine at 127.0.0.1:1 as me" in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_url_that_cannot_be_parsed_is_refused_without_its_password():
    with pytest.raises(UsageError) as caught:
        connect("postgres:/me:secret@host")
    assert "secret" not in str(caught.value)


def test_an_upgrade_leaves_what_is_built_on_the_views(db, url):
    make_study(db)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create view public.mine as select study from ledger.progress")
        with engine(url).connect() as again:
            migration.upgrade(again)
        assert connection.execute("select * from public.mine").fetchall() == [("s",)]
