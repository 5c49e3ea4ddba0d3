"""Functions that open connections to PostgreSQL, and error messages for failed connections."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo
from psycopg.types.json import set_json_dumps, set_json_loads

from ledger.database.login_kinds import GROUP_ROLES
from ledger.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
from ledger.text import one_line

OLDEST_SERVER = 150000
# Seconds after which the server cancels a statement.
STATEMENT_SECONDS = 10.0
# Seconds after which the server ends a wait for a lock. The ledger's own programs hold a lock for only a few
# milliseconds. If a wait for a lock lasts for several seconds, another session has usually left a transaction open.
# `connect` sets the lock timeout to at most half of the statement timeout. Therefore a statement that waits too long
# for a lock fails with a lock timeout, and not with a statement timeout.
LOCK_SECONDS = 5.0
# When a connection has executed a statement PREPARE_AFTER times, psycopg prepares the statement on the server. The
# value of PREPARE_AFTER is psycopg's default value.
PREPARE_AFTER = 5
# The client's time limit for an answer is PATIENCE_FACTOR times the server's time limit for a statement. If the answer
# does not arrive in time, the client closes the connection.
PATIENCE_FACTOR = 1.5

# If client_encoding is not set, psycopg returns the texts of an SQL_ASCII database as bytes. With the timeouts and
# keepalives of DEFAULTS, the client detects a dead server within half a minute.
DEFAULTS: Mapping[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Because of the timeouts and keepalives of _SESSION, the server soon ends the sessions of a failed client machine.
# Without timeouts and keepalives, a session of a failed machine could hold locks for hours. The client sets the
# parameters of _SESSION with an SQL statement, because poolers refuse start-up options.
_SESSION: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "idle_in_transaction_session_timeout": "20s",
    # The ledger's code needs fixed values of settings such as `search_path`. Without the following entries of _SESSION,
    # `alter role` could change the search path and other settings for all sessions of a role.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "search_path": "pg_catalog",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "array_nulls": "on",
    "idle_session_timeout": "0",
}
_TRANSACTION_TIMEOUT_SINCE = 170000
# `alter role` can make the sessions of a role read-only. If `alter role` has made a session read-only, the second
# select of _SET makes the session writable. A setting of the server or the database can also make a session read-only.
# The statement _SET does not change this setting, because an administrator has chosen the setting. Some cloud providers
# make a server read-only when the server's disk is full.
_SET = """
select set_config(key, value, false) from unnest(%s::text[], %s::text[]) as parameter(key, value)
union all
select set_config(name, 'off', false) from pg_settings
where name = 'default_transaction_read_only' and setting = 'on' and source in ('user', 'database user')"""

FULL_DISK = "the database's disk is full: make room on it"
# Each key of _NOT_NOW is a part of an error message. If the server's error message contains a key of _NOT_NOW, the
# server is only temporarily unavailable. The key's value in _NOT_NOW is advice that the command shows to the user.
_NOT_NOW = {
    "too many clients": "raise max_connections, start fewer workers, or put a pooler before the server",
    "remaining connection slots": "raise max_connections, start fewer workers, or put a pooler before the server",
    "too many connections": "raise the connection limit of this role or database, or start fewer workers",
    "is starting up": "the server will accept connections when it has started",
    "is shutting down": "the server will accept connections when it has restarted",
    "in recovery mode": "the server will accept connections when it has recovered",
    "not yet accepting connections": "the server will accept connections when it has recovered",
    "server closed the connection unexpectedly": "if the server is restarting, it will accept connections again",
    "Connection reset by peer": "if the server is restarting, it will accept connections again",
    "No space left on device": FULL_DISK,
    "server is in hot standby mode": "this server is a standby: write the address of the primary server, or the"
    " addresses of several servers, into DATABASE_URL",
}
_OWN_SETTINGS = "an administrator can remove the settings of the role by `alter role … reset NAME`"
# Each key of _NOT_BY_ITSELF is a part of an error message. If the server's error message contains a key of
# _NOT_BY_ITSELF, a user or an administrator must correct the cause of the error. The key's value in _NOT_BY_ITSELF is
# advice that the ledger shows to the user after the error message.
_NOT_BY_ITSELF = {
    "could not access file": f"a setting of the role or database refers to a missing library: {_OWN_SETTINGS}",
    "could not load library": "a setting of the role or database refers to a library that PostgreSQL cannot load:"
    f" {_OWN_SETTINGS}",
    # PostgreSQL does not tell a client whether a password is wrong or expired.
    "password authentication failed": "check the password in DATABASE_URL or ~/.pgpass, and check whether the"
    " password has expired (`alter role ... valid until`); an administrator can set a new password with \\password in"
    " psql",
    **{
        f'role "{role}" is not permitted to log in': f"{role} is a group role, which cannot log in: an"
        " administrator can create a login by `ledger access add`"
        for role in GROUP_ROLES
    },
    "is not permitted to log in": "an administrator can let the role log in again (`alter role ... login`)",
}
LOCKED_WAY_OUT = "run `ledger db check` to find the session that holds the lock"
WAY_OUT = "check --database-url or DATABASE_URL, and check that the server is running"


class ServerUnreachable(LedgerError):
    """An exception that reports a failed connection to the database server.

    Attributes
    ----------
    not_now : bool
        Whether the server is only temporarily unable to accept connections.
    """

    def __init__(self, message: str, *, not_now: bool) -> None:
        super().__init__(message)
        self.not_now = not_now


class ConnectionWithTimeout(psycopg.Connection[Any]):
    """A database connection that waits at most `answer_seconds` seconds for an answer of the server.

    Without a limit, the client would wait forever for a failed server.
    """

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
) -> ConnectionWithTimeout:
    """Open a connection in autocommit mode.

    Parameters
    ----------
    url : str
        A libpq connection URL, or a libpq connection string with `keyword=value` pairs. A setting in the URL replaces
        the setting of the same name in `DEFAULTS`.
    role : str
        The purpose of the connection. PostgreSQL shows the purpose as the `application_name` of the session.
    statement_seconds : float
        Seconds after which the server cancels a statement. If the options of the URL contain `statement_timeout`, the
        function ignores `statement_seconds`.
    writes : bool
        Whether the caller writes to the database. If `writes` is true, the function refuses a standby server and a
        read-only server.
    prepares : bool
        Whether psycopg prepares frequent statements on the server. Prepared statements fail behind a transaction
        pooler, because the pooler can send a prepared statement to another server session.

    Raises
    ------
    UsageError
        The URL cannot be parsed.
    ServerUnreachable
        The server cannot be reached, or refuses the connection.
    LedgerError
        The server is older than PostgreSQL 15.
    """
    parameters = _parse(url)
    settings = {**DEFAULTS, "application_name": role, **parameters}
    if writes:
        # The parameter target_session_attrs must not be "read-write". With "read-write", libpq would refuse a primary
        # server if a setting of the role makes the sessions read-only.
        settings.setdefault("target_session_attrs", "primary")
    try:
        connection = ConnectionWithTimeout.connect(
            **settings, autocommit=True, prepare_threshold=PREPARE_AFTER if prepares else None
        )
    except (psycopg.ProgrammingError, UnicodeError) as error:
        raise UsageError(f"the database URL of {place(url)} is wrong: {one_line(reason(error))}") from None
    except psycopg.OperationalError as error:
        said = reason(error)
        known = (*_NOT_NOW.items(), *_NOT_BY_ITSELF.items())
        words, way_out = next(((words, way_out) for words, way_out in known if words in said), ("", WAY_OUT))
        raise ServerUnreachable(
            f"cannot connect to {place(url)}: {said}; {way_out}", not_now=words in _NOT_NOW
        ) from None
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise LedgerError(
            f"{place(url)} is on PostgreSQL {version // 10000}.{version % 10000}, which is too old: "
            "upgrade the server to PostgreSQL 15 or newer"
        )
    options = str(parameters.get("options", ""))
    own = dict(_SESSION)
    if version >= _TRANSACTION_TIMEOUT_SINCE:
        own["transaction_timeout"] = "0"
    try:
        if "statement_timeout" in options:
            asked = "select setting::float8 / 1000 from pg_settings where name = 'statement_timeout'"
            ((statement_seconds,),) = connection.execute(asked).fetchall()
        else:
            own["statement_timeout"] = f"{round(statement_seconds * 1000)}ms"
        own["lock_timeout"] = f"{round(min(LOCK_SECONDS, statement_seconds / 2 or LOCK_SECONDS) * 1000)}ms"
        connection.answer_seconds = statement_seconds * PATIENCE_FACTOR or None
        own = {key: value for key, value in own.items() if key not in options}
        connection.execute(_SET, (list(own), list(own.values())))
    except psycopg.Error as error:
        connection.close()
        if isinstance(error, errors.QueryCanceled) and "statement_timeout" not in options:
            # The role's own statement_timeout is so short that the server has cancelled _SET. The next connection
            # attempt sets statement_timeout in the options of the URL, because the options are valid from the start of
            # a session. The first connection attempt sets no options, because some poolers refuse options.
            options += f" -c statement_timeout={own['statement_timeout']}"
            patient = make_conninfo(url, options=options)
            return connect(patient, role, statement_seconds=statement_seconds, writes=writes, prepares=prepares)
        raise ServerUnreachable(
            f"cannot connect to {place(url)}: {reason(error)}; {WAY_OUT}; {_OWN_SETTINGS}", not_now=True
        ) from None
    if writes and connection.info.parameter_status("default_transaction_read_only") == "on":
        connection.close()
        raise ServerUnreachable(
            f"cannot write to {place(url)}: default_transaction_read_only is on in the settings of the server or"
            " database, or in DATABASE_URL; remove the setting from DATABASE_URL, or ask an administrator to turn"
            " the setting off",
            not_now=True,
        )
    set_json_loads(from_json, connection)
    return connection


def set_up(connection: psycopg.Connection[Any], own: Mapping[str, str]) -> None:
    """Set several parameters of the database session in one statement."""
    connection.execute(
        "select set_config(key, value, false) from unnest(%s::text[], %s::text[]) as parameter(key, value)",
        (list(own), list(own.values())),
    )


def engine(
    url: str, role: str = "ledger", *, statement_seconds: float = STATEMENT_SECONDS, writes: bool = False
) -> "Engine":
    """Return an SQLAlchemy engine that has no pool, and that opens its connections with the function `connect`.

    The connections prepare no statements, so the engine also works behind a transaction pooler.
    """
    # The import of SQLAlchemy is not at the top of the module. Workers do not need SQLAlchemy, and should not wait for
    # the import.
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def create() -> psycopg.Connection[Any]:
        connection = connect(url, role, statement_seconds=statement_seconds, writes=writes, prepares=False)
        # With the time zone UTC, PostgreSQL returns times in UTC to every machine. If a role's name is `ledger`,
        # PostgreSQL's default search path makes the schema `ledger` the default schema of the role. SQLAlchemy's
        # reflection omits the name of a default schema.
        set_up(connection, {"timezone": "UTC", "search_path": "pg_catalog"})
        # SQLAlchemy does not apply its option json_serializer to a connection that the function `create` has opened.
        set_json_dumps(to_json, connection)
        connection.autocommit = False
        return connection

    return create_engine("postgresql+psycopg://", creator=create, poolclass=NullPool)


def driver(connection: "Connection") -> ConnectionWithTimeout:
    """Return the psycopg connection that an SQLAlchemy connection uses."""
    below = connection.connection.driver_connection
    assert isinstance(below, ConnectionWithTimeout)
    return below


def cursor(connection: "Connection") -> "psycopg.Cursor[Any]":
    """Return a psycopg cursor that runs statements of `psycopg.sql` in the connection's current transaction."""
    return driver(connection).cursor()


