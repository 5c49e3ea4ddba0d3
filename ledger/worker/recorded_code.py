"""The recorded code of objectives. A worker compares the recorded code with the code that the worker has loaded."""

import logging
from collections.abc import Mapping
from typing import Any

from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import DatabaseUnavailable, ReconnectingSession, ValuesRefused
from ledger.logs import log_event
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.loading import runs_users_code

_log = logging.getLogger("ledger.worker")

# Largest number of code versions that a worker keeps in memory.
_MOST_KEPT = 100


class RecordedCodes:
    """A worker's cache of the objective code that the ledger has recorded for studies. The worker reads each version of
    the code only once.

    If a study has no recorded code, the worker records the code that the worker has loaded.

    Parameters
    ----------
    session : ReconnectingSession
        The worker's connection to the ledger.
    """

    def __init__(self, session: ReconnectingSession) -> None:
        self._session = session
        self._known: dict[tuple[int, int], Mapping[str, Any] | None] = {}
        # The studies for which the ledger has refused to record the code.
        self._refused: set[int] = set()

    def is_missing(self, claimed: ClaimedTrial) -> bool:
        """Return True if the worker must record the code of the trial's study."""
        return runs_users_code(claimed.objective) and claimed.code is None and claimed.study_id not in self._refused

    def of(self, claimed: ClaimedTrial, version: int | None) -> Mapping[str, Any] | None:
        """Return one version of the recorded code of the trial's study. The mapping has the keys "sha256" and "parts".

        Return None if `version` is None, or if the version does not exist.
        """
        if version is None:
            return None
        key = claimed.study_id, version
        if key not in self._known:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = self._session.call(protocol.objective_code, *key)
        return self._known[key]

    def record(self, claimed: ClaimedTrial, code: ObjectiveCode) -> int | None:
        """Record the loaded code if no other worker has recorded the code of the study yet.

        Return the number of the valid version. Return None if the ledger could not record the code.
        """
        try:
            number = self._session.try_call(protocol.report_code, claimed, code.to_json())
        except DatabaseUnavailable:
            return None
        except ValuesRefused as refusal:
            self._refused.add(claimed.study_id)
            message = f"the ledger does not record the code of study {claimed.study_name}: {refusal}"
            log_event(_log, "code not recorded", message, level=logging.WARNING, study=claimed.study_name)
            return None
        return number
