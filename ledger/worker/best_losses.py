"""The best losses among the results that a worker has recorded in the ledger."""

from collections.abc import Sequence

from ledger.database.protocol import CompletedTrial


class BestLosses:
    """The best trial of each study, among the trials that this worker has completed.

    A study with `keep_models` keeps only the model of its best trial. Therefore, if an earlier trial has a lower loss,
    a worker saves no model of the new trial. The class ignores each result that the ledger has not accepted, such as
    the result of a cancelled trial. A cancelled trial keeps no model.
    """

    def __init__(self) -> None:
        self._best: dict[int, tuple[float, int]] = {}

    def add(self, results: Sequence[CompletedTrial], answers: Sequence[str]) -> None:
        """Add results that the worker has sent to the ledger. `answers` contains the ledger's answer to each result."""
        for result, answer in zip(results, answers, strict=True):
            if "keep_models" in result.held.objective and answer not in ("stale", "unknown"):
                found, study = (result.loss, result.held.trial), result.held.study_id
                self._best[study] = min(self._best.get(study, found), found)

    def of(self, study_id: int) -> tuple[float, int] | None:
        """Return the loss and the number of the best trial. If two trials have the same loss, the trial with the lower
        number is better.
        """
        return self._best.get(study_id)
