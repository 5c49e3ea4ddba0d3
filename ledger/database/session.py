"""A worker's connection, which comes back: statements that are safe to send twice survive the loss of theirs."""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from ledger.database.connection import Unreachable, connect
from ledger.database.retry import Patience
from ledger.errors import LedgerError

R = TypeVar("R")

# The connection is as good as before.
_STATEMENT_ONLY = (errors.QueryCanceled, errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_NOT_PREPARED = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class Away(LedgerError):
    """The database cannot answer now; `pause` seconds from now it may."""

    def __init__(self, pause: float) -> None:
        super().__init__("the database is away")
        self.pause = pause


class Session:
    """One connection at a time, opened when it is needed and anew after a loss.

    Parameters
    ----------
    url : str
        The database.
    role : str
        What the connection is for, as its application_name.
    statement_seconds : float
        After which the server gives up a statement.
    patience : Patience
    prepare : callable
        Called with every new connection.
    pause : callable
        Waits for a number of seconds before the next try of `call`; what it raises ends the tries.
    """

    def __init__(
        self,
        url: str,
        role: str,
        statement_seconds: float,
        patience: Patience,
        prepare: Callable[[psycopg.Connection[Any]], object],
        pause: Callable[[float], object],
    ) -> None:
        self._url, self._role, self._statement_seconds = url, role, statement_seconds
        self._patience, self._prepare, self._pause = patience, prepare, pause
        self._connection: psycopg.Connection[Any] | None = None
        self._prepares = True

    def call(self, statement: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Return ``statement(connection, *args, **kwargs)``, sent again for as long as the database is away."""
        while True:
            try:
                return self.try_call(statement, *args, **kwargs)
            except Away as away:
                self._pause(away.pause)

    def try_call(self, statement: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Return ``statement(connection, *args, **kwargs)``.

        Raises
        ------
        Away
            The database cannot answer now.
        LedgerError
            It was away for too long, or was never reached.
        """
        try:
            if self._connection is None:
                self._connection = self._open()
            answer = statement(self._connection, *args, **kwargs)
        except _NOT_PREPARED as error:
            # a pooler gave this statement another session of the server than the one that prepared it
            self.close()
            if not self._prepares:
                raise
            self._prepares = False
            raise Away(self._patience.failed(error)) from None
        except (psycopg.Error, Unreachable) as error:
            if not isinstance(error, _STATEMENT_ONLY) or (self._connection and self._connection.closed):
                self.close()
            if not self._patience.passes(error):
                raise
            raise Away(self._patience.failed(error)) from None
        self._patience.worked()
        return answer

    def fileno(self) -> int | None:
        """Return the file descriptor on which notifications arrive, where there is a connection."""
        return None if self._connection is None else self._connection.fileno()

    def close(self) -> None:
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
