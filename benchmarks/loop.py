"""The manager's loop around any optimizer with `ask` and `tell`, to compare optimizers in the same loop.

The loop leaves out the other work of `ledger manager`: reaping, logging and recording the surrogate. This favours the
other optimizers.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.ledgers import NAMES, Ledger
from ledger.database import trials
from ledger.database.rows import StudyRow
from ledger.manager.batch import BatchPolicy
from ledger.manager.loop import SHORTEST_POLL
from tests.integration.ledgers import tell


def skopt_optimizer(initial: int, seed: int = 0) -> Any:
    """Return a skopt.Optimizer with the arguments that a study uses."""
    import skopt

    return skopt.Optimizer(
        [(0.0, 1.0)] * len(NAMES),
        "GP",
        n_initial_points=initial,
        acq_func="EI",
        random_state=seed,
        model_queue_size=1,
    )


def search(found: Ledger, row: StudyRow, optimizer: Any, sizes: Sequence[int]) -> None:
    """Ask, insert, wait and tell once for each size. The iterations follow those that the study already has."""
    first = found.iterations(row)
    for index, size in enumerate(sizes):
        points = optimizer.ask(size)
        found.propose(row, first + index, points)
        losses = _losses(found, row, first + index)
        optimizer.tell(points, losses)


def _losses(found: Ledger, row: StudyRow, number: int) -> list[float]:
    with found.db() as db:
        pause = SHORTEST_POLL
        while any(trial.is_open for trial in trials.all_of(db, row.id, iteration=number)):
            time.sleep(pause)
            pause = min(pause * 1.5, BatchPolicy.longest_poll)
        losses = [trial.result for trial in trials.all_of(db, row.id, iteration=number)]
        assert tell(db, row, number, statistics.fmean(losses), min(losses)) == "told"
    return losses
