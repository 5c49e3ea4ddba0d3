"""The number of trials to claim at once, adapted to how long the trials of a study take on this worker."""

import math

from ledger.worker.outcome import Outcome

# A claim takes as many trials as are expected to train in this many seconds, and at least one.
CLAIM_SECONDS = 0.25
LARGEST_CLAIM = 32
# Weight of a new duration that is shorter than the average. A longer one replaces the average at once, so that only a
# few trials wait behind a trial of unexpected length.
_WEIGHT = 0.2


class ClaimSize:
    """Moving average of the training seconds of one study, and the claim size that follows from it.

    Examples
    --------
    >>> size = ClaimSize()
    >>> size.trials
    1
    >>> size.observe(7, Outcome("result", 0.05, loss=0.1))
    >>> size.trials
    5
    """

    def __init__(self) -> None:
        self._study_id: int | None = None
        self._seconds = math.inf

    @property
    def trials(self) -> int:
        """Number of trials to claim, from 1 to `LARGEST_CLAIM`; 1 unless they are short."""
        return max(1, min(LARGEST_CLAIM, int(CLAIM_SECONDS / max(self._seconds, CLAIM_SECONDS / LARGEST_CLAIM))))

    def observe(self, study_id: int, outcome: Outcome) -> None:
        """Update the average by one trial; a trial of another study starts a new average.

        A failure counts as at least `CLAIM_SECONDS`, because it may have ended the trainer too.
        """
        seconds = outcome.seconds if outcome.kind == "result" else max(outcome.seconds, CLAIM_SECONDS)
        if study_id != self._study_id:
            self._study_id, self._seconds = study_id, seconds
        self._seconds = max(seconds, self._seconds + _WEIGHT * (seconds - self._seconds))
