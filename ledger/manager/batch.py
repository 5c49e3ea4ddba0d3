"""The policy for batch mode. The policy proposes an iteration after all trials of the previous iteration have ended."""

from ledger.manager.history import StudyHistory
from ledger.manager.policy import ROUNDS, ProposalRequest, StudyEnd, failed_study, objective_failed
from ledger.study.spec import StudySpec


class BatchPolicy:
    """The policy that decides what a manager proposes in batch mode. The policy proposes an iteration after the
    previous iteration has ended.

    If all proposed trials of an iteration fail, the policy proposes another round of this iteration. An iteration has
    at most `ROUNDS` rounds. If the objective fails in every trial of the first batch, the objective probably fails for
    all points. Therefore the study fails without another round.

    Parameters
    ----------
    study : StudySpec
        The settings of the study.
    history : StudyHistory
        The trials and iterations of the study.
    another_round : bool
        Whether the policy allows one more round of the last iteration if every trial of the last iteration has failed.
    """

    longest_poll = 0.25

    def __init__(self, study: StudySpec, history: StudyHistory, *, another_round: bool) -> None:
        self._study, self._history = study, history
        last = history.next_iteration - 1
        self._extended = {last: history.round_of(last) + 2} if another_round and last >= 0 else {}

    def to_tell(self) -> list[int]:
        """Return the numbers of the iterations whose results the optimizer can receive now.

        The optimizer can receive the results of an iteration only if all trials of the iteration have ended. If the
        optimizer has proposed trials for the iteration, at least one trial of the iteration must also be complete or
        pruned.
        """
        return [number for number in sorted(self._history.ended) if self._succeeded(number)]

    def next(self, budget: int, batch_size: int) -> ProposalRequest | StudyEnd | None:
        """Return a `ProposalRequest` for the next round or iteration, or a `StudyEnd`.

        Return None if the manager must wait until a trial has ended.
        """
        history = self._history
        if history.untold:
            number = max(history.untold)
            if number not in history.ended or self._succeeded(number):
                return None
            return self._after_failed_round(number)
        left = budget - history.counted
        if left <= 0:
            return StudyEnd("complete")
        return ProposalRequest(history.next_iteration, 0, min(batch_size, left))

    def used_up(self, request: ProposalRequest) -> StudyEnd | None:
        """Return the `StudyEnd` of a study whose search space has no unused points.

        The manager does not need to wait, because no trial of the study is in flight.
        """
        if request.round > 0:
            reason = f"iteration {request.iteration}: every trial failed, and the space has no unused points"
            return StudyEnd("failed", reason)
        return StudyEnd(
            "complete", f"the space is used up: all {self._study.space.size()} points of the space were tried"
        )

    def _after_failed_round(self, number: int) -> ProposalRequest | StudyEnd:
        trials, round = self._history.of(number), self._history.round_of(number)
        latest = [trial for trial in trials if trial.source == "proposed" and trial.round == round]
        is_hopeless = not self._history.is_proven and objective_failed(latest, self._study.limits)
        if round + 1 < max(1 if is_hopeless else ROUNDS, self._extended.get(number, 0)):
            return ProposalRequest(number, round + 1, len(latest))
        if round == 0:
            return failed_study("every trial of the first batch failed", trials[-1])
        return failed_study(f"iteration {number}: every trial of {round + 1} rounds failed", trials[-1])

    def _succeeded(self, number: int) -> bool:
        trials = self._history.of(number)
        # An imported loss does not prove that a worker of this study can evaluate a trial.
        return any(trial.is_proof for trial in trials) or not any(trial.source == "proposed" for trial in trials)
