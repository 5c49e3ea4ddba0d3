"""Searches of the ledger without its database: the proposals of `ledger.proposals`, and the rules of early stopping.

In batch mode, the cutoffs of an iteration come from the trials of earlier iterations. With the rule "promotion", they
come from the trials of the same iteration. If their number is below the batch size, they also come from the latest
earlier trials. In steady mode, a verdict compares a trial with the trials that reached the rung before it. With the
rule "promotion" in steady mode, a paused trial goes on when this trial has become one of the best trials at its rung.
`sql/functions/` does the same.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

from benchmarks.stopping.simulator import Curves, Params, Start
from ledger.proposals import Proposal, ProposalInput, proposal_input, propose, whole_training
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble
from ledger.study.spec import LARGEST_BUDGET, DerivedSettings, StudySpec
from ledger.study.verdicts import compared_trials, cutoff, goes_on, is_audited, promotion_cutoff, stops


@dataclass(frozen=True)
class KnownTrial:
    """A trial as the search knows it. `proposal_input` reads the attributes.

    Attributes
    ----------
    state : str
        "running", "complete" or "pruned". A paused trial is "running". "cancelled" hides the trial from the surrogate.
    loss : float or None
        The loss after the last epoch of a complete trial.
    pruned_loss : float or None
        The loss at the last rung of a pruned trial.
    at_rungs : dict of int to float
        The loss at each rung that the trial has reached.
    """

    number: int
    iteration: int
    params: Params
    state: str = "running"
    loss: float | None = None
    pruned_loss: float | None = None
    at_rungs: Mapping[int, float] = field(default_factory=dict)
    round: int = 0
    seconds: float | None = None
    retry_of: int | None = None


def ignore(trial: KnownTrial, complete: Sequence[KnownTrial]) -> KnownTrial:  # noqa: ARG001
    """Hide a pruned trial from the surrogate. Its point is not proposed again."""
    return replace(trial, state="cancelled")


def last_loss(trial: KnownTrial, complete: Sequence[KnownTrial]) -> KnownTrial:  # noqa: ARG001
    """Take the loss at the last rung of a pruned trial for its final loss."""
    return replace(trial, at_rungs={})


def worst_loss(trial: KnownTrial, complete: Sequence[KnownTrial]) -> KnownTrial:
    """Give a pruned trial the worst loss of the complete trials."""
    worst = max((each.loss for each in complete if each.loss is not None), default=trial.pruned_loss)
    return replace(trial, pruned_loss=worst, at_rungs={})


def estimated_loss(trial: KnownTrial, complete: Sequence[KnownTrial]) -> KnownTrial:  # noqa: ARG001
    """Let `proposal_input` estimate the final loss of a pruned trial, as a study without a Gaussian process does."""
    return trial


def losses_at_rungs(trial: KnownTrial, complete: Sequence[KnownTrial]) -> KnownTrial:  # noqa: ARG001
    """Let the surrogate model the losses at the rungs, as a study with a Gaussian process does."""
    return trial


# How the surrogate learns of a pruned trial, from the trial and the complete trials.
Lesson = Callable[[KnownTrial, Sequence[KnownTrial]], KnownTrial]
LESSONS: dict[str, Lesson] = {
    "ignored": ignore,
    "last": last_loss,
    "worst": worst_loss,
    "estimated": estimated_loss,
    "rungs": losses_at_rungs,
}


@dataclass(frozen=True)
class _Question:
    """The input of a proposal. Two inputs are equal if their texts are equal."""

    text: str
    study: StudySpec = field(compare=False)
    iteration: int = field(compare=False)
    size: int = field(compare=False)
    given: ProposalInput = field(compare=False)


@lru_cache(maxsize=128)
def _answer(question: _Question) -> tuple[Proposal, float]:
    """Return the proposal, and the CPU time in seconds that it took.

    In batch mode, both runs of a search ask the same questions.
    """
    started = time.process_time()
    proposal = propose(question.study, question.iteration, 0, question.size, question.given)
    return proposal, time.process_time() - started


@dataclass(eq=False)
class BatchSearch:
    """A study in batch mode.

    Parameters
    ----------
    curves : Curves
    seed : int
    batch_size : int
    stopping : EarlyStopping
    lesson : callable
        One of the functions of `LESSONS`.
    is_random : bool
        Whether all points are random.

    Attributes
    ----------
    reused : float
        The CPU time in seconds that the search saved, because an earlier run of the search had computed the same
        proposals.
    """

    curves: Curves
    seed: int
    batch_size: int
    stopping: EarlyStopping
    lesson: Lesson
    is_random: bool = field(default=False, kw_only=True)
    mode: ClassVar[str] = "batch"

    def __post_init__(self) -> None:
        self._study = study(self.curves, self.seed, self.batch_size, self.mode, self.stopping, is_random=self.is_random)
        self._whole = whole_training(self._study) if self.lesson is losses_at_rungs else None
        self._rungs = frozenset(self.stopping.rungs)
        self._trials: list[KnownTrial] = []
        self._open: set[int] = set()
        self._waiting: deque[Start] = deque()
        self._iterations = 0
        self._surrogate: Mapping[str, Any] | None = None
        self._cutoffs: dict[int, float | None] = {}
        self.reused = 0.0

    def ask(self) -> Start | None:
        if not self._waiting and (size := self._missing()) > 0:
            self._propose(size)
        return self._waiting.popleft() if self._waiting else None

    def report(self, number: int, epoch: int, loss: float) -> bool:
        if epoch not in self._rungs:
            return False
        limit = self._cutoff(epoch)
        self._reach(number, epoch, loss)
        return stops(loss, limit) and not self._is_audited(number)

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:  # noqa: ARG002
        trial = self._trials[number]
        self._trials[number] = (
            replace(trial, state="pruned", pruned_loss=loss) if stopped else replace(trial, state="complete", loss=loss)
        )
        self._open.remove(number)

    def _missing(self) -> int:
        """Return how many trials to propose now."""
        return 0 if self._open else self._study.batch_size

    def _is_audited(self, number: int) -> bool:
        return is_audited(self._study.seed, number, self._study.stopping.audit)

    def _reach(self, number: int, rung: int, loss: float) -> None:
        """Record the loss of a trial at a rung."""
        trial = self._trials[number]
        self._trials[number] = replace(trial, at_rungs={**trial.at_rungs, rung: loss})

    def _start(self, number: int) -> Start:
        """Return the start of a new trial."""
        return Start(number, self._trials[number].params)

    def _given(self, trials: Sequence[KnownTrial]) -> ProposalInput:
        known = rung_losses(trials)
        return proposal_input(trials, self._iterations, 0, self._surrogate, None, known, whole=self._whole)

    def _cutoff(self, rung: int) -> float | None:
        return self._cutoffs[rung]

    def _propose(self, size: int) -> None:
        proposal = self._proposal(size, self._given(self._shown()))
        if proposal.surrogate is not None:
            self._surrogate = proposal.surrogate
        self._cutoffs = {rung: self._cutoff_now(rung) for rung in self._rungs}
        for params in proposal.points:
            number = len(self._trials)
            self._trials.append(KnownTrial(number, self._iterations, params))
            self._open.add(number)
            self._waiting.append(self._start(number))
        self._iterations += 1

    def _proposal(self, size: int, given: ProposalInput) -> Proposal:
        text = repr((self._study, self._iterations, size, given))
        hits = _answer.cache_info().hits
        proposal, seconds = _answer(_Question(text, self._study, self._iterations, size, given))
        if _answer.cache_info().hits > hits:
            self.reused += seconds
        return proposal

    def _shown(self) -> list[KnownTrial]:
        complete = [trial for trial in self._trials if trial.state == "complete"]
        return [self.lesson(trial, complete) if trial.state == "pruned" else trial for trial in self._trials]

    def _cutoff_now(self, rung: int) -> float | None:
        reached = [trial.at_rungs[rung] for trial in self._trials if rung in trial.at_rungs]
        return cutoff(self._study.stopping.rule, self._study.stopping.eta, reached)


@dataclass(eq=False)
class PromotionSearch(BatchSearch):
    """A study in batch mode with the rule "promotion", with the same parameters.

    A trial pauses at each rung, and frees its worker. When all trials of the iteration that are not audited have
    paused, the trials that are good enough go on from their last epochs, and the others are pruned.
    """

    _paused: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        # The trials with a verdict at each rung, in ascending order of the numbers.
        self._judged: dict[int, list[tuple[int, float | None]]] = {rung: [] for rung in self.stopping.rungs}

    @property
    def open_trials(self) -> frozenset[int]:
        """The trials that have not ended: they are waiting, running or paused."""
        return frozenset(self._open)

    def report(self, number: int, epoch: int, loss: float) -> bool:
        # Only audited trials report at a rung. The others pause there.
        if epoch in self._rungs_of(number):
            self._reach(number, epoch, loss)
        return False

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        if epoch == self.curves.epochs:
            super().end(number, epoch, loss, stopped)
        else:
            self._reach(number, epoch, loss)
            self._paused.add(number)
        if self._paused and all(each in self._paused for each in self._open if not self._is_audited(each)):
            self._decide(epoch=max(self._trials[min(self._paused)].at_rungs))

    def _decide(self, epoch: int) -> None:
        """Let the paused trials that are good enough go on, and prune the others."""
        paused, self._paused = sorted(self._paused), set()
        losses = {number: self._trials[number].at_rungs[epoch] for number in paused}
        compared = compared_trials(self._study.batch_size, losses.items(), self._judged[epoch])
        self._judged[epoch] += losses.items()
        limit = promotion_cutoff(self._study.stopping.eta, compared)
        for number, loss in losses.items():
            if goes_on(loss, number, limit):
                self._waiting.append(self._start(number))
            else:
                super().end(number, epoch, loss, stopped=True)

    def _cutoff_now(self, rung: int) -> None:
        """Return no cutoff, because the cutoffs also depend on the trials of the iteration."""

    def _rungs_of(self, number: int) -> tuple[int, ...]:
        return self._study.stopping.rungs_of(self._trials[number].iteration)

    def _start(self, number: int) -> Start:
        """Return the start of a new or promoted trial, which ends at the next rung."""
        trial = self._trials[number]
        left = [rung for rung in self._rungs_of(number) if rung not in trial.at_rungs]
        pauses = left and not self._is_audited(number)
        return Start(number, trial.params, until=left[0] if pauses else None)


@dataclass(eq=False)
class SteadySearch(BatchSearch):
    """A study in steady mode, with the same parameters. `batch_size` is the number of trials in flight."""

    mode: ClassVar[str] = "steady"

    _seen: list[int] = field(default_factory=list, init=False)

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        super().end(number, epoch, loss, stopped)
        self._seen.append(number)

    def _missing(self) -> int:
        return self._study.batch_size - len(self._open)

    def _given(self, trials: Sequence[KnownTrial]) -> ProposalInput:
        known = rung_losses(trials)
        return proposal_input(trials, self._iterations, 0, self._surrogate, self._seen, known, whole=self._whole)

    def _cutoff(self, rung: int) -> float | None:
        return self._cutoff_now(rung)


@dataclass(eq=False)
class SteadyPromotionSearch(SteadySearch):
    """A study in steady mode with the rule "promotion", with the same parameters.

    If a verdict stops a trial, the trial pauses, and its worker is free. A free worker first gets a paused trial that
    is now among the best 1/eta of all trials that have arrived at its rung.
    """

    _paused: dict[int, int] = field(default_factory=dict, init=False)
    _seen_rungs: list[int | None] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._arrived: dict[int, dict[int, float]] = {rung: {} for rung in self.stopping.rungs}

    def ask(self) -> Start | None:
        if not self._waiting and self._missing() > 0 and (number := self._ready_for_promotion()) is not None:
            del self._paused[number]
            self._open.add(number)
            return self._start(number)
        return super().ask()

    def report(self, number: int, epoch: int, loss: float) -> bool:
        if epoch not in self._rungs:
            return False
        self._reach(number, epoch, loss)
        self._arrived[epoch][number] = loss
        return not self._goes_on(number, epoch) and not self._is_audited(number)

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        if stopped:
            self._paused[number] = epoch
            self._open.remove(number)
            self._seen.append(number)
        else:
            super().end(number, epoch, loss, stopped)
        self._seen_rungs.append(epoch if stopped else None)

    def _goes_on(self, number: int, rung: int) -> bool:
        arrived = self._arrived[rung]
        return goes_on(arrived[number], number, promotion_cutoff(self._study.stopping.eta, arrived.items()))

    def _ready_for_promotion(self) -> int | None:
        """Return the best trial of the highest rung that can go on, or None."""
        going = [
            (-rung, self._arrived[rung][number], number)
            for number, rung in self._paused.items()
            if self._goes_on(number, rung)
        ]
        return min(going)[-1] if going else None

    def _given(self, trials: Sequence[KnownTrial]) -> ProposalInput:
        of_seen = (self._seen, rung_losses(trials), self._seen_rungs)
        return proposal_input(trials, self._iterations, 0, self._surrogate, *of_seen, whole=self._whole)

    def _cutoff_now(self, rung: int) -> None:
        """Return no cutoff, because `report` compares a trial with all arrivals at its rung."""


def rung_losses(trials: Sequence[KnownTrial]) -> dict[int, Mapping[int, float]]:
    """Return the losses of the trials at their rungs, as `proposal_input` reads them."""
    return {trial.number: trial.at_rungs for trial in trials}


def study(
    curves: Curves, seed: int, batch_size: int, mode: str, stopping: EarlyStopping, *, is_random: bool
) -> StudySpec:
    """Return the specification of a study. The number of trials is not limited, because the epochs are."""
    tables: dict[str, dict[str, Any]] = {
        "study": {"name": "simulated", "trials": LARGEST_BUDGET, "batch_size": batch_size, "seed": seed, "mode": mode},
        "objective": {"function": "benchmarks.stopping:train"},
        "space": {dimension.pop("name"): dimension for dimension in curves.space.to_json()},
        "stopping": stopping.model_dump(exclude_none=True),
    }
    found = assemble({}, tables=tables)
    if not is_random:
        return found
    return found.model_copy(update={"resolved": DerivedSettings(initial_points=LARGEST_BUDGET)})
