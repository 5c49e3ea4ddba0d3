"""The part of the manager that promotes paused trials in a study with the rule "promotion"."""

import logging
from collections.abc import Iterable

from sqlalchemy import Connection

from ledger.database import managing
from ledger.database.managing import ClaimedStudy
from ledger.logs import log_event
from ledger.study.spec import StudySpec
from ledger.study.verdicts import is_audited

_log = logging.getLogger("ledger.manager")


class TrialPromoter:
    """An object that decides which paused trials of a study are promoted.

    Parameters
    ----------
    connection : Connection
        The manager's connection to the database.
    held : ClaimedStudy
        The id of the study and the manager's claim of the study.
    study : StudySpec
        The settings of the study. If the study does not have the rule "promotion", the object does nothing.
    """

    def __init__(self, connection: Connection, held: ClaimedStudy, study: StudySpec) -> None:
        self._connection, self._held, self._study = connection, held, study

    def look(self, iterations: Iterable[int]) -> bool:
        """If all open trials of an iteration are paused or audited, promote or prune the paused trials. Return whether
        a trial got a verdict.

        Parameters
        ----------
        iterations : iterable of int
            The numbers of the iterations whose results the optimizer has not yet received.
        """
        if self._study.stopping.rule != "promotion":
            return False
        has_decided = False
        for iteration in sorted(iterations):
            # The query of `_is_due` is cheap, but a call of `promote` locks the study.
            if self._is_due(iteration):
                for decided in managing.promote(self._connection, self._held, iteration):
                    self._say(iteration, decided)
                    has_decided = True
        return has_decided

    def _is_due(self, iteration: int) -> bool:
        states = managing.open_states(self._connection, self._held.study_id, iteration)
        seed, share = self._study.seed, self._study.stopping.audit
        return "paused" in states.values() and all(
            state == "paused" or is_audited(seed, number, share) for number, state in states.items()
        )

    def _say(self, iteration: int, decided: managing.DecidedRung) -> None:
        log_event(
            _log,
            "promoted",
            f"{self._study.name} iteration {iteration}: rung {decided.rung}: {decided.promoted} of {decided.judged}"
            " trials go on",
            study=self._study.name,
            iteration=iteration,
            rung=decided.rung,
            judged=decided.judged,
            promoted=decided.promoted,
        )
