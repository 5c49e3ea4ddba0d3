"""Runs of the searches: each adds a line of JSON to a file, and is not repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.public import problems
from benchmarks.records import Record
from benchmarks.searchers.methods import METHODS
from benchmarks.searchers.searcher import Setting, search

SEEDS = 10
EVALUATIONS = 60
BATCH = 4
# The seeds of a search are far from those of `make bench-quality`, on which earlier versions were tuned.
FIRST_SEED = 1000


@dataclass(frozen=True)
class Run:
    """One search of a method. `yahpo` is the folder of the surrogates, which only the problems of XGBoost need."""

    problem: str
    seed: int
    method: str
    evaluations: int = EVALUATIONS
    batch: int = BATCH
    yahpo: Path | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """The values that identify a line of this search by this version of the method."""
        version = METHODS[self.method].version
        return (self.problem, self.seed, self.method, version, self.evaluations, self.batch)

    def __str__(self) -> str:
        return f"{self.problem}, seed {self.seed}, {self.method}"

    def summary(self, record: Record) -> str:
        return f"loss {record['found'][-1]:.6g} in {record['seconds']:.1f} s"

    def run(self) -> Record:
        """Search, and return the line.

        The list `found` has an element for each batch: the expected loss of the point that had the lowest loss so far.
        """
        problem = problems.load(self.problem, self.seed, self.yahpo)
        setting = Setting(
            problem.space.dimensions, FIRST_SEED + self.seed, self.evaluations, self.batch, problem.is_noisy
        )
        searcher = METHODS[self.method].make(setting)
        points, losses, seconds = search(
            searcher, lambda params, _number: problem.observe(params), self.evaluations, self.batch
        )
        ends = range(self.batch, self.evaluations + self.batch, self.batch)
        best = [min(range(len(losses[:end])), key=losses.__getitem__) for end in ends]
        expected = {index: problem.expected(points[index]) for index in set(best)}
        return {
            "problem": self.problem,
            "seed": self.seed,
            "method": self.method,
            "version": METHODS[self.method].version,
            "evaluations": self.evaluations,
            "batch": self.batch,
            "found": [expected[index] for index in best],
            "lowest": problem.lowest,
            "median": problem.median,
            "floor": problem.floor,
            "seconds": round(seconds, 3),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "versions": report.versions(),
        }


def key(record: Record) -> tuple[object, ...]:
    return tuple(record[name] for name in ("problem", "seed", "method", "version", "evaluations", "batch"))


def runs(
    names: Sequence[str],
    methods: Sequence[str],
    seeds: int = SEEDS,
    evaluations: int = EVALUATIONS,
    batch: int = BATCH,
    yahpo: Path | None = None,
) -> list[Run]:
    """Return the searches seed by seed, so that an interrupted command covers all problems and methods."""
    return [
        Run(name, seed, method, evaluations, batch, yahpo)
        for seed in range(seeds)
        for name in names
        for method in methods
        if METHODS[method].why_not is None
    ]
