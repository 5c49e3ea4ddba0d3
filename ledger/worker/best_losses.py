"""The best losses that a worker knows to be complete in the ledger."""

from collections.abc import Sequence

from ledger.database.protocol import CompletedTrial


class BestLosses:
    """The best complete trial of each study among the trials that this worker has completed.

    A study with `keep_models` keeps only the model of its best trial. Therefore a worker trains no model for a trial
    that another trial of the study has already beaten. Only a result that the ledger has accepted counts, because a
    cancelled trial keeps no model.
    """

    def __init__(self) -> None:
        self._best: dict[int, tuple[float, int]] = {}

    def add(self, results: Sequence[CompletedTrial], answers: Sequence[str]) -> None:
        """Take the results that the ledger has recorded, with its answers."""
        for result, answer in zip(results, answers, strict=True):
            if "keep_models" in result.held.objective and answer not in ("stale", "unknown"):
                found, study = (result.loss, result.held.trial), result.held.study_id
                self._best[study] = min(self._best.get(study, found), found)

    def of(self, study_id: int) -> tuple[float, int] | None:
        """Return the loss and the number of the best trial. If two losses are equal, the lower number is better."""
        return self._best.get(study_id)
