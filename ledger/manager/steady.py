"""The policy for steady mode. The policy keeps a fixed number of trials in flight.

In steady mode, a worker gets a new trial without waiting until the slowest trial has ended.
"""

from ledger.manager.history import StudyHistory
from ledger.manager.policy import ROUNDS, PromotionRequest, ProposalRequest, StudyEnd, failed_study, objective_failed
from ledger.study.spec import StudySpec


class SteadyPolicy:
    """The policy that decides what a manager proposes in steady mode. The policy keeps `batch_size` trials in flight.

    The ledger records each proposal as an iteration. The first proposal has at most `batch_size` trials. Each later
    proposal has one new trial for each trial that has ended after the previous proposal. The proposed points depend on
    the order in which the trials ended. Therefore each recorded iteration contains the numbers of the newly ended
    trials, in the order in which the trials ended. During a proposal, each trial in flight has an assumed
    value as its loss.

    With the rule "promotion", a paused trial is not in flight. Before a proposal, the policy requests that the manager
    promotes the paused trials that can go on. The proposal then has one new trial for each place that is still free.
    The recorded iteration also contains the numbers of the newly paused trials. The manager prunes the paused trials
    when three conditions are true: the policy proposes no more trials, no trial is in flight, and no paused trial can
    go on. The study then ends.

    If the objective fails in each of the first `batch_size` trials, the objective probably fails for all points.
    Therefore the study fails when the trials in flight have ended.

    Parameters
    ----------
    study : StudySpec
        The settings of the study.
    history : StudyHistory
        The trials and iterations of the study.
    budget : int
        The number of trials that the optimizer may propose.
    batch_size : int
        The number of trials in flight.
    another_round : bool
        Whether the policy allows `batch_size` more failed trials before the study fails. If a worker has already
        completed a trial of the study, `another_round` has no effect.
    """

    # Longest time in seconds between two polls. The manager notices the end of a trial after at most `longest_poll`
    # seconds. When the manager has noticed the end of a trial, the manager can propose a new trial.
    longest_poll = 0.05

    def __init__(
        self, study: StudySpec, history: StudyHistory, budget: int, batch_size: int, *, another_round: bool
    ) -> None:
        self._study, self._history = study, history
        self._is_used_up = False
        self._budget = budget
        # If `another_round` is True and no trial completes, the study fails again after `_extended` failed trials.
        self._extended = history.counted_failed + batch_size if another_round else None

    def to_tell(self) -> list[int]:
        """Return the numbers of the ended iterations whose results the optimizer has not yet received."""
        return sorted(self._history.ended)

    def next(self, budget: int, batch_size: int) -> ProposalRequest | PromotionRequest | StudyEnd | None:
        """Return a `ProposalRequest` for new trials, a `PromotionRequest`, a `StudyEnd`, or None.

        The policy requests new trials if fewer than `batch_size` trials are in flight and the budget allows more
        trials. If a trial is paused and fewer than `batch_size` trials are in flight, the policy first requests
        promotions. The result is None if the manager must wait until a trial has ended or paused.
        """
        history = self._history
        size = self._missing(budget, batch_size)
        step: ProposalRequest | StudyEnd | None = None
        if size > 0:
            rungs = list(history.seen_rungs) if history.pauses else None
            step = ProposalRequest(history.next_iteration, 0, size, list(history.seen), rungs)
        elif not history.open:
            step = self._end()
        free = batch_size - len(history.open)
        return PromotionRequest(free, step) if history.waiting and free > 0 else step

    def used_up(self, request: ProposalRequest) -> StudyEnd | None:  # noqa: ARG002
        """Stop all further proposals, and return None so that the manager waits for the trials in flight."""
        self._is_used_up = True
        return None

    def _missing(self, budget: int, batch_size: int) -> int:
        if self._is_used_up:
            return 0
        history = self._history
        left = budget - history.counted
        if not history.is_proven:
            # Until a trial completes, the policy proposes a new trial for each failed trial. The policy does not
            # replace a cancelled trial.
            left += history.counted_failed
            left = min(left, self._most_failures(batch_size) - history.counted_failed - len(history.open))
        return min(batch_size - len(history.open), left)

    def _most_failures(self, batch_size: int) -> int:
        """Return the number of failed trials after which the study fails if no trial is complete."""
        if self._extended is not None:
            return self._extended
        first = [trial for trial in self._history.tried if trial.source == "proposed"][:batch_size]
        rounds = 1 if objective_failed(first, self._study.limits) else ROUNDS
        return min(rounds * batch_size, self._budget)

    def _end(self) -> StudyEnd:
        history = self._history
        if history.tried:
            failed = [trial for trial in history.tried if trial.state == "failed"]
            return failed_study(f"none of {len(history.tried)} trials completed", failed[-1] if failed else None)
        if self._is_used_up:
            size = self._study.space.size()
            return StudyEnd("complete", f"the space is used up: all {size} points of the space were tried")
        return StudyEnd("complete")
