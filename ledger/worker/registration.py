"""The row of a worker in the ledger, with the worker's name, the versions of the worker's packages and the time of the
last update.
"""

import math
import os
import time
from importlib.metadata import PackageNotFoundError, version

from ledger.database import protocol
from ledger.database.session import ReconnectingSession
from ledger.errors import LedgerError

# Interval in seconds between two updates of the worker's row.
ANNOUNCE_SECONDS = 10.0
_PACKAGES = ("trial-ledger", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost")


class WorkerRegistration:
    """An object that registers a worker in the ledger, and updates the worker's row in the database.

    Parameters
    ----------
    session : ReconnectingSession
        The worker's connection to the ledger.
    worker, host : str
        Name of the worker, and name of the worker's machine.
    """

    def __init__(self, session: ReconnectingSession, worker: str, host: str) -> None:
        self._session, self._worker, self._host = session, worker, host
        # If the ledger has deleted the worker's row, the next update creates the complete row again. Therefore each
        # update of the worker's row also contains the versions of the packages. If the clock of the database jumps
        # forward, the ledger can delete the row of a worker that has no trial.
        self._versions = _versions()
        self._announced_at = -math.inf

    def announce(self) -> None:
        """Write the worker's row at most once every `ANNOUNCE_SECONDS` seconds.

        The first call waits until the database is available. Later calls do not wait for the database, because the
        worker can train trials even if the worker's row is not up to date.

        Raises
        ------
        LedgerError
            The database was unavailable for too long during the first call.
        """
        if time.monotonic() - self._announced_at < ANNOUNCE_SECONDS:
            return
        if self._announced_at == -math.inf:
            self._session.call(protocol.announce, self._worker, self._host, os.getpid(), self._versions)
            self._announced_at = time.monotonic()
        else:
            self._try_announce(stopped=False)

    def announce_stop(self) -> None:
        """Record in the worker's row that the worker has stopped. Do nothing if the worker has no row, or if the
        database is unavailable.
        """
        if self._announced_at > -math.inf:
            self._try_announce(stopped=True)

    def _try_announce(self, *, stopped: bool) -> None:
        try:
            announced = self._worker, self._host, os.getpid(), self._versions
            self._session.try_call(protocol.announce, *announced, stopped=stopped)
        except LedgerError:
            return
        self._announced_at = time.monotonic()


def _versions() -> dict[str, str]:
    """Return a dict with the versions of the packages that can influence a loss."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
