"""CPU time of a proposal of 8 points, for a study whose trials were all complete, and for one with pruned trials.

Both studies have the same random points of a smooth function. In the second study, two of three trials were pruned at
one of three rungs, and all trials have a loss at each rung that they reached. A proposal that is not timed comes first,
so that the fit starts from its kernel, as in a long study. The time includes the estimates of the final losses.
"""

import random
import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import report
from benchmarks.proposals import ripples
from benchmarks.stopping.ours import KnownTrial, rung_losses
from ledger.proposals import proposal_input, propose, whole_training
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

BATCH = 8
DIMENSIONS = 8
SIZES = (64, 256, 1000)
RUNS = 5
RUNGS = (2, 6, 18)
TO_REACH = 2.0


def run(*, quick: bool = False) -> str:
    rows = []
    for size in (24,) if quick else SIZES:
        complete, pruned = (
            [_proposal(size, seed, share) for seed in range(2 if quick else RUNS)] for share in (0.0, 2 / 3)
        )
        ratio = statistics.median(pruned) / statistics.median(complete)
        target = (f"at most {TO_REACH:g} ×", report.reached(ratio, TO_REACH, at_least=False))
        rows.append([f"{size:,}", report.spread(complete), report.spread(pruned), f"{report.number(ratio)} ×", *target])
    header = ["n", "all complete, s", "two thirds pruned, s", "pruned / complete", "target", "met"]
    return (
        f"## Proposal of {BATCH} points with pruned trials, GP, EI, {DIMENSIONS} dimensions\n\n"
        "Each value is the CPU time of one proposal, on one thread.\n\n" + report.table(header, rows)
    )


def _proposal(size: int, seed: int, share: float) -> float:
    """Return the CPU time in seconds of the proposal after `size` trials, of which a share was pruned."""
    study = _study(seed)
    trials = [_trial(study, seed, number, share) for number in range(size)]
    surrogate: Mapping[str, Any] | None = None
    before = size - BATCH
    surrogate, _ = _timed(study, trials[:before], before // BATCH, surrogate)
    return _timed(study, trials, size // BATCH, surrogate)[1]


def _timed(
    study: StudySpec, trials: list[KnownTrial], iteration: int, surrogate: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, float]:
    started = time.process_time()
    whole = whole_training(study)
    given = proposal_input(trials, iteration, 0, surrogate, None, rung_losses(trials), whole=whole)
    found = propose(study, iteration, 0, BATCH, given)
    return found.surrogate, time.process_time() - started


def _trial(study: StudySpec, seed: int, number: int, share: float) -> KnownTrial:
    drawn = random.Random(f"{seed} {number}")
    (params,) = SpaceConverter(study.space).random(1, seed=drawn.randrange(2**32))
    loss = ripples(list(params.values()))
    reached = {rung: loss + drawn.uniform(0.5, 1.5) / rung for rung in RUNGS}
    if drawn.random() < share:
        last = drawn.choice(RUNGS)
        reached = {rung: value for rung, value in reached.items() if rung <= last}
        return KnownTrial(number, number // BATCH, params, "pruned", pruned_loss=reached[last], at_rungs=reached)
    return KnownTrial(number, number // BATCH, params, "complete", loss, at_rungs=reached)


def _study(seed: int) -> StudySpec:
    tables: dict[str, dict[str, Any]] = {
        "study": {"name": "measured", "iterations": 1000, "batch_size": BATCH, "seed": seed},
        "objective": {"function": "benchmarks.pruned:train"},
        "space": {f"x{number}": {"type": "real", "low": 0.0, "high": 1.0} for number in range(DIMENSIONS)},
        "stopping": {"rule": "halving", "min_resource": RUNGS[0], "max_resource": 52},
    }
    return assemble({}, tables=tables)