def wait_for_notification(connection: "Connection", seconds: float) -> None:
    """Wait until a notification arrives, or until the given number of seconds has passed."""
    try:
        for _ in driver(connection).notifies(timeout=seconds, stop_after=1):
            pass
    except psycopg.OperationalError:
        # The ledger calls psycopg's method `notifies` without SQLAlchemy. Therefore SQLAlchemy does not detect an error
        # of `notifies`. Without the call of `invalidate`, SQLAlchemy would run a rollback on a closed connection.
        connection.invalidate()
        raise


@contextmanager
def without_time_limit(connection: "Connection") -> "Iterator[None]":
    """Remove the time limits for the statements of the `with` block. TCP keepalives still detect a dead server."""
    below = driver(connection)
    seconds, below.answer_seconds = below.answer_seconds, None
    try:
        cursor(connection).execute("set local statement_timeout = 0")
        yield
    finally:
        below.answer_seconds = seconds


@contextmanager
def refused_if_locked(what: str) -> "Iterator[None]":
    """Raise a LedgerError if a statement of the `with` block has waited too long for a lock.

    Parameters
    ----------
    what : str
        The name of the locked object, for the error message.

    Raises
    ------
    LedgerError
        A statement waited for a lock of another session, and the wait exceeded lock_timeout.
    """
    try:
        yield
    except Exception as error:
        # SQLAlchemy catches each error of psycopg, and raises an error of SQLAlchemy. The attribute `orig` of
        # SQLAlchemy's error is the error of psycopg.
        if isinstance(getattr(error, "orig", error), errors.LockNotAvailable):
            raise LedgerError(
                f"another session has locked {what}: {LOCKED_WAY_OUT}, or try again when the transaction of that"
                " session has ended"
            ) from None
        raise


