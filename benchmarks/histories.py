"""CPU time of a study's proposal of 4 points after up to 20,000 trials.

As in a manager, a table keeps the encoded points, and the recorded kernel is the start of the next fit. A proposal that
is not counted comes first. The trials have random points of a smooth function.
"""

import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import report
from benchmarks.proposals import ripples
from benchmarks.stopping.ours import KnownTrial, rung_losses
from ledger.proposals import propose
from ledger.proposals.encoding import TrialTable
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

BATCH = 4
DIMENSIONS = 8
SIZES = (60, 1_000, 2_000, 5_000, 20_000)
RUNS = 5
# Upper limits: seconds after 60 and 1,000 trials, and the time after more than 2,000 trials in units of the time after
# 2,000 trials.
SECONDS = {60: 0.1, 1_000: 0.6}
GROWTH, FIRST = 1.2, 2_000


def run(*, quick: bool = False) -> str:
    rows: list[list[str]] = []
    first: float | None = None
    for size in (24,) if quick else SIZES:
        seconds = [_proposal(size, seed) for seed in range(2 if quick else RUNS)]
        middle = statistics.median(seconds)
        first = middle if size == FIRST else first
        target, met = "", ""
        if size in SECONDS:
            target = f"at most {SECONDS[size]:g} s"
            met = report.reached(middle, SECONDS[size], at_least=False)
        elif first is not None and size > FIRST:
            target = f"at most {GROWTH:g} × as after {FIRST:,}"
            met = report.reached(middle / first, GROWTH, at_least=False)
        rows.append([f"{size:,}", report.spread(seconds), target, met])
    return (
        f"## Proposal of {BATCH} points after many trials, GP, EI, {DIMENSIONS} dimensions\n\n"
        "Each value is the CPU time from the results of the last batch to the next points, on one thread.\n\n"
        + report.table(["n", "CPU time, s", "target", "met"], rows)
    )


def last_proposal(study: StudySpec, trials: Sequence[KnownTrial], batch: int) -> float:
    """Return the CPU time in seconds of the proposal of a batch after all trials.

    A proposal that is not counted comes before the last batch of trials, so that the fit starts from its kernel.
    """
    table, at_rungs = TrialTable(study), rung_losses(trials)
    surrogate: Mapping[str, Any] | None = None
    for new in (trials[:-batch], trials[-batch:]):
        started = time.process_time()
        table.put(new)
        iteration = len(table) // batch
        given = table.given(iteration, 0, surrogate, None, at_rungs)
        with warnings.catch_warnings():
            # The optimizer warns that the GP knows only a part of many trials.
            warnings.simplefilter("ignore")
            surrogate = propose(study, iteration, 0, batch, given).surrogate
        taken = time.process_time() - started
    return taken


def study_of_reals(seed: int, batch: int, dimensions: int, **tables: dict[str, Any]) -> StudySpec:
    """Return a study with real parameters in [0, 1], and 10,000 iterations."""
    return assemble(
        {},
        tables={
            "study": {"name": "measured", "iterations": 10_000, "batch_size": batch, "seed": seed},
            "objective": {"function": "benchmarks.histories:train"},
            "space": {f"x{number}": {"type": "real", "low": 0.0, "high": 1.0} for number in range(dimensions)},
            **tables,
        },
    )


def _proposal(size: int, seed: int) -> float:
    study = study_of_reals(seed, BATCH, DIMENSIONS)
    points = SpaceConverter(study.space).random(size, seed=seed)
    trials = [
        KnownTrial(number, number // BATCH, params, "complete", ripples(list(params.values())))
        for number, params in enumerate(points)
    ]
    return last_proposal(study, trials, BATCH)
