"""Simulation of workers that train trials epoch by epoch.

All contestants run in the same loop, `simulate`. One event is the end of an epoch on one worker. A worker asks for a
trial, trains it until the trial is stopped or complete, and asks again. Proposals and reports take no simulated time.
"""

import heapq
import math
import random
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ledger import seeds
from ledger.study.space import Space

# The logarithm of a worker's slowness has this standard deviation. The slowest of 8 workers then typically needs four
# times as long as the fastest one.
SPREAD = 0.5

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """The losses after each epoch of a whole training, and the seconds of one epoch on a worker of slowness 1."""

    losses: Sequence[float]
    seconds: float


class Curves(Protocol):
    """A task: a search space, and the learning curve of each of its points.

    Attributes
    ----------
    space : Space
    epochs : int
        The number of epochs of a whole training.
    """

    space: Space
    epochs: int

    def train(self, params: Params) -> Training: ...

    def final_losses(self, points: Sequence[Params]) -> list[float]:
        """Return the loss after a whole training of each point."""


@dataclass(frozen=True)
class Start:
    """The trial that a free worker trains next.

    Attributes
    ----------
    number : int
        The number of a new trial, or of a paused trial, which goes on from its last epoch.
    until : int or None
        The epoch after which the trial pauses. None means that the worker trains the trial to its end.
    """

    number: int
    params: Params
    until: int | None = None


class Search(Protocol):
    """A contestant: it proposes trials, and decides at each report whether the trial stops."""

    def ask(self) -> Start | None:
        """Return the next trial for a free worker. Return None if the search waits for a running trial."""

    def report(self, number: int, epoch: int, loss: float) -> bool:
        """Return whether a trial stops after an epoch, from 1. The last epoch before `end` is not reported."""

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        """Note that a trial was stopped, or that it is complete or paused, with the loss after its last epoch."""


@dataclass
class Trial:
    """A trial of a simulation.

    Attributes
    ----------
    final : float
        The loss after a whole training. The search does not know it before the trial is complete.
    epoch : int
        The number of trained epochs.
    until : int
        The epoch after which the trial is complete or pauses.
    state : str
        "running", "stopped", "paused" or "complete".
    """

    number: int
    params: Params
    training: Training = field(repr=False)
    epoch: int = 0
    until: int = 0
    state: str = "running"

    @property
    def final(self) -> float:
        return self.training.losses[-1]

    @property
    def is_stopped(self) -> bool:
        """Whether the trial was stopped. A paused trial counts as stopped: the search may never promote it."""
        return self.state in ("stopped", "paused")


@dataclass(frozen=True)
class Mark:
    """What a search had found after a number of epochs.

    Attributes
    ----------
    loss : float or None
        The lowest loss of the complete trials. None if no trial was complete.
    seconds : float
        The simulated time.
    """

    epochs: int
    loss: float | None
    seconds: float


@dataclass(frozen=True)
class Simulation:
    """The trials in the order of their first starts, and the marks in the given order."""

    trials: list[Trial]
    marks: list[Mark]


def simulate(search: Search, curves: Curves, slowness: Sequence[float], marks: Sequence[int]) -> Simulation:
    """Train with one worker for each slowness until the workers have trained the last of the marks.

    Parameters
    ----------
    search : Search
    curves : Curves
    slowness : sequence of float
        The factor of each worker for the seconds of an epoch.
    marks : sequence of int
        Increasing numbers of epochs, counted over all workers. The simulation ends at the last one.

    Returns
    -------
    Simulation

    Raises
    ------
    RuntimeError
        The search has no trial for any worker, and no trial is running.
    """
    trials: dict[int, Trial] = {}
    reached: list[Mark] = []
    free = list(range(len(slowness)))
    running: dict[int, Trial] = {}
    events: list[tuple[float, int]] = []  # the end of the current epoch of each busy worker
    now, used, best = 0.0, 0, math.inf
    while used < marks[-1]:
        while free and (start := search.ask()) is not None:
            worker = free.pop(0)
            if start.number not in trials:
                trials[start.number] = Trial(start.number, start.params, curves.train(start.params))
            trial = running[worker] = trials[start.number]
            trial.state, trial.until = "running", start.until or curves.epochs
            heapq.heappush(events, (now + trial.training.seconds * slowness[worker], worker))
        if not events:
            raise RuntimeError(f"the search proposes no trial after {used} epochs, although no trial is running")
        now, worker = heapq.heappop(events)
        trial = running[worker]
        trial.epoch += 1
        used += 1
        loss = trial.training.losses[trial.epoch - 1]
        if trial.epoch == curves.epochs:
            trial.state = "complete"
            best = min(best, loss)
        elif trial.epoch == trial.until:
            trial.state = "paused"
        elif search.report(trial.number, trial.epoch, loss):
            trial.state = "stopped"
        else:
            heapq.heappush(events, (now + trial.training.seconds * slowness[worker], worker))
        if trial.state != "running":
            del running[worker]
            insort(free, worker)
            search.end(trial.number, trial.epoch, loss, trial.state == "stopped")
        if used == marks[len(reached)]:
            reached.append(Mark(used, None if math.isinf(best) else best, now))
    return Simulation(list(trials.values()), reached)


def draw_slowness(seed: int, draw: int, workers: int) -> list[float]:
    """Return the slowness of each worker. Another `draw` gives the same workers other speeds."""
    source = random.Random(seeds.derive(seed, "slowness", draw))
    return [source.lognormvariate(0.0, SPREAD) for _ in range(workers)]


def false_stops(trials: Sequence[Trial]) -> int:
    """Return how many stopped trials belong to the best tenth of all trials, after whole trainings.

    If stops were random, a tenth of the stops would be false.
    """
    ranked = sorted(trials, key=lambda trial: (trial.final, trial.number))
    return sum(trial.is_stopped for trial in ranked[: max(1, len(ranked) // 10)])


def best_is_stopped(trials: Sequence[Trial]) -> bool:
    """Return whether the trial that would have had the lowest loss was stopped."""
    return min(trials, key=lambda trial: (trial.final, trial.number)).is_stopped


@dataclass(frozen=True)
class Changes:
    """Differences between two simulations of the same search with other speeds of the workers.

    Attributes
    ----------
    compared : int
        The number of trials that ended in both simulations.
    points : int
        The number of these trials whose parameters differ.
    verdicts : int
        The number of these trials that were stopped in only one simulation, or after another epoch.
    """

    compared: int
    points: int
    verdicts: int


def changes(first: Sequence[Trial], second: Sequence[Trial]) -> Changes:
    """Compare the trials of two simulations by their numbers."""
    others = {trial.number: trial for trial in second}
    pairs = [(trial, others[trial.number]) for trial in first if trial.number in others]
    ended = [pair for pair in pairs if all(trial.state != "running" for trial in pair)]
    return Changes(
        compared=len(ended),
        points=sum(one.params != other.params for one, other in ended),
        verdicts=sum((one.state, one.epoch) != (other.state, other.epoch) for one, other in ended),
    )
