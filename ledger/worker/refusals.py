"""The studies that a worker refuses. A worker refuses a study if the worker cannot load the study's objective."""

from ledger.errors import LedgerError

# After the first refusal of a study, the worker claims no trials of the study for `FIRST_PAUSE` seconds. Each further
# refusal of the study doubles the pause. The longest pause is `LONGEST_PAUSE` seconds.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


class ObjectiveLoadError(LedgerError):
    """An exception that reports that this machine cannot load the objective of a study. The message is the reason."""


class RefusedStudies:
    """The studies that one worker has refused, because the worker cannot load the objectives of these studies.

    After a refusal, the worker claims no trials of the study during a pause. For each refused study, the object stores
    the end of the pause.

    All times are values of `time.monotonic`.

    Examples
    --------
    >>> refusals = RefusedStudies()
    >>> refusals.add(7, "the package is missing", now=0.0)
    True
    >>> refusals.left_alone(now=1.0), refusals.left_alone(now=5.0)
    ([7], [])
    """

    def __init__(self) -> None:
        # A mapping from each refused study to a tuple. The tuple contains the reason of the last refusal, the length of
        # the pause in seconds, and the end of the pause.
        self._refused: dict[int, tuple[str, float, float]] = {}

    def add(self, study_id: int, reason: str, now: float) -> bool:
        """Record a refusal of a study. Return False if the study's previous refusal had the same reason."""
        reason_before, pause_before, _ = self._refused.get(study_id, (None, 0.0, 0.0))
        pause = min(max(FIRST_PAUSE, 2 * pause_before), LONGEST_PAUSE)
        self._refused[study_id] = (reason, pause, now + pause)
        return reason != reason_before

    def remove(self, study_id: int) -> None:
        """Delete the recorded refusal of a study, because the worker has now loaded the study's objective."""
        del self._refused[study_id]

    def __contains__(self, study_id: int) -> bool:
        return study_id in self._refused

    def left_alone(self, now: float) -> list[int]:
        """Return the ids of the studies that the worker must ignore at the time `now`."""
        return [study_id for study_id, (_, _, until) in self._refused.items() if now < until]
