"""The part of the manager that promotes paused trials in a study with the rule "promotion"."""

import logging
import time
from collections.abc import Iterable

from sqlalchemy import Connection

from ledger.database import managing
from ledger.database.managing import ClaimedStudy
from ledger.logs import log_event
from ledger.study.spec import StudySpec
from ledger.study.verdicts import is_audited

_log = logging.getLogger("ledger.manager")

# If no trial has ended or paused, the manager waits for this time in seconds before it calls `fill` again. A running
# trial can arrive at a rung without a pause. After this arrival, a paused trial at the rung can become one of the best
# trials. A call of `fill` locks the study, so the manager must not call `fill` at each poll.
PROMOTION_POLL = 0.25


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
        self._fill_at = 0.0

    def look(self, iterations: Iterable[int]) -> bool:
        """If all open trials of an iteration are paused or audited, promote or prune the paused trials. Return whether
        a trial got a verdict. In steady mode, the method does nothing.

        Parameters
        ----------
        iterations : iterable of int
            The numbers of the iterations whose results the optimizer has not yet received.
        """
        if self._study.stopping.rule != "promotion" or self._study.mode == "steady":
            return False
        has_decided = False
        for iteration in sorted(iterations):
            # The query of `_is_due` is cheap, but a call of `promote` locks the study.
            if self._is_due(iteration):
                for decided in managing.promote(self._connection, self._held, iteration):
                    rung, judged, promoted = decided.rung, decided.judged, decided.promoted
                    trials = f"{promoted} of {judged} trials go on"
                    self._say(f"iteration {iteration}: rung {rung}: {trials}", iteration, rung, judged, promoted)
                    has_decided = True
        return has_decided

    @property
    def is_due(self) -> bool:
        """Whether the manager must call `fill` even if no trial has ended or paused."""
        return time.monotonic() >= self._fill_at

    def fill(self, free: int) -> list[int]:
        """In steady mode, promote at most `free` paused trials. Return the numbers of the promoted trials."""
        self._fill_at = time.monotonic() + PROMOTION_POLL
        numbers: list[int] = []
        for promoted in managing.promote_waiting(self._connection, self._held, free):
            rung, arrivals, count = promoted.rung, promoted.arrivals, len(promoted.trials)
            trials = "1 paused trial goes on" if count == 1 else f"{count} paused trials go on"
            self._say(f"rung {rung}: {trials} after {arrivals} arrivals", None, rung, arrivals, count)
            numbers += promoted.trials
        return numbers

    def _is_due(self, iteration: int) -> bool:
        states = managing.open_states(self._connection, self._held.study_id, iteration)
        seed, share = self._study.seed, self._study.stopping.audit
        return "paused" in states.values() and all(
            state == "paused" or is_audited(seed, number, share) for number, state in states.items()
        )

    def _say(self, message: str, iteration: int | None, rung: int, judged: int, promoted: int) -> None:
        log_event(
            _log,
            "promoted",
            f"{self._study.name} {message}",
            study=self._study.name,
            iteration=iteration,
            rung=rung,
            judged=judged,
            promoted=promoted,
        )
