"""A worker's database session, which opens a new connection after a failure.

The session may send a statement several times. Therefore the repetition of a statement must be harmless.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from ledger.database.connection import ServerUnreachable, connect, reason
from ledger.database.retry import RetryPolicy
from ledger.errors import LedgerError

R = TypeVar("R")

# If a statement fails with one of the errors in _STATEMENT_ONLY, the connection is still usable.
_STATEMENT_ONLY = (errors.QueryCanceled, errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_NOT_PREPARED = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
# The SQLSTATE classes of three kinds of errors: data exceptions, integrity constraint violations, and exceeded program
# limits. psycopg raises an OperationalError for an exceeded program limit, but a retry cannot succeed.
_REFUSALS = ("22", "23", "54")


class DatabaseUnavailable(LedgerError):
    """An exception that the session raises if the database cannot answer now. The exception contains the time to wait
    before the next try.

    Attributes
    ----------
    pause : float
        Seconds to wait before the next try.
    """

    def __init__(self, pause: float) -> None:
        super().__init__("the database is unavailable")
        self.pause = pause


class ValuesRefused(LedgerError):
    """An exception that the session raises if the database has refused the values of a statement.

    The message of the exception is the error message of the database.
    """


class ReconnectingSession:
    """A database session that opens a new connection after a failure.

    The session has at most one connection.

    If the session has no connection, `call` and `try_call` open a connection.

    Parameters
    ----------
    url : str
        The database.
    role : str
        Purpose of the connection. PostgreSQL shows the purpose as the application_name of the session.
    statement_seconds : float
        Seconds after which the server cancels a statement.
    policy : RetryPolicy
    prepare : callable
        Function that prepares a new connection. The session calls `prepare` with each new connection.
    pause : callable
        Function that waits for a number of seconds before `call` tries again. If `pause` raises an exception, `call`
        does not try again.
    """

    def __init__(
        self,
        url: str,
        role: str,
        statement_seconds: float,
        policy: RetryPolicy,
        prepare: Callable[[psycopg.Connection[Any]], object],
        pause: Callable[[float], object],
    ) -> None:
        self._url, self._role, self._statement_seconds = url, role, statement_seconds
        self._policy, self._prepare, self._pause = policy, prepare, pause
        self._connection: psycopg.Connection[Any] | None = None
        self._prepares = True

    def call(self, statement: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call ``statement(connection, *args, **kwargs)`` until the database answers, and return the result.

        Raises
        ------
        ValuesRefused
            The database has refused an argument. The refused statement has changed no data.
        LedgerError
            The database was unavailable for longer than the retry policy allows. The method also raises a LedgerError
            if the first connection fails for a reason that a retry cannot correct.
        """
        while True:
            try:
                return self.try_call(statement, *args, **kwargs)
            except DatabaseUnavailable as error:
                self._pause(error.pause)

    def try_call(self, statement: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call ``statement(connection, *args, **kwargs)`` once, and return the result.

        Raises
        ------
        DatabaseUnavailable
            The database cannot answer now.
        ValuesRefused
            The database has refused an argument. The refused statement has changed no data.
        LedgerError
            The database was unavailable for longer than the retry policy allows. The method also raises a LedgerError
            if the first connection fails for a reason that a retry cannot correct.
        """
        try:
            if self._connection is None:
                self._connection = self._open()
            answer = statement(self._connection, *args, **kwargs)
        except _NOT_PREPARED as error:
            # A pooler can send a statement to another server session. Another server session does not have the prepared
            # statements of this connection.
            self.close()
            if not self._prepares:
                raise
            self._prepares = False
            raise DatabaseUnavailable(self._policy.failed(error)) from None
        except (psycopg.Error, ServerUnreachable) as error:
            if _is_refusal(error):
                self._policy.succeeded()
                raise ValuesRefused(reason(error)) from error
            if not isinstance(error, _STATEMENT_ONLY) or (self._connection and self._connection.closed):
                self.close()
            if not self._policy.is_transient(error):
                raise
            raise DatabaseUnavailable(self._policy.failed(error)) from None
        self._policy.succeeded()
        return answer

    def fileno(self) -> int | None:
        """Return the file descriptor on which the connection receives notifications. Return None if the session has no
        connection.
        """
        return None if self._connection is None else self._connection.fileno()

    def close(self) -> None:
        """Close the connection. The next `call` or `try_call` opens a new connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Any]:
        connection = connect(
            self._url, self._role, statement_seconds=self._statement_seconds, writes=True, prepares=self._prepares
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _is_refusal(error: BaseException) -> bool:
    # psycopg itself refuses some values, such as a text with a NUL character. An error that psycopg itself raises has
    # no SQLSTATE.
    return isinstance(error, psycopg.DataError) or (getattr(error, "sqlstate", None) or "").startswith(_REFUSALS)
