"""Reaping: trials are taken back from workers whose lease was watched while it ran out."""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from ledger.database import managing
from ledger.database.managing import Held, Lease
from ledger.logs import log_event

_log = logging.getLogger("ledger.manager")

LOOK_SECONDS = 1.0
# A look takes a poll of the manager and its round trips, so half of a short lease would be too short.
CONTACT_SECONDS = 2.0


class LeaseWatch:
    """The two-look rule: a lease has run out when it was seen unchanged for a whole lease of uninterrupted contact.

    So no lease runs out during an outage of the database: a worker that sends its heartbeat in time afterwards keeps
    its claim. The time is that of this process, because the database's clock may jump.

    Parameters
    ----------
    lease : float
        Seconds. Half of it without a look, and at least CONTACT_SECONDS, is an interruption of the contact.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._looked = 0.0
        self._seen: dict[int, tuple[datetime, float]] = {}

    def look(self, now: float, leases: Iterable[tuple[int, datetime]]) -> Mapping[int, datetime]:
        """Return the trials, with their leases, that have run out.

        Parameters
        ----------
        now : float
            Seconds of a monotonic clock.
        leases : iterable of (int, datetime)
            Every running trial and until when it is leased.
        """
        before = self._seen if now - self._looked <= max(self._lease / 2, CONTACT_SECONDS) else {}
        self._looked = now
        self._seen = {
            trial: before[trial] if trial in before and before[trial][0] == until else (until, now)
            for trial, until in leases
        }
        return {trial: until for trial, (until, since) in self._seen.items() if now - since >= self._lease}


class Reaper:
    """Takes trials of one study back from workers whose leases have run out.

    Parameters
    ----------
    connection : Connection
        Of the manager; a new connection needs a new reaper, since it is an interruption.
    held : Held
        The study, as its manager holds it.
    name : str
        Name of the study.
    lease : float
        Lease of a trial, in seconds.
    """

    def __init__(self, connection: Connection, held: Held, name: str, lease: float) -> None:
        self._connection, self._held, self._name = connection, held, name
        self._watch = LeaseWatch(lease)
        # several looks within the half lease that counts as contact
        self._pause = min(LOOK_SECONDS, lease / 8)
        self._looked = 0.0
        # Trials whose lock was logged, with their leases.
        self._locked: set[tuple[int, datetime]] = set()

    def look(self) -> None:
        """Take back the trials whose leases have run out, and end cancelled trials whose rows were locked.

        A trial whose row another session has locked is tried again at the next look. Does nothing within a moment of
        the last look.
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
                    f" the trial is {state}",
                    level=logging.WARNING,
                    study=self._name,
                    trial=trial,
                    worker=lease.worker,
                )

    def _log_locked(self, lease: Lease) -> None:
        if (lease.trial, lease.until) in self._locked:
            return
        self._locked.add((lease.trial, lease.until))
        log_event(
            _log,
            "locked",
            f"{self._name} trial {lease.trial}: worker {lease.worker} sent no heartbeat for a whole lease, but another"
            " session has locked the trial: `ledger db check` names the session; trying again",
            level=logging.WARNING,
            study=self._name,
            trial=lease.trial,
            worker=lease.worker,
        )
