"""Runs of the searches: each adds a line of JSON to a file, and is not repeated."""

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import records, report
from benchmarks.quality import methods, models
from benchmarks.quality.functions import FUNCTIONS
from benchmarks.records import Record
from ledger.study.dimensions import Dimension
from ledger.study.spec import initial_points

EVALUATIONS = 60
BATCH = 4
# Seeds of each function, and of each model on each dataset.
FUNCTION_SEEDS, MODEL_SEEDS = 20, 5
# More seeds of ours and skopt for functions whose results vary much; fewer would not decide the test.
MORE_SEEDS = {(name, method): 60 for name in ("rastrigin", "ridge", "ackley") for method in ("ours", "skopt")}


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
        return (self.function, self.seed, self.method, methods.version(self.method), self.evaluations, self.batch)

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
        if methods.why_not(method) is None
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
    """Search, and return the line with the lowest loss, its regret (None for models) and the seconds of proposals."""
    dimensions, evaluate, facts = _problem(task)
    batches = -(-task.evaluations // task.batch)
    search = methods.searcher(task.method, dimensions, task.seed, initial_points(batches, task.batch))
    losses: list[float] = []
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in _sizes(task.evaluations, task.batch):
            started = time.perf_counter()
            batch = search.ask(size)
            seconds += time.perf_counter() - started
            found = [evaluate(params, len(losses) + index) for index, params in enumerate(batch)]
            losses += found
            started = time.perf_counter()
            search.tell(batch, found)
            seconds += time.perf_counter() - started
    loss = min(losses)
    regret = FUNCTIONS[task.function].regret(loss) if task.function in FUNCTIONS else None
    return {
        "function": task.function,
        "seed": task.seed,
        "method": task.method,
        "version": methods.version(task.method),
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


def _sizes(evaluations: int, batch: int) -> Iterator[int]:
    for done in range(0, evaluations, batch):
        yield min(batch, evaluations - done)


def _problem(task: Task) -> tuple[Sequence[Dimension], Callable[[Mapping[str, Any], int], float], Record]:
    if task.function in FUNCTIONS:
        function = FUNCTIONS[task.function]
        return function.dimensions, lambda params, _trial: function.value(params), {}
    evaluate = models.objective(task.function, task.seed)
    return models.dimensions(task.function), evaluate, {"step": models.step(task.function, task.seed)}
