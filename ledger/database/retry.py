"""While the database is away: which failures pass, how long to wait between tries, and when to give up."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import errors

from ledger.database.connection import Unreachable, reason
from ledger.errors import LedgerError
from ledger.logs import say

R = TypeVar("R")

_log = logging.getLogger("ledger.database")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
# A try and its pause end well within this, so failures further apart had successes between them.
APART = 120.0

# The database itself is gone, or the statement is wrong: no time mends that.
_FOR_GOOD = (errors.DatabaseDropped,)
# A standby was asked to write, or the server ended a session that held a transaction open; psycopg has them elsewhere.
_ALSO = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


class GaveUp(LedgerError):
    """The database was away for too long."""


class Patience:
    """Exponential backoff with jitter, until a limit.

    Parameters
    ----------
    give_up_after : float
        Seconds without the database after which its next failure is final.
    """

    def __init__(self, give_up_after: float) -> None:
        self._give_up_after = give_up_after
        self._reached = False
        self._since: float | None = None
        self._failed_at = 0.0
        self._longest = FIRST_PAUSE
        self._said = ""

    def passes(self, error: BaseException) -> bool:
        """Return whether waiting may help. A server that was never reached may as well have been misspelt."""
        if isinstance(error, Unreachable):
            return error.not_now or self._reached
        original = getattr(error, "orig", error)
        return isinstance(original, (psycopg.OperationalError, *_ALSO)) and not isinstance(original, _FOR_GOOD)

    def failed(self, error: BaseException) -> float:
        """Return for how many seconds to wait before the next try.

        Raises
        ------
        GaveUp
            The database was away for too long.
        """
        now = time.monotonic()
        if not isinstance(error, Unreachable):
            self._reached = True
        said = reason(getattr(error, "orig", error))
        if self._since is None or now - self._failed_at > APART:
            self._since = now
        self._failed_at = now
        away = now - self._since
        if away >= self._give_up_after:
            raise GaveUp(
                f"gave up after {away:.0f} s without the database (--give-up-after): {said};"
                " the same command goes on once it is back"
            ) from None
        if said != self._said:
            self._said = said
            say(_log, "away", f"{said}; trying again", level=logging.WARNING, reason=said, away=away)
        # jitter, so that many workers do not come back at once
        pause = random.uniform(self._longest / 2, self._longest)  # noqa: S311
        self._longest = min(self._longest * 2, LONGEST_PAUSE)
        return min(pause, self._give_up_after - away)

    def worked(self) -> None:
        """Note that the database answered."""
        self._reached = True
        if self._since is not None:
            away = time.monotonic() - self._since
            say(_log, "back", f"the database answers again, after {away:.1f} s", away=away)
            self._since, self._longest, self._said = None, FIRST_PAUSE, ""


def persist(task: Callable[[], R], patience: Patience, pause: Callable[[float], object] = time.sleep) -> R:
    """Return what `task` does, done again from its beginning for as long as the database fails it."""
    while True:
        try:
            return task()
        except Exception as error:
            if not patience.passes(error):
                raise
            pause(patience.failed(error))
