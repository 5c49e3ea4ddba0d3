"""The batch policy: every trial of an iteration ends before the next iteration is proposed."""

from ledger.manager.history import History
from ledger.manager.policy import ROUNDS, End, Request
from ledger.study.spec import StudySpec
from ledger.text import last_line


class BatchPolicy:
    """Proposes an iteration once the iteration before is told.

    An iteration whose proposed trials all failed is not told: another round of it is proposed, at most `ROUNDS` in all.

    Parameters
    ----------
    study : Study
    history : History
    another_round : bool
        Allow one more round of the last iteration, in which every round failed.
    """

    longest_poll = 0.25

    def __init__(self, study: StudySpec, history: History, *, another_round: bool) -> None:
        self._study, self._history = study, history
        last = history.next_iteration - 1
        self._extended = {last: history.rounds[last] + 2} if another_round and last >= 0 else {}

    def to_tell(self) -> list[int]:
        """Return the last iteration where its trials have ended and one of them completed here."""
        return [
            number for number in sorted(self._history.untold) if self._has_ended(number) and self._succeeded(number)
        ]

    def next(self, budget: int) -> Request | End | None:
        """Return the next iteration, or the next round of the last one, or the end of the study."""
        history = self._history
        if history.untold:
            number = max(history.untold)
            if not self._has_ended(number) or self._succeeded(number):
                return None
            return self._after_failed_round(number)
        left = budget - history.counted
        if left <= 0:
            return End("complete")
        return Request(history.next_iteration, 0, min(self._study.batch_size, left))

    def used_up(self, request: Request) -> End | None:
        """Return the end of the study, since it has no open trial to wait for."""
        if request.round > 0:
            reason = f"iteration {request.iteration}: every trial failed, and the space has no other points"
            return End("failed", reason)
        return End("complete", f"the space is used up: all {self._study.space.size()} points of it were tried")

    def _after_failed_round(self, number: int) -> Request | End:
        trials, round = self._history.of(number), self._history.rounds[number]
        if round + 1 < max(ROUNDS, self._extended.get(number, 0)):
            size = sum(trial.source == "proposed" and trial.round == round for trial in trials)
            return Request(number, round + 1, size)
        last = trials[-1]
        return End(
            "failed",
            f"iteration {number}: every trial of {round + 1} rounds failed, the last (trial {last.number}) with:"
            f" {last_line(last.error)}",
        )

    def _has_ended(self, number: int) -> bool:
        return not any(self._history.trials[each].iteration == number for each in self._history.open)

    def _succeeded(self, number: int) -> bool:
        trials = self._history.of(number)
        # a loss from elsewhere does not show that a trial can be trained here
        is_proven = any(trial.state == "complete" and trial.source != "imported" for trial in trials)
        return is_proven or not any(trial.source == "proposed" for trial in trials)
