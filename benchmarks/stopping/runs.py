"""Runs of the contestants: each simulates a search with one or two draws of the workers' speeds."""

import statistics
import time
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks import report
from benchmarks.records import Record
from benchmarks.stopping.contestants import CONTESTANTS
from benchmarks.stopping.curves import curves
from benchmarks.stopping.ours import BatchSearch, PromotionSearch
from benchmarks.stopping.simulator import (
    Changes,
    Simulation,
    Trial,
    best_is_stopped,
    changes,
    draw_slowness,
    false_stops,
    simulate,
)
from ledger.proposals.skopt_space import SpaceConverter

SEEDS = 20
WORKERS = (8, 32)
# The epochs of a search, in whole trainings.
TRAININGS = 64
# The search is measured after these shares of its epochs.
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# The searches of these contestants take long. With the first seed, each search runs twice, like the searches of the
# other contestants. With the other seeds, it runs once.
SLOW = (
    *("ours-steady-halving", "ours-steady-promotion"),
    *("ours-batch-8-promotion-oracle", "ours-batch-8-promotion-brackets-oracle"),
    *("optuna-tpe-halving", "optuna-tpe-hyperband", "optuna-tpe-median"),
    *("optuna-gp", "optuna-gp-halving", "optuna-gp-hyperband", "optuna-gp-median"),
    *("synetune-kde-halving", "synetune-mobster", "smac-hyperband"),
)
# The number of random points that estimate the lowest and the median loss of a task.
REFERENCE = 2000


@dataclass(frozen=True)
class Run:
    """One search of a contestant. `folder` contains the surrogates, unless the task is synthetic."""

    task: str
    seed: int
    contestant: str
    workers: int
    trainings: int = TRAININGS
    folder: Path | None = None

    @property
    def draws(self) -> int:
        """The number of draws of the workers' speeds. The search runs once with each draw."""
        return 1 if self.contestant in SLOW and self.seed > 0 else 2

    @property
    def key(self) -> tuple[object, ...]:
        """The values that identify a line of this search by this version of the contestant."""
        found = CONTESTANTS[self.contestant]
        return (self.task, self.seed, found.name, found.settings, found.version, self.workers, self.trainings)

    def __str__(self) -> str:
        return f"{self.task}, seed {self.seed}, {self.workers} workers, {self.contestant}"

    def summary(self, record: Record) -> str:
        return f"loss {record['losses'][0][-1]} in {record['computing']:.1f} s"

    def run(self) -> Record:
        """Simulate the search with each draw of the speeds, and return the line.

        The lists `losses` and `seconds` have an element for each draw of the speeds, with a value for each mark.
        """
        task = curves(self.task, self.folder)
        marks = [round(self.trainings * share * task.epochs) for share in SHARES]
        started = time.process_time()
        found, reused = zip(*(self._simulate(draw, marks) for draw in range(self.draws)), strict=True)
        computing = time.process_time() - started + sum(reused)
        changed = changes(found[0].trials, found[1].trials) if len(found) > 1 else Changes(0, 0, 0)
        lowest, median = reference(self.task, self.folder)
        return {
            "task": self.task,
            "seed": self.seed,
            "contestant": self.contestant,
            "settings": CONTESTANTS[self.contestant].settings,
            "version": CONTESTANTS[self.contestant].version,
            "workers": self.workers,
            "trainings": self.trainings,
            "losses": [[mark.loss for mark in one.marks] for one in found],
            "seconds": [[round(mark.seconds, 3) for mark in one.marks] for one in found],
            "trials": [len(one.trials) for one in found],
            "stopped": [sum(trial.is_stopped for trial in one.trials) for one in found],
            "false_stops": [false_stops(one.trials) for one in found],
            "best_is_stopped": [best_is_stopped(one.trials) for one in found],
            "compared": changed.compared,
            "changed_points": changed.points,
            "changed_verdicts": changed.verdicts,
            "lowest": min(lowest, *(trial.final for one in found for trial in one.trials)),
            "median": median,
            "computing": round(computing, 3),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "versions": report.versions(),
        }

    def _simulate(self, draw: int, marks: Sequence[int]) -> tuple[Simulation, float]:
        """Return the simulated search, and the CPU time in seconds that it saved by reuse."""
        task = curves(self.task, self.folder)
        search = CONTESTANTS[self.contestant].make(task, self.seed, self.workers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = simulate(search, task, draw_slowness(self.seed, draw, self.workers), marks)
        if isinstance(search, PromotionSearch):
            reopen(found.trials, search.open_trials)
        return found, search.reused if isinstance(search, BatchSearch) else 0.0


def reopen(trials: Sequence[Trial], open_trials: Collection[int]) -> None:
    """Count the paused trials that their search has not pruned as running, because they have not ended."""
    for trial in trials:
        if trial.state == "paused" and trial.number in open_trials:
            trial.state = "running"


def key(record: Record) -> tuple[object, ...]:
    names = ("task", "seed", "contestant", "settings", "version", "workers", "trainings")
    return tuple(record[name] for name in names)


def runs(
    tasks: Sequence[str],
    names: Sequence[str],
    seeds: int = SEEDS,
    workers: Sequence[int] = WORKERS,
    trainings: int = TRAININGS,
    folder: Path | None = None,
) -> list[Run]:
    """Return the searches seed by seed, so that an interrupted command covers all tasks and contestants."""
    return [
        Run(task, seed, name, count, trainings, folder)
        for seed in range(seeds)
        for task in tasks
        for count in workers
        for name in names
        if CONTESTANTS[name].why_not is None
    ]


@cache
def reference(task: str, folder: Path | None) -> tuple[float, float]:
    """Return the lowest and the median loss of random points after whole trainings."""
    found = curves(task, folder)
    losses = found.final_losses(SpaceConverter(found.space).random(REFERENCE, seed=0))
    return min(losses), statistics.median(losses)
