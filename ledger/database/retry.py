"""Retries while the database is unavailable: which errors are transient, how long to wait, and when to stop."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import errors

from ledger.database.connection import Unreachable, reason
from ledger.errors import LedgerError
from ledger.logs import log_event

R = TypeVar("R")

_log = logging.getLogger("ledger.database")

# seconds
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
# A try and its pause take much less than this. So failures that are further apart belong to different outages.
LONGEST_GAP = 120.0

# A dropped database does not come back, although psycopg counts it as an operational error.
_PERMANENT = (errors.DatabaseDropped,)
# A standby refused a write, or the server ended a session that held a transaction open. Both are transient, although
# psycopg does not count them as operational errors.
_TRANSIENT = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


class OutageTooLong(LedgerError):
    """The database was unavailable for longer than the limit."""


class RetryPolicy:
    """Exponential backoff with jitter, up to a limit on the length of an outage.

    Parameters
    ----------
    give_up_after : float
        Seconds of an outage after which the next failure is final.
    """

    def __init__(self, give_up_after: float) -> None:
        self._give_up_after = give_up_after
        self._was_reached = False
        self._outage_began: float | None = None
        self._failed_at = 0.0
        self._pause = FIRST_PAUSE
        self._logged_reason = ""

    def is_transient(self, error: BaseException) -> bool:
        """Return whether another try may succeed.

        An unreachable server is transient only after it was reached once: before that, its address may be wrong.
        """
        if isinstance(error, Unreachable):
            return error.not_now or self._was_reached
        original = getattr(error, "orig", error)
        return isinstance(original, (psycopg.OperationalError, *_TRANSIENT)) and not isinstance(original, _PERMANENT)

    def failed(self, error: BaseException) -> float:
        """Record a failed try, and log its reason if it is new.

        Returns
        -------
        float
            Seconds to wait before the next try.

        Raises
        ------
        OutageTooLong
            The outage has reached `give_up_after`.
        """
        now = time.monotonic()
        if not isinstance(error, Unreachable):
            self._was_reached = True
        why = reason(getattr(error, "orig", error))
        if self._outage_began is None or now - self._failed_at > LONGEST_GAP:
            self._outage_began = now
        self._failed_at = now
        seconds = now - self._outage_began
        if seconds >= self._give_up_after:
            raise OutageTooLong(
                f"gave up after {seconds:.0f} s without the database (--give-up-after): {why};"
                " run the same command again once the database is available"
            ) from None
        if why != self._logged_reason:
            self._logged_reason = why
            message = f"{why}; trying again"
            log_event(_log, "unavailable", message, level=logging.WARNING, reason=why, seconds=seconds)
        # random, so that many workers do not come back at the same moment
        pause = random.uniform(self._pause / 2, self._pause)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return min(pause, self._give_up_after - seconds)

    def succeeded(self) -> None:
        """Record an answer of the database, which ends an outage."""
        self._was_reached = True
        if self._outage_began is not None:
            seconds = time.monotonic() - self._outage_began
            message = f"the database answers again, after {seconds:.1f} s"
            log_event(_log, "available", message, seconds=seconds)
            self._outage_began, self._pause, self._logged_reason = None, FIRST_PAUSE, ""


def call_with_retries(task: Callable[[], R], policy: RetryPolicy, pause: Callable[[float], object] = time.sleep) -> R:
    """Return what `task` returns; after a transient error it is called again.

    Parameters
    ----------
    task : callable
        Must be safe to repeat from its beginning.
    policy : RetryPolicy
    pause : callable
        Waits for a number of seconds. An exception that it raises ends the retries.

    Raises
    ------
    OutageTooLong
        The database was unavailable for longer than the policy allows.
    """
    while True:
        try:
            return task()
        except Exception as error:
            if not policy.is_transient(error):
                raise
            pause(policy.failed(error))
