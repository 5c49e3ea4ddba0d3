"""Attacks by the roles: generated calls of every SQL function, locks held, and floods of rows."""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psycopg
from psycopg import sql

from tests.attack.hostile_studies import HostileStudies
from tests.attack.tally import Tally
from tests.attack.values import Values
from tests.attack.victims import Victims
from tests.chaos.studies import NAME

# The owner is trusted with everything.
ATTACKERS = ("ledger_manager", "ledger_worker", "ledger_reader")
# Seconds that a lock is held: longer than a lease of the study.
HELD = 5.0
_FUNCTIONS = """
select proname, proargnames[1:pronargs],
  array(select format_type(type, null) from unnest(proargtypes) with ordinality as t(type, place) order by place)
from pg_proc
where pronamespace = 'ledger'::regnamespace and prorettype <> 'trigger'::regtype
order by proname
"""
_STATEMENTS = (
    "select * from ledger.trial",
    "insert into ledger.trial default values",
    "update ledger.trial set loss = 0",
    "delete from ledger.attempt",
    "truncate ledger.study",
    "lock table ledger.trial in access exclusive mode",
    "lock table ledger.trials in access exclusive mode",
    "drop function ledger.clock",
    "create or replace function ledger.clock() returns timestamptz language sql as 'select null'",
    "create table ledger.mine ()",
    "create function pg_temp.clock() returns timestamptz language sql as 'select now()'",
    "create temp table trial (number int)",
    "set role ledger_owner",
    "set session authorization ledger_owner",
    "alter role ledger_owner password 'mine'",
    "copy (select 1) to program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'one_manager'",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'ledger%'",
    "set role ledger_worker; alter role ledger_worker password 'mine'",
    "set role ledger_worker; alter role ledger_worker set local_preload_libraries = 'missing'",
    "set role ledger_manager; alter role ledger_manager login",
    "select pg_logical_emit_message(false, 'mine', repeat('x', 1000000))",
    "select count(pg_advisory_lock(id)) from generate_series(1, 100000) as id",
    "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'ledger_owner'",
    "select pg_try_advisory_lock(id) from generate_series(1, 50) as id",
    "select pg_try_advisory_lock(x'7472696C'::int, id) from generate_series(1, 50) as id",
    "select lo_from_bytea(0, convert_to(repeat('x', 100000), 'UTF8'))",
    "alter system set archive_command = 'id'",
    "listen ledger; notify ledger, 'forged'",
    "select claim from ledger.trial",
    "select content from ledger.dataset",
    "update ledger.code_version set parts = '[]'",
    "delete from ledger.source",
    "insert into ledger.report (study_id, trial, attempt, step, reported_at) values (1, 0, 1, 0, now())",
    "update ledger.report set loss = 0",
    "delete from ledger.report",
    "update ledger.verdict set stops = false",
    "insert into ledger.promotion (study_id, trial, rung, arrivals, promoted_at) values (1, 0, 1, 9, now())",
    "insert into ledger.cutoff (study_id, iteration, rung, loss, compared) values (1, 0, 1, 0, 9)",
    "explain analyze select ledger.delete_study(1)",
    "explain analyze select ledger.rename_study(1, 'mine')",
    "explain analyze select ledger.archive_study(1)",
    "insert into ledger.study_annotation (study_id, annotated_by, annotated_at) values (1, 'owner', now())",
    "update ledger.trial_annotation set annotated_by = 'owner'",
    "delete from ledger.study_annotation",
    "select bytes from ledger.artifact_piece",
    "update ledger.artifact set content = null",
    "delete from ledger.artifact_content",
)


