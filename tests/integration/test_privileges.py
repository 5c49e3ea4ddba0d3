"""Rights of the roles: each role can do its work, and the database refuses everything else."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import DBAPIError

from ledger.database import annotations, artifacts, managing, protocol, reads, studies, transfer, trials
from ledger.database.annotations import AnnotationChange
from ledger.database.connection import driver, engine
from ledger.database.datasets import StoredDataset
from ledger.database.login_kinds import LIMITS
from ledger.database.managing import ClaimedStudy
from ledger.database.tables import metadata
from ledger.database.trials import ExternalTrial
from ledger.optuna import connect as reading
from ledger.optuna import views as optuna_views
from ledger.resources import folder
from tests.databases import new_database, upgrade
from tests.fuzz import run
from tests.integration.ledgers import finish, hold, make_study, spec, take, tell, trial
from tests.integration.test_artifacts import save
from tests.roles import LOGINS, PASSWORD, ROLES, Url, make_roles

OTHERS = ROLES[1:]
VIEWS = {
    *("annotations", "artifacts", "attempts", "best_trials", "checkpoints", "code_versions", "convergence"),
    *("counts", "cutoffs", "promotions"),
    *("datasets", "improvements", "iteration_regret", "iterations", "managers", "outcomes", "parameters", "progress"),
    *(
        "refusals",
        "regret",
        "reports",
        "sources",
        "studies",
        "trial_times",
        "trials",
        "utilisation",
        "verdicts",
        "workers",
    ),
}
PROTOCOL = {
    *("claim", "heartbeat", "report", "prune", "complete", "fail", "release", "refuse", "accept", "announce"),
    *("dataset", "ended", "objective_code", "report_code", "revision"),
    *("begin_artifact", "add_artifact_piece", "save_artifact"),
    *("last_checkpoints", "checkpoint_bytes"),
}
FUNCTIONS = {
    "ledger_manager": {
        *(
            "annotate_study",
            "annotate_trial",
            "announced_recently",
            "artifact_bytes",
            "cancel",
            "cancel_trials",
            "changed_reports",
            "claim_study",
            "clock",
            "create_study",
            "data_files",
            "dataset",
            "difference",
            "discard_contents",
            "discarded_contents",
        ),
        *("end_cancelled", "enqueue"),
        *(
            "extend",
            "finish",
            "forget_content",
            "hold_dataset",
            "import_trials",
            "keep_dataset",
            "lease_ended",
            "leave_study",
        ),
        *(
            "number",
            "pause",
            "promote",
            "promote_waiting",
            "propose",
            "prune_paused",
            "reap",
            "record_code",
            "remove_artifact",
            "remove_beaten_artifacts",
            "remove_checkpoints",
            "resume",
            "retry",
            "revision",
            "session_ended",
            "set_batch_size",
            "set_criteria",
            "stop",
            "tell",
            "trial_value",
            "value",
        ),
    },
    "ledger_worker": PROTOCOL,
    "ledger_reader": {
        *("announced_recently", "artifact_bytes", "changed_reports", "clock", "data_files", "dataset", "difference"),
        "lease_ended",
        *("number", "revision", "session_ended", "trial_value", "value"),
    },
}
# columns that no view shows
HIDDEN = {
    "manager": {"claim", "lease", "backend_pid", "backend_started_at"},
    "trial": {"claim", "reports_sha256"},
    "attempt": {"claim"},
    "dataset": {"content"},
    "artifact": {"uploading", "step"},
}
# the name in the view of a column that has another name in the table
RENAMED = {
    ("study", "id"): "study_id",
    ("study", "name"): "study",
    ("manager", "name"): "manager",
    ("iteration", "number"): "iteration",
    ("trial", "number"): "trial",
    ("attempt", "number"): "attempt",
    ("worker", "name"): "worker",
}


@pytest.fixture(scope="module")
def of(server: str) -> Iterator[Url]:
    """Return a function from a role to its URL, for a ledger of ledger_owner."""
    with new_database(server) as url:
        of = make_roles(url)
        upgrade(of("ledger_owner"))
        with engine(of("ledger_manager")).connect() as connection:
            make_study(connection)
        with psycopg.connect(of("ledger_worker"), autocommit=True) as connection:
            assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
            take(connection)
        yield of


@pytest.fixture
def owner(of: Url) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(of("ledger_owner"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def fresh(server: str) -> Iterator[Url]:
    """Return the same for a ledger without studies, for one test."""
    with new_database(server) as url:
        of = make_roles(url)
        upgrade(of("ledger_owner"))
        yield of


def not_refused(url: str, statements: Iterable[str]) -> list[tuple[str, str]]:
    """Execute each statement, and return those that were not refused."""
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement)
            except InsufficientPrivilege:
                continue
            except psycopg.Error as error:
                found.append((statement, type(error).__name__))
            else:
                found.append((statement, "done"))
    return found


def relations(owner: psycopg.Connection[Any], kind: str) -> dict[str, list[str]]:
    """The columns of every table (r), view (v) or sequence (S) of the ledger."""
    rows = owner.execute(
        "select relname, array_agg(attname::text order by attnum) from pg_class"
        " join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped"
        " where relnamespace = 'ledger'::regnamespace and relkind = %s group by relname",
        (kind,),
    ).fetchall()
    return dict(rows)


@pytest.mark.parametrize("role", OTHERS)
def test_no_role_reads_or_writes_a_table(of, owner, role):
    tries = []
    tables = relations(owner, "r")
    assert {table.name for table in metadata.tables.values()} | {"alembic_version"} == set(tables)
    for table, columns in tables.items():
        for column in columns:
            tries += [
                f"select {column} from ledger.{table}",
                f"insert into ledger.{table} ({column}) values (default)",
                f"update ledger.{table} set {column} = default",
            ]
        tries += [
            f"select * from ledger.{table}",
            f"select count(*) from ledger.{table}",
            f"select from ledger.{table} for update",
            f"insert into ledger.{table} default values",
            f"insert into ledger.{table} default values on conflict do nothing",
            f"merge into ledger.{table} using (select) as nothing on true when matched then delete",
            f"delete from ledger.{table}",
            f"delete from ledger.{table} where false",
            f"truncate ledger.{table}",
            f"truncate ledger.{table} cascade",
            f"copy ledger.{table} from stdin",
            f"copy ledger.{table} to stdout",
            f"lock table ledger.{table} in exclusive mode",
            f"alter table ledger.{table} disable trigger all",
            f"alter table ledger.{table} add column mine int",
            f"drop table ledger.{table} cascade",
            f"create index on ledger.{table} ({columns[0]})",
            f"create trigger mine before update on ledger.{table} for each row execute function ledger.refuse_change()",
        ]
    for sequence in relations(owner, "S"):
        tries += [f"select nextval('ledger.{sequence}')", f"select setval('ledger.{sequence}', 1)"]
        tries += [f"select * from ledger.{sequence}"]
    assert len(tries) > 250
    assert not_refused(of(role), tries) == []


@pytest.mark.parametrize("role", OTHERS)
def test_readers_and_managers_read_the_views_and_no_role_writes_them(of, owner, role):
    views = relations(owner, "v")
    assert set(views) == VIEWS
    reads = [f"select * from ledger.{view}" for view in views]
    done = [statement for statement, _ in not_refused(of(role), reads)]
    assert done == ([] if role == "ledger_worker" else reads)
    # some views are read-only, and PostgreSQL reports this first
    writes = [f"delete from ledger.{view}" for view in views] + [f"drop view ledger.{view}" for view in views]
    writes += [f"update ledger.{view} set {columns[1]} = {columns[1]}" for view, columns in views.items()]
    left = not_refused(of(role), writes)
    assert {reason for _, reason in left} <= {"ObjectNotInPrerequisiteState"}
    assert not any("sources" in statement for statement, _ in left), "this view is writable: its privileges refuse"


@pytest.mark.parametrize("role", OTHERS)
def test_no_role_takes_a_lock_that_stops_other_roles(of, owner, role):
    weak = "access share"
    strong = ["row share", "row exclusive", "share update exclusive", "share", "share row exclusive", "exclusive"]
    relations_ = [*relations(owner, "v"), *relations(owner, "r")]
    tries = [
        f"lock table ledger.{name} in {mode} mode" for name in relations_ for mode in (*strong, "access exclusive")
    ]
    # an upgrade locks the schema by a comment
    tries += ["comment on schema ledger is 'mine'", "comment on table ledger.trial is 'mine'", "analyze ledger.trial"]
    left = [(statement, reason) for statement, reason in not_refused(of(role), tries) if "analyze" not in statement]
    assert left == []
    allowed = not_refused(of(role), [f"lock table ledger.{view} in {weak} mode" for view in VIEWS])
    assert {reason for _, reason in allowed} == (set() if role == "ledger_worker" else {"done"})


@pytest.mark.parametrize("role", OTHERS)
def test_no_role_calls_what_fills_the_servers_lock_table_or_disk(of, owner, role):
    functions = owner.execute(
        "select oid::regprocedure::text, has_function_privilege(%s, oid, 'execute') from pg_proc"
        " where pronamespace = 'pg_catalog'::regnamespace"
        " and (proname like '%%advisory%%lock%%' and proname not like '%%unlock%%' or proname like 'lo\\_%%'"
        " or proname in ('loread', 'lowrite', 'pg_logical_emit_message', 'pg_export_snapshot'))",
        (LOGINS[role],),
    ).fetchall()
    assert len(functions) > 30
    assert [function for function, is_allowed in functions if is_allowed] == []
    calls = [
        "select pg_advisory_lock(i) from generate_series(1, 500) as i",
        "select lo_from_bytea(0, 'x')",
        "select lo_create(0)",
        "select pg_logical_emit_message(true, 'x', 'x')",
        "select pg_export_snapshot()",
    ]
    assert not_refused(of(role), calls) == []
    assert [call for call, _ in not_refused(of("ledger_owner"), calls)] == calls, "pg_dump and ledger.claim need them"


@pytest.mark.parametrize("role", OTHERS)
def test_each_function_is_called_by_those_whose_work_needs_it(of, owner, role):
    functions = owner.execute(
        "select proname, format('select ledger.%I(%s)', proname, (select string_agg('null::' || type::regtype, ', ')"
        " from unnest(proargtypes) as type)) from pg_proc where pronamespace = 'ledger'::regnamespace"
    ).fetchall()
    assert len(functions) > 10
    calls = {call: name for name, call in functions}
    assert {calls[call] for call, _ in not_refused(of(role), calls)} == FUNCTIONS[role]


@pytest.mark.parametrize("role", OTHERS)
def test_no_role_becomes_another_or_makes_or_alters_anything(of, role):
    tries = [
        *(f"set role {other}" for other in ROLES if other != role),
        "set session authorization ledger_owner",
        "set session_replication_role = replica",
        *(
            f"alter role {name} {right}"
            for name in (role, LOGINS[role])
            for right in ("superuser", "bypassrls", "login")
        ),
        "alter role ledger_owner password 'mine'",
        "create role mine",
        f"grant ledger_owner to {role}",
        "create schema mine",
        "create table ledger.mine ()",
        "create table public.mine ()",
        "create temp table mine ()",
        "create view ledger.mine as select 1",
        "create function ledger.mine() returns int language sql as 'select 1'",
        "create or replace function ledger.clock() returns timestamptz language sql as 'select now()'",
        "create or replace function public.mine() returns int language sql as 'select 1'",
        "alter function ledger.clock() rename to mine",
        "alter function ledger.claim security invoker",
        "alter function ledger.complete reset search_path",
        "drop function ledger.clock cascade",
        "drop schema ledger cascade",
        "alter schema ledger rename to mine",
        "create extension dblink",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
    ]
    assert not_refused(of(role), tries) == []


@pytest.mark.parametrize("role", OTHERS)
def test_no_role_passes_on_what_it_may(of, owner, role):
    acls = (
        "select oid, relacl::text from pg_class where relnamespace = 'ledger'::regnamespace"
        " union all select oid, proacl::text from pg_proc where pronamespace = 'ledger'::regnamespace"
        " union all select oid, nspacl::text from pg_namespace union all select oid, datacl::text from pg_database"
        " union all select oid, roles::text from pg_roles, lateral (select array_agg(member order by member)"
        " from pg_auth_members where roleid = pg_roles.oid) as found (roles) order by 1, 2"
    )
    before = owner.execute(acls).fetchall()
    with psycopg.connect(of(role), autocommit=True) as connection:
        for statement in (
            "grant all on all tables in schema ledger to public",
            "grant all on all functions in schema ledger to public",
            "grant all on schema ledger to public",
            f"grant all on database {connection.info.dbname} to public",
            "grant ledger_owner to ledger_worker",
        ):
            # a grant of some rights may only give a warning, so check that no right has changed
            with suppress(InsufficientPrivilege):
                connection.execute(statement)
    assert owner.execute(acls).fetchall() == before


def test_a_claim_is_known_to_its_holder_alone(of, owner):
    with (
        psycopg.connect(of("ledger_worker"), autocommit=True) as holder,
        engine(of("ledger_manager")).connect() as manager,
    ):
        held = take(holder)
        managed = ClaimedStudy(held.study_id, uuid.uuid4())
        assert managing.claim_study(manager, managed, "m", 3600.0) == "held"
        seen: list[tuple[Any, ...]] = []
        try:
            for role in OTHERS:
                with psycopg.connect(of(role), autocommit=True) as other:
                    readable = () if role == "ledger_worker" else VIEWS
                    for name in ("pg_stat_activity", "pg_locks", *(f"ledger.{view}" for view in readable)):
                        seen += other.execute(f"select * from {name}").fetchall()
        finally:
            assert protocol.release(holder, held)
            managing.leave_study(manager, managed)
        for row in seen:
            assert str(held.claim) not in str(row)
            assert str(managed.claim) not in str(row)
    assert {view for view, columns in relations(owner, "v").items() if "claim" in columns} == set()


def test_a_claim_that_is_guessed_changes_nothing(of, owner):
    """A worker that knows the study, the trial and its holder, but not the claim."""
    with psycopg.connect(of("ledger_worker"), autocommit=True) as holder:
        held = take(holder, worker="holder")
        before = trial(owner, held.trial)
        with psycopg.connect(of("ledger_worker"), autocommit=True) as stranger:
            guessed = protocol.ClaimedTrial(**{**vars(held), "claim": uuid.uuid4()})
            assert not protocol.heartbeat(stranger, guessed)
            assert not protocol.release(stranger, guessed)
            assert not protocol.refuse(stranger, guessed, "broken by a stranger")
            assert protocol.report(stranger, guessed, [0], [0.0]) == "unknown"
            assert protocol.prune(stranger, guessed, 0.0) == "unknown"
            assert protocol.complete(stranger, guessed, 0.0, {}, 0.0) == "unknown"
            assert protocol.fail(stranger, guessed, "broken by a stranger", 0.0) == "unknown"
            for nothing in (None, uuid.UUID(int=0)):
                guessed = protocol.ClaimedTrial(**{**vars(held), "claim": nothing})
                assert not protocol.heartbeat(stranger, guessed)
                assert protocol.complete(stranger, guessed, 0.0, {}, 0.0) == "unknown"
        assert trial(owner, held.trial) == before
        assert protocol.release(holder, held)


def test_nothing_in_the_schema_is_for_everybody(of, owner):
    public = owner.execute(
        "select oid::regprocedure::text from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))"
        " where pronamespace = 'ledger'::regnamespace and grantee = 0"
        " union all select oid::regclass::text from pg_class, aclexplode(relacl)"
        " where relnamespace = 'ledger'::regnamespace and grantee = 0"
        " union all select nspname from pg_namespace, aclexplode(nspacl) where nspname = 'ledger' and grantee = 0"
        " union all select datname from pg_database, aclexplode(datacl)"
        " where datname = current_database() and grantee = 0"
    ).fetchall()
    assert public == []


def test_functions_that_run_as_the_owner_find_only_what_they_name(of, owner):
    definers = owner.execute(
        "select proname, proconfig from pg_proc where pronamespace = 'ledger'::regnamespace and prosecdef"
    ).fetchall()
    of_views = {"announced_recently", "clock", "data_files", "difference", "lease_ended", "number"}
    of_views |= {"trial_value", "value"}
    of_managers = FUNCTIONS["ledger_manager"] - of_views
    assert {name for name, _ in definers} == PROTOCOL | of_managers | {"iteration_ended"}
    assert all("search_path=pg_catalog, pg_temp" in settings for _, settings in definers)


def test_views_show_every_column_but_claims_sessions_and_files(of, owner):
    views, tables = relations(owner, "v"), relations(owner, "r")
    named = {
        "study": "studies",
        "manager": "managers",
        "iteration": "iterations",
        "trial": "trials",
        "attempt": "attempts",
        "worker": "workers",
        "refusal": "refusals",
        "dataset": "datasets",
        "code_version": "code_versions",
        "source": "sources",
        "study_annotation": "studies",
        "trial_annotation": "annotations",
        "report": "reports",
        "cutoff": "cutoffs",
        "verdict": "verdicts",
        "promotion": "promotions",
        "artifact": "artifacts",
    }
    # a cancellation that waits for a lock is internal, and so are the contents of artifacts
    assert {*named, "cancellation", "artifact_content", "artifact_piece"} == {
        table.name for table in metadata.tables.values()
    }
    for table, view in named.items():
        shown = {RENAMED.get((table, column), column) for column in set(tables[table]) - HIDDEN.get(table, set())}
        assert shown <= set(views[view]), view


def test_a_ledger_that_a_superuser_made_becomes_the_owners(server):
    with new_database(server) as url:
        upgrade(url)
        with engine(url).connect() as connection:
            make_study(connection, "older")
        of = make_roles(url)
        upgrade(of("ledger_owner"))
        with psycopg.connect(of("ledger_worker"), autocommit=True) as connection:
            assert take(connection, "older").study_name == "older"
        # the ledger still belongs to the owner after an upgrade by another role
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("drop view ledger.workers")
            upgrade(url)
            owners = superuser.execute(
                "select distinct pg_get_userbyid(owner) from (select relowner, relnamespace from pg_class"
                " union all select proowner, pronamespace from pg_proc"
                " union all select nspowner, oid from pg_namespace) as things (owner, schema)"
                " where schema = 'ledger'::regnamespace"
            ).fetchall()
        assert owners == [("ledger_owner",)]


def test_roles_are_made_by_a_databases_owner_who_is_no_superuser(own_server):
    """A separate server without roles."""
    with psycopg.connect(own_server.url, autocommit=True) as superuser:
        superuser.execute("create role admin login createrole")
        superuser.pgconn.change_password(b"admin", PASSWORD.encode())
        superuser.execute("create database theirs owner admin")
    theirs = make_conninfo(own_server.url, dbname="theirs", user="admin", password=PASSWORD)
    upgrade(theirs)
    of = make_roles(theirs)
    upgrade(of("ledger_owner"))
    with engine(of("ledger_manager")).connect() as connection:
        make_study(connection)
    with psycopg.connect(of("ledger_worker"), autocommit=True) as connection:
        take(connection)
    # only a superuser can revoke these functions
    assert "lock table or disk (lo_close, lo_creat, lo_create and" in said(theirs, "db", "check")


def test_the_logins_have_time_limits_that_an_administrator_can_change(fresh, server):
    shown = "select current_setting(%s)"
    limits = {"idle_in_transaction_session_timeout": "20s", "lock_timeout": "5s", "statement_timeout": "1min"}
    with psycopg.connect(fresh("ledger_worker")) as worker:
        assert {name: worker.execute(shown, (name,)).fetchone() for name in limits} == {
            name: (value,) for name, value in limits.items()
        }
        if worker.info.server_version >= 170000:
            assert worker.execute(shown, ("transaction_timeout",)).fetchone() == ("1min",)
    for role in ROLES:
        with psycopg.connect(fresh(role)) as session:
            assert session.execute(shown, ("idle_in_transaction_session_timeout",)).fetchone() in (("20s",), ("5min",))
    database = conninfo_to_dict(fresh("ledger_worker"))["dbname"]
    with psycopg.connect(make_conninfo(server, dbname=database), autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("alter role {} in database {} set statement_timeout = '3s'").format(
                sql.Identifier(LOGINS["ledger_worker"]), sql.Identifier(str(database))
            )
        )
        superuser.execute(
            sql.SQL("alter role ledger_owner in database {} set lock_timeout = '7s'").format(
                sql.Identifier(str(database))
            )
        )
        superuser.execute((folder("sql") / "roles.sql").read_text())
    with psycopg.connect(fresh("ledger_worker")) as worker:
        assert worker.execute(shown, ("statement_timeout",)).fetchone() == ("3s",)
    with psycopg.connect(fresh("ledger_owner")) as owner:
        assert owner.execute(shown, ("lock_timeout",)).fetchone() == ("7s",)


def test_the_owner_and_its_logins_have_the_same_time_limits(fresh):
    with psycopg.connect(fresh("ledger_owner")) as owner:
        for name, value in LIMITS["owner"].items():
            assert owner.execute("select current_setting(%s)", (name,)).fetchone() == (value,)


def test_a_managers_whole_work_is_done_under_its_role(fresh):
    with (
        engine(fresh("ledger_manager")).connect() as connection,
        psycopg.connect(fresh("ledger_worker"), autocommit=True) as worker,
    ):
        db = connection
        row = make_study(db, trials=2, lease=1e-6)
        held = hold(db, row)
        managing.listen(db)
        assert managing.state(db, row.id).budget == row.budget
        take(worker)
        (expired,) = managing.leases(db, row.id)
        assert managing.reap(db, held, expired) == "pending"
        managing.leave_study(db, held)
        trials.cancel(db, row.id, [1], "not wanted")
        assert trials.retry(db, row.id, [1]) == [2]
        news = managing.news(db, row.id, {0, 1}, 2)
        assert [(trial.number, trial.state) for trial in news] == [(1, "cancelled"), (2, "pending")]
        for loss in (0.5, 0.25):
            trained = take(worker)
            if loss == 0.5:
                save(worker, trained, "model.bin", b"model")
            protocol.complete(worker, trained, loss, {}, 1.5)
        assert tell(db, row, 0, 0.375, 0.25) == "told"
        best = trials.best(db, row.id)
        assert best is not None
        assert best.loss == 0.25
        assert [(trial.loss, trial.seconds) for trial in trials.all_of(db, row.id)] == [
            (0.5, 1.5),
            (None, None),
            (0.25, 1.5),
        ]
        assert len(transfer.snapshot(db, row.id).trials) == 3
        assert studies.pause(db, row.id) == "paused"
        assert studies.resume(db, row.id) == "running"
        assert finish(db, row, "complete") == "finished"
        assert studies.extend(db, row.id, row.budget + 2) == "extended"
        assert studies.get(db, "s").state == "running"
        assert trials.enqueue(db, row.id, [{"C": 500.0}]) == [3]
        protocol.complete(worker, take(worker), 0.5, {}, 1.5)
        assert tell(db, row, 1, 0.5, 0.5) == "told"
        assert trials.import_finished(db, row.id, [ExternalTrial({"C": 501.0}, 0.5, {})], 0.5) == 4
        assert managing.state(db, row.id).budget == row.budget + 2
        (progress,) = reads.progress(db, "s")
        assert (progress.proposed, progress.complete) == (2, 4)
        studies.cancel(db, row.id, "enough")
        assert studies.get(db, "s").reason == "enough"
        assert annotations.annotate_study(db, row.id, AnnotationChange(tags=["a"])) == "annotated"
        assert annotations.annotate_trial(db, row.id, 0, AnnotationChange(note="a note")) == "annotated"
        (annotated,) = annotations.of_trials(db, row.id)
        assert (annotated.trial, annotated.note) == (0, "a note")
        assert annotated.annotated_by == conninfo_to_dict(fresh("ledger_manager"))["user"]
        (artifact,) = artifacts.of_study(db, row.id)
        assert artifact.content is not None
        assert b"".join(artifacts.pieces(db, artifact.content)) == b"model"
        assert artifacts.remove(db, row.id, artifact) == "removed"
        assert artifacts.discard(db) == []
        artifacts.forget(db, uuid.uuid4())
        with pytest.raises(DBAPIError, match="permission denied for function delete_study"):
            studies.delete(db, row)
        with pytest.raises(DBAPIError, match="permission denied for function rename_study"):
            studies.rename(db, row, "mine")
        with pytest.raises(DBAPIError, match="permission denied for function archive_study"):
            studies.archive(db, row)


def test_a_successor_gets_a_study_at_once_under_its_role(server, fresh):
    with (
        engine(fresh("ledger_manager")).connect() as first,
        engine(fresh("ledger_manager")).connect() as second,
        psycopg.connect(fresh("ledger_reader"), autocommit=True) as reader,
        psycopg.connect(server, autocommit=True) as superuser,
    ):
        row = make_study(first)
        ended, successor = ClaimedStudy(row.id, uuid.uuid4()), ClaimedStudy(row.id, uuid.uuid4())
        shown = "select study, manager, alive from ledger.managers"
        assert managing.claim_study(first, ended, "first", 3600.0) == "held"
        assert managing.claim_study(second, successor, "second", 3600.0) == "taken"
        assert reader.execute(shown).fetchall() == [("s", "first", True)]
        superuser.execute("select pg_terminate_backend(%s, 60000)", (driver(first).info.backend_pid,))
        first.invalidate()
        assert reader.execute(shown).fetchall() == [("s", "first", False)]
        assert managing.claim_study(second, successor, "second", 3600.0) == "held"
        assert managing.tell(first, ended, 0, 4, None, None) == "lost"
        assert reader.execute(shown).fetchall() == [("s", "second", True)]


def test_workers_are_shown_alive_with_what_they_hold(fresh):
    with (
        engine(fresh("ledger_manager")).connect() as connection,
        psycopg.connect(fresh("ledger_worker"), autocommit=True) as worker,
        psycopg.connect(fresh("ledger_owner"), autocommit=True) as owner,
        psycopg.connect(fresh("ledger_reader"), autocommit=True) as reader,
    ):
        make_study(connection, trials=2, lease=60.0)
        for name in ("holder", "idle", "left"):
            protocol.announce(worker, name, "host", 7, {}, stopped=name == "left")
        take(worker, worker="holder")

        def shown(seconds: float) -> dict[str, tuple[bool, int | None]]:
            body = f"select clock_timestamp() + make_interval(secs => {seconds})"
            owner.execute(
                f"create or replace function ledger.clock() returns timestamptz language sql volatile as '{body}'"
            )
            rows = reader.execute("select worker, alive, trial from ledger.workers").fetchall()
            return {name: (alive, trial) for name, alive, trial in rows}

        assert shown(0) == {"holder": (True, 0), "idle": (True, None), "left": (False, None)}
        assert shown(40) == {"holder": (True, 0), "idle": (False, None), "left": (False, None)}
        assert shown(100) == {"holder": (False, 0), "idle": (False, None), "left": (False, None)}


def start(url: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ledger", *arguments],
        env={**os.environ, "DATABASE_URL": url, "LEDGER_LOG_LEVEL": "warning"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> str:
    out, error = process.communicate()
    assert process.returncode == 0, out + error
    return out


def said(url: str, *arguments: str, code: int = 0) -> str:
    """Run a command in this process, and return its standard output, or its standard error if it fails."""
    found, out, error = run(arguments, {"DATABASE_URL": url, "LEDGER_LOG_LEVEL": "warning"})
    assert found == code, out + error
    return error if code else out


def test_a_study_runs_with_each_program_under_its_own_role(server, tmp_path):
    with new_database(server) as url:
        of = make_roles(url)
        assert "revision" in said(of("ledger_owner"), "db", "upgrade")
        worker = start(of("ledger_worker"), "worker", "--until-complete")
        manager = start(of("ledger_manager"), "manager", "--iterations", "2", "--batch-size", "2", "--name", "s")
        assert "4 of 4 trials" in ended(manager)
        ended(worker)
        reader = of("ledger_reader")
        assert "complete" in said(reader, "study", "list")
        assert "s complete: " in said(reader, "status", "s", "--watch")
        assert "accuracy" in said(reader, "study", "show", "s")
        assert "the records of study s are consistent" in said(reader, "verify", "s")
        assert len(said(reader, "trial", "list", "s").splitlines()) == 5
        assert "attempt 1: complete" in said(reader, "trial", "show", "s", "0")
        assert "stopped" in said(reader, "worker", "list")
        document = json.loads(said(reader, "export", "s"))
        assert [trial["state"] for trial in document["trials"]] == ["complete"] * 4
        assert len(document["attempts"]) == 4
        assert len(said(reader, "export", "s", "--format", "csv").splitlines()) == 5
        said(reader, "export", "s", "--format", "parquet", "--output", str(tmp_path / "s.parquet"))
        said(reader, "report", "s", "--output", str(tmp_path / "s.html"))
        queries = [f"--file={query}" for query in (folder("sql") / "queries").glob("*.sql")]
        ended(start(reader, "db", "psql", "-v", "ON_ERROR_STOP=1", *queries))
        assert "accuracy" in said(reader, "query", "leaderboard", "--json")
        for role in ROLES:
            assert "is healthy" in said(of(role), "db", "check")


@pytest.mark.parametrize(
    ("role", "arguments", "needed"),
    [
        ("ledger_worker", ["study", "list"], "ledger_reader"),
        ("ledger_worker", ["manager", "--name", "new"], "ledger_manager"),
        ("ledger_reader", ["worker", "--max-trials", "1"], "ledger_worker"),
        ("ledger_reader", ["study", "pause", "s"], "ledger_manager"),
        ("ledger_reader", ["study", "cancel", "s"], "ledger_manager"),
        ("ledger_reader", ["trial", "cancel", "s", "0"], "ledger_manager"),
        ("ledger_reader", ["trial", "retry", "s", "0"], "ledger_manager"),
        ("ledger_reader", ["trial", "enqueue", "s", "C=7"], "ledger_manager"),
        ("ledger_reader", ["study", "create", "--name", "new"], "ledger_manager"),
        ("ledger_manager", ["study", "delete", "s", "--yes"], "ledger_owner"),
        ("ledger_manager", ["study", "view", "s"], "ledger_owner"),
        ("ledger_reader", ["study", "view", "s"], "ledger_owner"),
        ("ledger_manager", ["db", "upgrade"], "ledger_owner"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_refusal_is_one_line_that_names_the_role_that_may(of, role, arguments, needed):
    error = said(of(role), *arguments, code=1)
    assert error.startswith(f"ledger: role {LOGINS[role]} lacks a privilege for this operation (permission denied ")
    assert needed in error
    assert error.count("\n") == 1
    assert PASSWORD not in error


def test_a_study_is_imported_by_the_owner_and_exported_by_a_reader(fresh, tmp_path):
    said(fresh("ledger_manager"), "study", "create", "--name", "s")
    (tmp_path / "old.csv").write_text("C,gamma,loss\n1,0.5,0.25\n")
    csv = ["import", "csv", str(tmp_path / "old.csv"), "--into", "s"]
    assert "`ledger import csv` needs the rights of ledger_manager" in said(fresh("ledger_reader"), *csv, code=1)
    assert "as trial 0" in said(fresh("ledger_manager"), *csv)
    file = tmp_path / "s.json"
    file.write_text(said(fresh("ledger_reader"), "export", "s"))
    again = ["import", str(file), "--name", "t"]
    assert "needs the rights of ledger_owner" in said(fresh("ledger_manager"), *again, code=1)
    assert "study t is imported, running: 1 iterations, 1 trials" in said(fresh("ledger_owner"), *again)


def test_a_role_that_was_not_granted_what_it_needs_is_told_what_grants_it(server):
    with new_database(server) as url:
        of = make_roles(url)
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("create schema ledger")
        error = said(of("ledger_worker"), "worker", code=1)
        assert "(permission denied for schema ledger): use a login with the rights of ledger_worker; if" in error
        assert "run `ledger db upgrade` with a login of ledger_owner" in error
        error = said(of("ledger_owner"), "db", "upgrade", code=1)
        assert "run sql/roles.sql as a superuser to make ledger_owner the owner of the ledger" in error


@contextmanager
def login(server: str, of: Url, *, member_of: str | None = None) -> Iterator[str]:
    """Create a login, and return its URL."""
    name = f"login_{uuid.uuid4().hex[:8]}"
    who = sql.Identifier(name)
    superuser = {key: conninfo_to_dict(server).get(key) for key in ("user", "password")}
    with psycopg.connect(make_conninfo(of("ledger_owner"), **superuser), autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login").format(who))
        connection.pgconn.change_password(name.encode(), PASSWORD.encode())
        if member_of:
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(member_of), who))
        try:
            yield make_conninfo(of("ledger_owner"), user=name)
        finally:
            connection.execute(sql.SQL("drop role {}").format(who))


def test_a_login_without_a_role_is_not_let_in(server, of):
    with login(server, of) as url:
        error = said(url, "study", "list", code=1)
    assert "permission denied for database" in error
    assert error.count("\n") == 1


def test_workers_with_own_logins_see_no_statements_of_each_other(server, of):
    with (
        login(server, of, member_of="ledger_worker") as one,
        login(server, of, member_of="ledger_worker") as another,
        psycopg.connect(one, autocommit=True) as holder,
        psycopg.connect(another, autocommit=True) as other,
    ):
        held = take(holder)
        # with literals, as psql sends it
        holder.execute(f"select ledger.heartbeat({held.study_id}, {held.trial}, '{held.claim}')")
        shown = "select query from pg_stat_activity where pid = %s"
        assert other.execute(shown, (holder.info.backend_pid,)).fetchone() == ("<insufficient privilege>",)
        with pytest.raises(InsufficientPrivilege):
            other.execute("select from ledger.trial")
        assert protocol.release(holder, held)


def test_optuna_is_let_in_by_the_owner_and_reads_as_a_reader(server):
    with new_database(server) as url:
        of = make_roles(url)
        upgrade(of("ledger_owner"))
        with engine(of("ledger_manager")).connect() as connection:
            make_study(connection)
        for role in OTHERS:
            error = said(of(role), "optuna", "enable", code=1)
            assert f"role {LOGINS[role]} lacks a privilege for this operation (permission denied" in error
            assert "`ledger optuna enable` needs the rights of ledger_owner" in error
            assert error.count("\n") == 1
        # they belong to the owner, for every role that creates them
        said(url, "optuna", "enable")
        with psycopg.connect(url, autocommit=True) as superuser:
            owners = superuser.execute(
                "select distinct pg_get_userbyid(owner) from (select relowner, relnamespace from pg_class"
                " union all select proowner, pronamespace from pg_proc"
                " union all select typowner, typnamespace from pg_type"
                " union all select nspowner, oid from pg_namespace) as things (owner, schema)"
                " where schema = 'optuna'::regnamespace"
            ).fetchall()
        assert owners == [("ledger_owner",)]
        with reading.storage(of("ledger_reader")) as storage:
            assert len(optuna.load_study(study_name="s", storage=storage).trials) == 4
        assert reading.url(of("ledger_reader")) in said(of("ledger_reader"), "optuna", "url")
        for role in ("ledger_worker", "ledger_manager"):
            error = said(of(role), "dashboard", code=1)
            assert f"as {LOGINS[role]}: connect with the login of a reader, or as ledger_owner\n" in error
        with psycopg.connect(of("ledger_reader")) as reader:
            asked = "select relname from pg_class where relnamespace = 'optuna'::regnamespace and relkind = 'v'"
            views = [name for (name,) in reader.execute(asked).fetchall()]
        assert len(views) > 10
        for role in OTHERS:
            writes = [f"delete from optuna.{view}" for view in views] + [f"drop view optuna.{view}" for view in views]
            assert not_refused(of(role), [*writes, "create table optuna.mine ()"]) == []
        with psycopg.connect(of("ledger_worker"), autocommit=True) as connection:
            assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
        said(of("ledger_owner"), "optuna", "disable")


def test_views_for_optuna_from_before_the_roles_become_the_owners(server):
    with new_database(server) as url:
        upgrade(url)
        with engine(url).connect() as connection:
            make_study(connection)
            optuna_views.enable(connection)
        of = make_roles(url)
        upgrade(of("ledger_owner"))
        with reading.storage(of("ledger_reader")) as storage:
            assert len(optuna.load_study(study_name="s", storage=storage).trials) == 4


def test_a_dataset_is_kept_by_managers_and_removed_by_the_owner(fresh):
    content = b"a,y\n" * 1_000_000
    sha256 = hashlib.sha256(content).hexdigest()
    with (
        engine(fresh("ledger_manager")).connect() as connection,
        psycopg.connect(fresh("ledger_worker"), autocommit=True) as worker,
        psycopg.connect(fresh("ledger_reader"), autocommit=True) as reader,
        engine(fresh("ledger_owner")).connect() as owner,
    ):
        db = connection
        data = {"name": "a.csv", "sha256": sha256, "target_column": "y", "format": "csv", "rows": 999_999}
        objective = {"model": "svm", "data": data}
        dataset = StoredDataset(sha256, "a.csv", content)
        made = {**spec(), "objective": objective}
        rows = [studies.create(db, name, made, "0" * 64, 1, {}, [dataset]) for name in ("one", "two")]
        shown = "select name, bytes, studies from ledger.datasets"
        assert reader.execute(shown).fetchall() == [("a.csv", 4_000_000, 2)]
        pieces = [protocol.dataset(worker, sha256, first, 3_000_000) for first in (0, 3_000_000, 4_000_000)]
        assert b"".join(piece or b"" for piece in pieces) == content
        assert pieces[2] == b""
        assert protocol.dataset(worker, "0" * 64, 0, 1) is None
        assert protocol.dataset(reader, sha256, 0, 4) == b"a,y\n"
        for connected in (worker, reader):
            with pytest.raises(InsufficientPrivilege):
                connected.execute("select content from ledger.dataset")
        for row, left in zip(rows, (1, 0), strict=True):
            assert row is not None
            with pytest.raises(DBAPIError, match="permission denied for function delete_study"):
                studies.delete(db, row)
            assert studies.delete(owner, row) == "deleted"
            assert reader.execute("select count(*) from ledger.datasets").fetchone() == (left,)
