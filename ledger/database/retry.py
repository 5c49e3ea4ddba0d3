"""Repeats a call while the database is unavailable. The module defines the pause before each retry, and the condition
that ends the retries.
"""

import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import errors

from ledger.database.connection import FULL_DISK, LOCKED_WAY_OUT, ServerUnreachable, reason
from ledger.errors import LedgerError
from ledger.logs import log_event

R = TypeVar("R")

_log = logging.getLogger("ledger.database")

# Length of the first pause between two tries, and maximum length of a pause, in seconds.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
# A call to the database and the pause before the next call together last much less than LONGEST_GAP seconds. Two
# failures that are more than LONGEST_GAP seconds apart belong to different outages.
LONGEST_GAP = 120.0
# Minimum time in seconds between two log lines about a full disk. While the disk is full, some statements fail and
# others succeed, so a new outage may begin every second.
FULL_DISK_SECONDS = 300.0

# In psycopg, DatabaseDropped is a subclass of OperationalError, but a retry after DatabaseDropped cannot succeed.
_PERMANENT = (errors.DatabaseDropped,)
# A retry may succeed after an error in _TRANSIENT. The error classes in _TRANSIENT are not subclasses of psycopg's
# OperationalError. ReadOnlySqlTransaction means that a write failed because the session is read-only, for example on a
# standby server. IdleInTransactionSessionTimeout means that the server ended a session because the session's
# transaction was idle.
_TRANSIENT = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


# Advice for the user about errors that occur while the server is available.
_WAYS_OUT = {
    errors.DiskFull: FULL_DISK,
    errors.LockNotAvailable: f"another session holds a lock: {LOCKED_WAY_OUT}",
    errors.ReadOnlySqlTransaction: "the server is a standby, or the role has default_transaction_read_only = on; an"
    " administrator can remove this setting by `alter role … reset default_transaction_read_only`",
}


class OutageTooLong(LedgerError):
    """An exception that ends the retries, because the outage is longer than the retry policy permits."""


class RetryPolicy:
    """A policy for retries after a failure of the database: exponential backoff with jitter, and a limit on the length
    of an outage.

    Parameters
    ----------
    give_up_after : float
        Maximum length of an outage in seconds. If an outage has lasted for `give_up_after` seconds, the next failure
        ends the retries.
    """

    def __init__(self, give_up_after: float) -> None:
        self._give_up_after = give_up_after
        self._was_reached = False
        self._outage_began: float | None = None
        self._failed_at = 0.0
        self._pause = FIRST_PAUSE
        self._logged_reason = ""
        self._full_disk_logged_at = -math.inf

    def is_transient(self, error: BaseException) -> bool:
        """Return whether a retry may succeed after `error`.

        Before the first successful connection, an error can mean that the address of the server is wrong. Before the
        first successful connection, a retry may succeed only if the server reports a temporary problem.
        """
        if isinstance(error, ServerUnreachable):
            return error.not_now or self._was_reached
        original = getattr(error, "orig", error)
        return isinstance(original, (psycopg.OperationalError, *_TRANSIENT)) and not isinstance(original, _PERMANENT)

    def failed(self, error: BaseException) -> float:
        """Record a failed try. Write the reason of the failure to the log if the reason differs from the last logged
        reason.

        Returns
        -------
        float
            Seconds to wait before the next try.

        Raises
        ------
        OutageTooLong
            The outage has lasted for `give_up_after` seconds.
        """
        now = time.monotonic()
        if not isinstance(error, ServerUnreachable):
            self._was_reached = True
        original = getattr(error, "orig", error)
        why = reason(original)
        way_out = next((way_out for kind, way_out in _WAYS_OUT.items() if isinstance(original, kind)), None)
        if way_out is not None:
            why = f"{why}; {way_out}"
        if self._outage_began is None or now - self._failed_at > LONGEST_GAP:
            self._outage_began = now
        self._failed_at = now
        seconds = now - self._outage_began
        if seconds >= self._give_up_after:
            raise OutageTooLong(
                f"the command gave up after the database was unavailable for {seconds:.0f} s (--give-up-after): {why};"
                " when the database is available, run the same command again"
            ) from None
        if self._is_news(why, now):
            self._logged_reason = why
            message = f"{why}; trying again"
            log_event(_log, "unavailable", message, level=logging.WARNING, reason=why, seconds=seconds)
        # The pause is random, so that many workers do not try again at the same moment.
        pause = random.uniform(self._pause / 2, self._pause)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return min(pause, self._give_up_after - seconds)

    def succeeded(self) -> None:
        """Record that the database has answered. The answer of the database ends the recorded outage."""
        self._was_reached = True
        if self._outage_began is not None:
            seconds = time.monotonic() - self._outage_began
            if self._logged_reason:
                message = f"the database answers again, after {seconds:.1f} s"
                log_event(_log, "available", message, seconds=seconds)
            self._outage_began, self._pause, self._logged_reason = None, FIRST_PAUSE, ""

    def _is_news(self, why: str, now: float) -> bool:
        """Return whether to log a failure.

        The function does not compare error messages about a full disk, because the messages may name different files.
        Within `FULL_DISK_SECONDS` seconds, the function allows at most one log line about a full disk.
        """
        if FULL_DISK not in why:
            return why != self._logged_reason
        if now - self._full_disk_logged_at < FULL_DISK_SECONDS:
            return False
        self._full_disk_logged_at = now
        return True


def call_with_retries(task: Callable[[], R], policy: RetryPolicy, pause: Callable[[float], object] = time.sleep) -> R:
    """Call `task`, repeat the call after each transient error, and return the result.

    Parameters
    ----------
    task : callable
        Function without parameters. A repeated call of the function must be harmless.
    policy : RetryPolicy
    pause : callable
        Function that waits for a number of seconds. If `pause` raises an exception, the retries end.

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
