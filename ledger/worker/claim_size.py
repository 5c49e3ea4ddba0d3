"""Number of trials that a worker claims together. A worker's earlier training times determine how many trials the
worker claims.
"""

import math

from ledger.worker.outcome import AttemptOutcome

# The worker estimates how many trials the worker can train in `CLAIM_SECONDS` seconds. The worker claims the estimated
# number of trials together. The worker claims at least one trial, even if the training of one trial takes longer than
# `CLAIM_SECONDS` seconds.
CLAIM_SECONDS = 0.25
LARGEST_CLAIM = 32
# Weight of a new training time in the moving average, if the training time is shorter than the average. A training time
# that exceeds the average replaces the average. Therefore the worker claims fewer trials together after an unexpectedly
# long trial.
_WEIGHT = 0.2


class ClaimSizeEstimator:
    """An estimator of the number of trials that a worker should claim together.

    All trials that a worker claims together belong to one study.

    The estimate uses a moving average of the training times.

    Examples
    --------
    >>> size = ClaimSizeEstimator()
    >>> size.trials
    1
    >>> size.observe(7, AttemptOutcome("result", 0.05, loss=0.1))
    >>> size.trials
    5
    """

    def __init__(self) -> None:
        self._study_id: int | None = None
        self._seconds = math.inf

    @property
    def trials(self) -> int:
        """Number of trials to claim, from 1 to `LARGEST_CLAIM`.

        If the average training time is long, the number of trials to claim is 1.
        """
        return max(1, min(LARGEST_CLAIM, int(CLAIM_SECONDS / max(self._seconds, CLAIM_SECONDS / LARGEST_CLAIM))))

    def observe(self, study_id: int, outcome: AttemptOutcome) -> None:
        """Update the average with the duration of one trial. If the trial and the previous trial belong to different
        studies, start a new average.

        If a trial fails, the worker may have to start a new trainer process. Therefore the average uses at least
        `CLAIM_SECONDS` as the duration of a failed trial.
        """
        seconds = outcome.seconds if outcome.kind in ("result", "pruned") else max(outcome.seconds, CLAIM_SECONDS)
        if study_id != self._study_id:
            self._study_id, self._seconds = study_id, seconds
        self._seconds = max(seconds, self._seconds + _WEIGHT * (seconds - self._seconds))