def storable(connection: psycopg.Connection[Any], text: str) -> str:
    """Return `text` with escape sequences instead of the characters that the database cannot store.

    The database cannot store NUL characters, lone surrogates, or characters outside the database's encoding.
    """
    encoding = "utf-8" if connection.info.parameter_status("server_encoding") in ("UTF8", "SQL_ASCII") else "ascii"
    return text.replace("\0", "\\0").encode(encoding, "backslashreplace").decode()


def to_json(value: object) -> str:
    """Return the JSON text of a value, without escape sequences for non-ASCII characters.

    A database whose encoding is not UTF-8 may refuse the JSON escape sequence of a non-ASCII character.
    """
    return json.dumps(value, ensure_ascii=False)


def from_json(text: str | bytes) -> Any:
    """Parse a JSON document from the database, and return the parsed value.

    A check in sql/functions/faults.sql refuses a JSON document that Python cannot read. The tables' owner can disable
    the check. If Python cannot read a document, the function returns a dict that contains the error under the key
    `unreadable`. If the function raised an error, one unreadable document would make the whole query fail.
    """
    try:
        # The method `decode` always assumes UTF-8. If `json.loads` received bytes, `json.loads` would guess the
        # encoding of each document.
        return json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        return {"unreadable": one_line(str(error))}


