"""Connections to PostgreSQL: how they are opened, and what a person is told where they are not."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo
from psycopg.types.json import set_json_dumps

from ledger.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
from ledger.text import one_line

OLDEST_SERVER = 150000
# Seconds after which the server gives a statement up.
STATEMENT_SECONDS = 10.0
# Sent so often, a statement is prepared; psycopg's own default.
PREPARE_AFTER = 5
# The client waits this much longer than the server's own limit; then the connection counts as dead.
PATIENCE_FACTOR = 1.5

# An SQL_ASCII database answers in bytes unless told the encoding. A dead peer is noticed within half a minute.
DEFAULTS: Mapping[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# What the server does for its part, so that no session of a machine that is gone keeps a lock for hours. Set by a
# statement, because poolers refuse start-up options.
_SESSION: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "idle_in_transaction_session_timeout": "20s",
}

# What a server says that will take connections again, and what a person can do meanwhile.
_NOT_NOW = {
    "too many clients": "raise max_connections, start fewer workers, or put a pooler before the server",
    "remaining connection slots": "raise max_connections, start fewer workers, or put a pooler before the server",
    "too many connections": "raise the limit of this role or database, or start fewer workers",
    "is starting up": "it will take connections when it is up",
    "is shutting down": "it will take connections when it is up again",
    "in recovery mode": "it will take connections when it has recovered",
    "not yet accepting connections": "it will take connections when it has recovered",
    "server closed the connection unexpectedly": "it will take connections again if it is restarting",
    "Connection reset by peer": "it will take connections again if it is restarting",
    "session is read-only": "this is a standby: name the primary, or several hosts, in DATABASE_URL",
    "server is in hot standby mode": "this is a standby: name the primary, or several hosts, in DATABASE_URL",
}
WAY_OUT = "check --database-url or DATABASE_URL, and that the server is up"


class Unreachable(LedgerError):
    """No connection was opened.

    Attributes
    ----------
    not_now : bool
        The server answered that it takes no connection at this moment.
    """

    def __init__(self, message: str, *, not_now: bool) -> None:
        super().__init__(message)
        self.not_now = not_now


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for no answer longer than `answer_seconds`: a half-open one would never give it."""

    answer_seconds: float | None = STATEMENT_SECONDS * PATIENCE_FACTOR

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.answer_seconds:g} s") from None


def connect(
    url: str,
    role: str = "ledger",
    *,
    statement_seconds: float = STATEMENT_SECONDS,
    writes: bool = False,
    prepares: bool = True,
) -> BoundedConnection:
    """Open an autocommitting connection.

    Parameters
    ----------
    url : str
        A libpq URL or keyword string; what it says beats the defaults here.
    role : str
        What the connection is for, shown as its application_name.
    statement_seconds : float
        Seconds after which the server cancels a statement, unless the URL's options set statement_timeout.
    writes : bool
        Refuse a standby.
    prepares : bool
        Prepare statements that are sent often. A pooler may answer that it does not know them.

    Raises
    ------
    UsageError
        The URL cannot be parsed.
    Unreachable
        The server cannot be reached or refuses.
    LedgerError
        The server is older than PostgreSQL 15.
    """
    parameters = _parse(url)
    settings = {**DEFAULTS, "application_name": role, **parameters}
    if writes:
        settings.setdefault("target_session_attrs", "read-write")
    try:
        connection = BoundedConnection.connect(
            **settings, autocommit=True, prepare_threshold=PREPARE_AFTER if prepares else None
        )
    except (psycopg.ProgrammingError, UnicodeError) as error:
        raise UsageError(f"the database URL of {place(url)} is wrong: {one_line(reason(error))}") from None
    except psycopg.OperationalError as error:
        said = reason(error)
        way_out = next((way_out for words, way_out in _NOT_NOW.items() if words in said), None)
        raise Unreachable(
            f"cannot connect to {place(url)}: {said}; {way_out or WAY_OUT}", not_now=way_out is not None
        ) from None
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise LedgerError(
            f"{place(url)} is PostgreSQL {version // 10000}.{version % 10000}, which is too old: "
            "upgrade the server to 15 or newer"
        )
    own = dict(_SESSION)
    try:
        if "statement_timeout" in str(parameters.get("options", "")):
            asked = "select setting::float8 / 1000 from pg_settings where name = 'statement_timeout'"
            ((statement_seconds,),) = connection.execute(asked).fetchall()
        else:
            own["statement_timeout"] = f"{round(statement_seconds * 1000)}ms"
        connection.answer_seconds = statement_seconds * PATIENCE_FACTOR or None
        set_up(connection, own)
    except psycopg.OperationalError as error:
        connection.close()
        raise Unreachable(f"cannot connect to {place(url)}: {reason(error)}; {WAY_OUT}", not_now=True) from None
    return connection


