"""Which claims to take back: those whose lease was watched while it ran out."""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from ledger.database.store import Store
from ledger.logs import log_event

_log = logging.getLogger("ledger.manager")

LOOK_SECONDS = 1.0
# A look takes a poll of the manager and its round trips, so of a short lease half is none too long.
CONTACT_SECONDS = 2.0


class LeaseWatch:
    """The two-look rule: a lease has run out when it was seen unchanged for a whole lease of uninterrupted contact.

    So an outage of the database expires nobody: whoever beats in time once it is back keeps the claim. The time is
    this process's own, because the database's clock may jump.

    Parameters
    ----------
    lease : float
        Seconds. Half of it without a look, and at least CONTACT_SECONDS, is an interruption.
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
    """Takes the claims of one study back whose leases have run out.

    Parameters
    ----------
    store : Store
        On a connection that lives as long as the reaper: a new connection is an interruption.
    study_id : int
    name : str
        The study's.
    lease : float
        Seconds.
    """

    def __init__(self, store: Store, study_id: int, name: str, lease: float) -> None:
        self._store, self._study_id, self._name = store, study_id, name
        self._watch = LeaseWatch(lease)
        # several looks within the half lease that counts as contact
        self._pause = min(LOOK_SECONDS, lease / 8)
        self._looked = 0.0

    def look(self) -> None:
        """Take back what has run out; does nothing where the last look was a moment ago."""
        now = time.monotonic()
        if now - self._looked < self._pause:
            return
        self._looked = now
        leases = {row.number: row for row in self._store.leases(self._study_id)}
        expired = self._watch.look(time.monotonic(), [(row.number, row.lease_until) for row in leases.values()])
        for trial, lease_until in expired.items():
            state = self._store.reap(self._study_id, trial, lease_until)
            if state is not None:
                worker = leases[trial].worker
                log_event(
                    _log,
                    "reaped",
                    f"{self._name} trial {trial}: worker {worker} sent no heartbeat for a whole lease;"
                    f" the trial is {state}",
                    level=logging.WARNING,
                    study=self._name,
                    trial=trial,
                    worker=worker,
                )
