"""Runs of the searches: each adds a line of JSON to a file, and is not repeated."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import records, report
from benchmarks.quality import models
from benchmarks.quality.functions import FUNCTIONS
from benchmarks.records import Record
from benchmarks.searchers.methods import METHODS
from benchmarks.searchers.searcher import Setting, search
from ledger.study.dimensions import Dimension

# The names of the measured methods, which are keys of `METHODS`.
NAMES = ("ours", "skopt", "optuna-tpe", "optuna-gp", "random")
EVALUATIONS = 60
BATCH = 4
# Seeds of each function, and of each model on each dataset.
FUNCTION_SEEDS, MODEL_SEEDS = 20, 5
# More seeds of ours and skopt for functions and models whose results vary much; fewer would not decide the test.
MORE_SEEDS = {
    (name, method): seeds
    for names, seeds in (
        (("rastrigin", "ridge", "ackley"), 60),
        (("svm/digits", "svm/synthetic", "xgb/digits", "xgb/synthetic", "lgbm/breast_cancer", "lgbm/synthetic"), 20),
    )
    for name in names
    for method in ("ours", "skopt")
}


@dataclass(frozen=True)
class Task:
    """One search; `function` is a function's name, or "model/dataset"."""

    function: str
    seed: int
    method: str
    evaluations: int = EVALUATIONS
    batch: int = BATCH

    @property
    def key(self) -> tuple[object, ...]:
        """The values that identify a line of this search by this version of the method."""
        version = METHODS[self.method].version
        return (self.function, self.seed, self.method, version, self.evaluations, self.batch)

    def __str__(self) -> str:
        return f"{self.function}, seed {self.seed}, {self.method}"

    def run(self) -> Record:
        return run(self)

    def summary(self, record: Record) -> str:
        return f"loss {record['loss']:.6g} in {record['seconds']:.1f} s"


def key(record: Record) -> tuple[object, ...]:
    return tuple(record[name] for name in ("function", "seed", "method", "version", "evaluations", "batch"))


def tasks(
    functions: Sequence[str],
    names: Sequence[str],
    seeds: int | None = None,
    evaluations: int = EVALUATIONS,
    batch: int = BATCH,
) -> list[Task]:
    """Return the searches seed by seed, so that an interrupted run covers all methods and functions."""
    counts = {
        (name, method): seeds or MORE_SEEDS.get((name, method), FUNCTION_SEEDS if name in FUNCTIONS else MODEL_SEEDS)
        for name in functions
        for method in names
        if METHODS[method].why_not is None
    }
    return [
        Task(name, seed, method, evaluations, batch)
        for chosen in (FUNCTIONS, models.NAMES)
        for seed in range(max(counts.values(), default=0))
        for (name, method), count in counts.items()
        if name in chosen and seed < count
    ]


def missing(file: Path, wanted: Sequence[Task]) -> list[Task]:
    """Return the tasks without a line in the file."""
    return records.missing(file, wanted, key)


def run(task: Task) -> Record:
    """Search, and return the line with the lowest loss, its regret (None for models) and the processor seconds of the
    proposals."""
    dimensions, evaluate, facts = _problem(task)
    searcher = METHODS[task.method].make(Setting(dimensions, task.seed, task.evaluations, task.batch))
    _, losses, seconds = search(searcher, evaluate, task.evaluations, task.batch)
    loss = min(losses)
    regret = FUNCTIONS[task.function].regret(loss) if task.function in FUNCTIONS else None
    return {
        "function": task.function,
        "seed": task.seed,
        "method": task.method,
        "version": METHODS[task.method].version,
        "evaluations": task.evaluations,
        "batch": task.batch,
        "loss": loss,
        "regret": regret,
        **facts,
        "seconds": round(seconds, 3),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": report.versions(),
    }


def chosen(names: Collection[str]) -> list[str]:
    """Return the functions and models with these names, or all of them if no name is given."""
    known = [*FUNCTIONS, *models.NAMES]
    return [name for name in known if not names or name in names or name.partition("/")[0] in names]


def _problem(task: Task) -> tuple[Sequence[Dimension], Callable[[Mapping[str, Any], int], float], Record]:
    if task.function in FUNCTIONS:
        function = FUNCTIONS[task.function]
        return function.dimensions, lambda params, _trial: function.value(params), {}
    evaluate = models.objective(task.function, task.seed)
    return models.dimensions(task.function), evaluate, {"step": models.step(task.function, task.seed)}