def set_up(connection: psycopg.Connection[Any], own: Mapping[str, str]) -> None:
    """Set parameters of the session, all in one statement."""
    connection.execute(
        "select set_config(key, value, false) from unnest(%s::text[], %s::text[]) as parameter(key, value)",
        (list(own), list(own.values())),
    )


def engine(
    url: str, role: str = "ledger", *, statement_seconds: float = STATEMENT_SECONDS, writes: bool = False
) -> "Engine":
    """Return an SQLAlchemy engine whose connections are those of `connect`, without a pool.

    Statements are not prepared, so that the connections may be those of a transaction pooler.
    """
    # workers do not need SQLAlchemy, and save the time of its import
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def create() -> psycopg.Connection[Any]:
        connection = connect(url, role, statement_seconds=statement_seconds, writes=writes, prepares=False)
        # Times are in UTC on any machine; a role with the schema's name would hide the schema from reflection.
        set_up(connection, {"timezone": "UTC", "search_path": "pg_catalog"})
        # SQLAlchemy's json_serializer does not reach a connection that it did not open itself
        set_json_dumps(to_json, connection)
        connection.autocommit = False
        return connection

    return create_engine("postgresql+psycopg://", creator=create, poolclass=NullPool)


def driver(connection: "Connection") -> BoundedConnection:
    """Return psycopg's connection below a connection of `engine`."""
    below = connection.connection.driver_connection
    assert isinstance(below, BoundedConnection)
    return below


def cursor(connection: "Connection") -> "psycopg.Cursor[Any]":
    """Return psycopg's cursor within the transaction, for statements that SQLAlchemy does not quote."""
    return driver(connection).cursor()


def wait_for_notification(connection: "Connection", seconds: float) -> None:
    """Wait for the first notification, at most for a number of seconds."""
    try:
        for _ in driver(connection).notifies(timeout=seconds, stop_after=1):
            pass
    except psycopg.OperationalError:
        # SQLAlchemy did not see this error, and would roll back on a connection that is closed
        connection.invalidate()
        raise


@contextmanager
def without_time_limit(connection: "Connection") -> "Iterator[None]":
    """Let the statements of the block take as long as the network needs; keepalives still notice a dead peer."""
    below = driver(connection)
    seconds, below.answer_seconds = below.answer_seconds, None
    try:
        cursor(connection).execute("set local statement_timeout = 0")
        yield
    finally:
        below.answer_seconds = seconds


def to_json(value: object) -> str:
    """Return JSON with its characters as they are: a database that is not in UTF-8 refuses their escapes."""
    return json.dumps(value, ensure_ascii=False)


def place(url: str) -> str:
    """Return what the URL names, as a person would, and never its password."""
    parameters = _parse(url)
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port")
    user = parameters.get("user")
    where = f"{host}:{port}" if port and not str(host).startswith("/") else host
    database = f"database {parameters['dbname']}" if parameters.get("dbname") else "the default database"
    return f"{database} at {where}" + (f" as {user}" if user else "")


def reason(error: BaseException) -> str:
    """Return what the server or the network said, in one line, without libpq's account of where it asked."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.rpartition("failed: ")[2] for line in lines if "failed: " in line]
    if said:
        return said[-1]
    return lines[0] if lines else type(error).__name__


def _parse(url: str) -> dict[str, Any]:
    try:
        parameters = dict(conninfo_to_dict(url))
    except (psycopg.ProgrammingError, UnicodeError) as error:
        # libpq quotes what it could not parse, which may be the password
        del error
        raise UsageError(
            "the database URL cannot be parsed: write postgresql://user@host:5432/database or key=value pairs"
        ) from None
    try:
        timeout_from_conninfo(parameters)
    except psycopg.ProgrammingError as error:
        raise UsageError(f"the database URL is wrong: {one_line(reason(error))}") from None
    return parameters
