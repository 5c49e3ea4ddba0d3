"""The worker's own row in the ledger: its name, its package versions, and when it was last seen."""

import math
import os
import time
from importlib.metadata import PackageNotFoundError, version

from ledger.database import protocol
from ledger.database.session import Session
from ledger.errors import LedgerError

# Seconds between two updates of the row.
ANNOUNCE_SECONDS = 10.0
_PACKAGES = ("trial-ledger", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost")


class Presence:
    """Keeps the worker's row up to date.

    Parameters
    ----------
    session : Session
    worker, host : str
        Names of the worker and of its machine.
    """

    def __init__(self, session: Session, worker: str, host: str) -> None:
        self._session, self._worker, self._host = session, worker, host
        self._announced_at = -math.inf

    def announce(self) -> None:
        """Write the row, at most every `ANNOUNCE_SECONDS`.

        The first call waits until the database is available. Later ones do not, since no training depends on them.

        Raises
        ------
        LedgerError
            The first call: the database was unavailable for too long.
        """
        if time.monotonic() - self._announced_at < ANNOUNCE_SECONDS:
            return
        if self._announced_at == -math.inf:
            self._session.call(protocol.announce, self._worker, self._host, os.getpid(), _versions())
            self._announced_at = time.monotonic()
        else:
            self._try_announce(stopped=False)

    def announce_stop(self) -> None:
        """Record that the worker has stopped, if the database is available and knows the worker."""
        if self._announced_at > -math.inf:
            self._try_announce(stopped=True)

    def _try_announce(self, *, stopped: bool) -> None:
        try:
            self._session.try_call(protocol.announce, self._worker, self._host, os.getpid(), {}, stopped=stopped)
        except LedgerError:
            return
        self._announced_at = time.monotonic()


def _versions() -> dict[str, str]:
    """Return the versions of the packages that can change a loss, by package."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