class Calls:
    """Calls of every function by every role but the owner, with hostile arguments."""

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random, hostile: HostileStudies) -> None:
        self._victims, self._tally, self._rng = victims, tally, rng
        self._claims: list[str] = []
        self._values = Values(rng, lambda: list(map(str, hostile.ids)), self._claims)
        self._functions = victims.query(_FUNCTIONS)
        self._connections: dict[str, psycopg.Connection[tuple[object, ...]]] = {}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def attack(self, count: int) -> None:
        """Make generated calls, and send statements that no role may run."""
        for _ in range(count):
            role = self._rng.choice(ATTACKERS)
            if self._rng.random() < 0.1:
                self._send(role, "statement that a role may not run", self._rng.choice(_STATEMENTS), [])
            else:
                self._call(role)

    def claim_trials(self) -> None:
        """Claim trials of the attacked study, as any worker may, to attack with valid claims."""
        claims = [str(uuid.UUID(int=self._rng.getrandbits(128))) for _ in range(2)]
        with suppress(psycopg.Error):
            self._connection("ledger_worker").execute("select ledger.claim(%s, %s::uuid[], 'attacker')", [NAME, claims])
            self._claims += claims

    def flood(self) -> None:
        """Announce many workers, and claim and release one trial many times."""
        connection = self._connection("ledger_worker")
        for number in range(200):
            self._tally.tried("flood of announcements")
            with suppress(psycopg.Error):
                connection.execute("select ledger.announce(%s, 'host', 1)", [f"flood-{number}-{self._rng.random()}"])
        for number in range(100):
            self._tally.tried("flood of reports")
            with suppress(psycopg.Error):
                connection.execute(
                    "select ledger.report(study_id, trial, %s, array(select generate_series(%s, %s)::bigint),"
                    " array_fill(0.5::float8, array[1000])) from ledger.claim(%s, %s::uuid[], 'attacker')",
                    [claim := uuid.UUID(int=self._rng.getrandbits(128)), number, number + 999, NAME, [claim]],
                )
        for _ in range(50):
            self._tally.tried("flood of claims and releases")
            claim = uuid.UUID(int=self._rng.getrandbits(128))
            with suppress(psycopg.Error):
                for study, trial in connection.execute(
                    "select study_id, trial from ledger.claim(%s, %s::uuid[], 'attacker')", [NAME, [claim]]
                ).fetchall():
                    connection.execute("select ledger.release(%s, %s, %s)", [study, trial, claim])

    def _call(self, role: str) -> None:
        name, arguments, kinds = self._rng.choice(self._functions)
        given = [self._values.draw(kind, argument) for kind, argument in zip(kinds, arguments or [], strict=True)]
        places = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(kind)) for kind in kinds)
        statement = sql.SQL("select * from ledger.{}({})").format(sql.Identifier(name), places)
        self._send(role, f"function as {role.removeprefix('ledger_')}", statement, given)

    def _send(self, role: str, kind: str, statement: str | sql.Composed, given: list[str | None]) -> None:
        self._tally.tried(kind)
        connection = self._connection(role)
        try:
            with connection.transaction():
                connection.execute(statement, given)
        except psycopg.OperationalError:
            self._tally.refused(kind)
            connection.close()
        except (psycopg.Error, UnicodeError):
            self._tally.refused(kind)

    def _connection(self, role: str) -> psycopg.Connection[tuple[object, ...]]:
        connection = self._connections.get(role)
        if connection is None or connection.closed:
            connection = psycopg.connect(
                self._victims.urls[role], autocommit=True, options="-c statement_timeout=3s", client_encoding="UTF8"
            )
            self._connections[role] = connection
        return connection


class Locks:
    """Sessions that hold the row of a trial, or listen, in an open transaction, without an end of their own."""

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._victims, self._tally, self._rng = victims, tally, rng
        self._threads: list[threading.Thread] = []

    def attack(self) -> None:
        """Hold a lock for `HELD` seconds, in a thread."""
        hold = self._rng.choice([self._hold_claim, self._listen, self._hold_snapshot])
        claim = uuid.UUID(int=self._rng.getrandbits(128))
        self._threads.append(threading.Thread(target=hold, args=[claim]))
        self._threads[-1].start()

    def close(self) -> None:
        for thread in self._threads:
            thread.join()

    def _session(self) -> psycopg.Connection[tuple[object, ...]]:
        options = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=0"
        return psycopg.connect(self._victims.urls["ledger_worker"], options=options)

    def _hold_claim(self, claim: uuid.UUID) -> None:
        self._tally.tried("lock of a claimed trial held")
        with suppress(psycopg.Error), self._session() as session:
            for study, trial in session.execute(
                "select study_id, trial from ledger.claim(%s, %s::uuid[], 'attacker')", [NAME, [claim]]
            ).fetchall():
                session.commit()
                session.execute("select ledger.heartbeat(%s, %s, %s)", [study, trial, claim])
            time.sleep(HELD)

    def _listen(self, _: uuid.UUID) -> None:
        self._tally.tried("idle listener in a transaction")
        with suppress(psycopg.Error), self._session() as session:
            for channel in self._channels():
                session.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            session.commit()
            session.execute("select ledger.revision()")
            time.sleep(HELD)

    def _hold_snapshot(self, _: uuid.UUID) -> None:
        self._tally.tried("snapshot held")
        with suppress(psycopg.Error), self._session() as session:
            session.execute("set transaction isolation level repeatable read")
            session.execute("select ledger.revision()")
            time.sleep(HELD)

    def _channels(self) -> Iterator[str]:
        yield from ("ledger", "ledger_ended")
