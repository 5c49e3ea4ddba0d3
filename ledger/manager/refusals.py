"""The manager's warning about a study that every live worker refuses."""

import logging
import time
from collections.abc import Mapping

from sqlalchemy import Connection

from ledger.database import managing
from ledger.logs import log_event

_log = logging.getLogger("ledger.manager")

# Shortest time in seconds between two queries of the refusals.
LOOK_SECONDS = 2.0
# The manager's log line about refusals contains at most `_SHOWN` different reasons.
_SHOWN = 3


def common_refusal(reasons: Mapping[str, str], alive: int) -> str | None:
    """If every live worker refuses the study, return the workers' different reasons as one text. Otherwise return None.

    Parameters
    ----------
    reasons : mapping
        The reason of each live worker that refuses the study. The keys of the mapping are the names of the workers.
    alive : int
        Number of live workers.

    Examples
    --------
    >>> common_refusal({"a": "no package", "b": "no package"}, 2)
    'no package'
    >>> common_refusal({"a": "no package"}, 2)
    """
    if not reasons or len(reasons) < alive:
        return None
    different = sorted(set(reasons.values()))
    more = [f"{len(different) - _SHOWN} other reasons"] if len(different) > _SHOWN else []
    return "; ".join([*different[:_SHOWN], *more])


class RefusalMonitor:
    """A monitor that logs the reason if every live worker refuses a study. The monitor does not log an unchanged reason
    again.

    Parameters
    ----------
    connection : Connection
        The manager's connection to the ledger.
    study_id : int
        Id of the study.
    name : str
        Name of the study.
    """

    def __init__(self, connection: Connection, study_id: int, name: str) -> None:
        self._connection, self._study_id, self._name = connection, study_id, name
        self._looked = 0.0
        self._said: str | None = None

    def look(self) -> None:
        """Read the refusals of the study, and log the reasons if every live worker refuses the study.

        If the method has read the refusals less than `LOOK_SECONDS` seconds ago, the method does nothing.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        reasons, alive = managing.refusals(self._connection, self._study_id)
        if not reasons:
            self._said = None
            return
        reason = common_refusal(reasons, alive)
        if reason is None or reason == self._said:
            return
        self._said = reason
        log_event(
            _log,
            "refused",
            f"study {self._name} waits, because no live worker can load the study's objective: {reason}; repair a"
            f" worker or start another worker; `ledger study show {self._name}` shows the errors of the workers",
            level=logging.WARNING,
            study=self._name,
            reason=reason,
        )
