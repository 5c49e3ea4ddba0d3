"""A connection that comes back: statements that are safe to send twice survive the loss of their connection."""

import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from ledger.database.connection import connect
from ledger.errors import LedgerError
from ledger.logs import say

R = TypeVar("R")

_log = logging.getLogger("ledger.database")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class Session:
    """One connection at a time, opened anew after a loss.

    Parameters
    ----------
    url : str
        The database.
    role : str
        What the connection is for, as its application_name.
    prepare : callable
        Called with every new connection.
    pause : callable
        Waits for a number of seconds before the next try.

    Raises
    ------
    LedgerError
        The first connection cannot be opened.
    """

    def __init__(
        self,
        url: str,
        role: str,
        prepare: Callable[[psycopg.Connection[Any]], object],
        pause: Callable[[float], object],
    ) -> None:
        self._url, self._role, self._prepare, self._pause = url, role, prepare, pause
        self.connection = self._open()

    def call(self, statement: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Return ``statement(connection, *args, **kwargs)``, sent again on a new connection where one was lost."""
        while True:
            try:
                return statement(self.connection, *args, **kwargs)
            except psycopg.OperationalError:
                if not self.connection.closed:
                    raise
            self._reconnect()

    def close(self) -> None:
        self.connection.close()

    def _open(self) -> psycopg.Connection[Any]:
        connection = connect(self._url, self._role)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reconnect(self) -> None:
        say(_log, "connection lost", "the connection to the database is lost; trying again", level=logging.WARNING)
        longest = FIRST_PAUSE
        while True:
            # jitter, so that many workers do not come back at once
            self._pause(random.uniform(longest / 2, longest))  # noqa: S311
            try:
                self.connection = self._open()
            except (LedgerError, psycopg.OperationalError) as error:
                say(_log, "still away", str(error).splitlines()[0], level=logging.DEBUG)
                longest = min(longest * 2, LONGEST_PAUSE)
            else:
                say(_log, "connected again", "connected to the database again")
                return
