"""CPU time of a proposal of 8 points, for studies with and without a rule of early stopping.

All studies have the same random points of a smooth function. In the studies with a rule, the trials have a loss at each
rung that they reached, and a share of the trials was pruned at one of three rungs. As in a manager, a table keeps the
encoded points. A proposal that is not timed comes first, so that the fit starts from its kernel, as in a long study.
"""

import random
import statistics

from benchmarks import report
from benchmarks.histories import last_proposal, study_of_reals
from benchmarks.proposals import ripples
from benchmarks.stopping.ours import KnownTrial
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.spec import StudySpec

BATCH = 8
DIMENSIONS = 8
SIZES = (64, 256, 512, 1000)
RUNS = 5
RUNGS = (2, 6, 18)
SHARES = {0.0: "all complete", 1 / 3: "a third pruned", 2 / 3: "two thirds pruned"}
TO_REACH = 2.0


def run(*, quick: bool = False) -> str:
    rows = []
    for size in (24,) if quick else SIZES:
        runs = range(2 if quick else RUNS)
        without, *others = ([_proposal(size, seed, share) for seed in runs] for share in (None, *SHARES))
        ratios = [statistics.median(each) / statistics.median(without) for each in others]
        met = report.reached(max(ratios), TO_REACH, at_least=False)
        rows.append(
            [
                *(f"{size:,}", *(report.spread(each) for each in (without, *others))),
                *(f"{report.number(ratio)} ×" for ratio in ratios),
                *(f"at most {TO_REACH:g} ×", met),
            ]
        )
    header = [
        *("n", "no rule, s", *(f"{share}, s" for share in SHARES.values())),
        *(*(f"{share} / no rule" for share in SHARES.values()), "target", "met"),
    ]
    return (
        f"## Proposal of {BATCH} points with early stopping, GP, EI, {DIMENSIONS} dimensions\n\n"
        "Each value is the CPU time of one proposal, on one thread. In the studies with a rule, each trial has a loss"
        " at each of three rungs that it reached.\n\n" + report.table(header, rows)
    )


def _proposal(size: int, seed: int, share: float | None) -> float:
    """Return the CPU time in seconds of the proposal after `size` trials, of which a share was pruned.

    If the share is None, the study has no rule of early stopping.
    """
    stopping = {"rule": "halving", "min_resource": RUNGS[0], "max_resource": 52}
    study = study_of_reals(seed, BATCH, DIMENSIONS, **({} if share is None else {"stopping": stopping}))
    return last_proposal(study, [_trial(study, seed, number, share or 0.0) for number in range(size)], BATCH)


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
