"""How long the trials of a study take here, and so how many of them to claim at once."""

import math

from ledger.worker.trainer import Trained

# Seconds of expected work that are claimed at once, where that is more than one trial.
AHEAD_SECONDS = 0.25
MOST_AHEAD = 32
# Of what a shorter trial says: a longer one counts at once, so that few trials wait for one that they did not expect.
_WEIGHT = 0.2


class Pace:
    """The recent seconds of a trial, of the study that was worked for last."""

    def __init__(self) -> None:
        self._study_id: int | None = None
        self._seconds = math.inf

    @property
    def claims(self) -> int:
        """How many trials to claim: 1 unless they are short."""
        return max(1, min(MOST_AHEAD, int(AHEAD_SECONDS / max(self._seconds, AHEAD_SECONDS / MOST_AHEAD))))

    def saw(self, study_id: int, trained: Trained) -> None:
        """Learn from one trial. A failure counts as a long one: it may have taken the trainer with it."""
        seconds = trained.seconds if trained.kind == "result" else max(trained.seconds, AHEAD_SECONDS)
        if study_id != self._study_id:
            self._study_id, self._seconds = study_id, seconds
        self._seconds = max(seconds, self._seconds + _WEIGHT * (seconds - self._seconds))
