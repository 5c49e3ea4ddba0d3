"""The manager's reaper, which takes a trial back from a worker after the trial's lease has expired."""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from ledger.database import managing
from ledger.database.managing import ClaimedStudy, TrialLease
from ledger.logs import log_event

_log = logging.getLogger("ledger.manager")

LOOK_SECONDS = 1.0
# The manager treats a gap between two queries of the leases as an outage of the database only if the gap is longer than
# `CONTACT_SECONDS`. If a lease is short, a poll of the manager may last longer than half the length of the lease.
# Without `CONTACT_SECONDS`, the manager would treat a poll that is longer than half a lease as an outage of the
# database.
CONTACT_SECONDS = 2.0


class LeaseMonitor:
    """A monitor that finds the trials whose leases have expired.

    A lease has expired if the manager has not seen a heartbeat of the trial's worker for the length of one lease. After
    an outage of the database, the manager measures the time without a heartbeat from the end of the outage. Therefore
    no lease expires because of an outage of the database. A worker keeps its claim if the worker sends a heartbeat
    within the length of one lease after the outage of the database. The manager's monotonic clock measures the time
    without a heartbeat, because the database's clock may jump.

    Parameters
    ----------
    lease : float
        Length of the lease in seconds. The class treats a gap between two calls of `look` as an outage of the database
        if the gap is longer than half a lease and longer than `CONTACT_SECONDS`.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._looked = 0.0
        self._seen: dict[int, tuple[datetime, float]] = {}

    def look(self, now: float, leases: Iterable[tuple[int, datetime]]) -> Mapping[int, datetime]:
        """Return the recorded end of each expired lease.

        Each key of the returned mapping is the number of a trial.

        Parameters
        ----------
        now : float
            Current time of a monotonic clock, in seconds.
        leases : iterable of (int, datetime)
            The number of each running trial, and the end of the trial's lease.
        """
        before = self._seen if now - self._looked <= max(self._lease / 2, CONTACT_SECONDS) else {}
        self._looked = now
        self._seen = {
            trial: before[trial] if trial in before and before[trial][0] == until else (until, now)
            for trial, until in leases
        }
        return {trial: until for trial, (until, since) in self._seen.items() if now - since >= self._lease}


class TrialReaper:
    """An object that takes trials of one study back from the workers when the leases of the trials have expired.

    Parameters
    ----------
    connection : Connection
        The manager's connection to the database. The manager may have lost the previous connection in an outage of the
        database. Therefore the manager must create a new `TrialReaper` for each new connection.
    held : ClaimedStudy
        The id of the study and the manager's claim of the study.
    name : str
        Name of the study.
    lease : float
        Length of a trial's lease, in seconds.
    """

    def __init__(self, connection: Connection, held: ClaimedStudy, name: str, lease: float) -> None:
        self._connection, self._held, self._name = connection, held, name
        self._watch = LeaseMonitor(lease)
        # The pause between two queries of the leases is at most an eighth of the length of a lease. If the pause were
        # longer than half the length of a lease, the manager could treat the pause as an outage of the database.
        self._pause = min(LOOK_SECONDS, lease / 8)
        self._looked = 0.0
        # If another session has locked a trial's row, the reaper writes only one log line about the lock. For each
        # trial with a log line about a lock, the set contains the trial's number and the end of the trial's lease.
        self._locked: set[tuple[int, datetime]] = set()

    def look(self) -> None:
        """Take back the trials with expired leases, and cancel the trials whose cancellation had to wait for a lock.

        The cancellation of a trial waits if another session has locked the trial's row.

        If another session has locked the row of a trial with an expired lease, the method skips this trial. A later
        call of the method takes the skipped trial back. The method does nothing if it has read the leases less than
        min(`LOOK_SECONDS`, `lease` / 8) seconds ago.
        """
        now = time.monotonic()
        if now - self._looked < self._pause:
            return
        self._looked = now
        managing.end_cancelled(self._connection)
        leases = {lease.trial: lease for lease in managing.leases(self._connection, self._held.study_id)}
        expired = self._watch.look(time.monotonic(), [(lease.trial, lease.until) for lease in leases.values()])
        for trial in expired:
            lease = leases[trial]
            state = managing.reap(self._connection, self._held, lease)
            if state == "locked":
                self._log_locked(lease)
            elif state is not None:
                log_event(
                    _log,
                    "reaped",
                    f"{self._name} trial {trial}: worker {lease.worker} sent no heartbeat for a whole lease;"
                    f" the trial is now {state}",
                    level=logging.WARNING,
                    study=self._name,
                    trial=trial,
                    worker=lease.worker,
                )

    def _log_locked(self, lease: TrialLease) -> None:
        if (lease.trial, lease.until) in self._locked:
            return
        self._locked.add((lease.trial, lease.until))
        log_event(
            _log,
            "locked",
            f"{self._name} trial {lease.trial}: worker {lease.worker} sent no heartbeat for a whole lease, but another"
            " session has locked the trial: run `ledger db check` to find the session that holds the lock; the manager"
            " will try again to lock the trial",
            level=logging.WARNING,
            study=self._name,
            trial=lease.trial,
            worker=lease.worker,
        )