def from_json_texts(texts: Sequence[str | None]) -> list[Any]:
    """Parse many JSON documents. If an item of `texts` is None, the result of the item is None. One call for many
    documents is faster than one call for each document.

    For an unreadable document, the function returns the same dict as `from_json`.
    """
    try:
        decoded: list[Any] = json.loads(f"[{','.join('null' if each is None else each for each in texts)}]")
    except (ValueError, RecursionError):
        return [None if each is None else from_json(each) for each in texts]
    return decoded


def place(url: str) -> str:
    """Return a readable description of the database that a URL names. The description does not contain the password."""
    parameters = _parse(url)
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port")
    user = parameters.get("user")
    where = f"{host}:{port}" if port and not str(host).startswith("/") else host
    database = f"database {parameters['dbname']}" if parameters.get("dbname") else "the default database"
    return f"{database} at {where}" + (f" as {user}" if user else "")


def reason(error: BaseException) -> str:
    """Return the message of a server error or a network error as one line, without the address that libpq adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.rpartition("failed: ")[2] for line in lines if "failed: " in line]
    if said:
        return said[-1]
    return lines[0] if lines else type(error).__name__


def _parse(url: str) -> dict[str, Any]:
    try:
        parameters = dict(conninfo_to_dict(url))
    except (psycopg.ProgrammingError, UnicodeError) as error:
        # The error message of libpq quotes the text that libpq could not parse. The quoted text may contain the
        # password.
        del error
        raise UsageError(
            "the database URL cannot be parsed: write postgresql://user@host:5432/database or key=value pairs"
        ) from None
    try:
        timeout_from_conninfo(parameters)
    except psycopg.ProgrammingError as error:
        raise UsageError(f"the database URL is wrong: {one_line(reason(error))}") from None
    return parameters
