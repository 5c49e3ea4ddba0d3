"""Time from the last result of an iteration to the first claim of the next, by the times in the ledger.

The benchmark runs 8 real workers, with trials of 100 ms in batches of 8, after 256 trials. skopt.Optimizer runs in the
same loop with the same workers. One of its turnarounds takes half a minute, so only a few are measured.
"""

import statistics
import warnings

from benchmarks import report
from benchmarks.ledgers import Ledger, ledger
from benchmarks.loop import search, skopt_optimizer
from ledger.database.rows import StudyRow

TRIALS = 256
BATCH = 8
WORKERS = 8
SECONDS = 0.1
OURS, SKOPT = 20, 2
TO_REACH = 0.4

_GAPS = """
select extract(epoch from first_claim - lag(last_result) over (order by iteration))::float8
from (select iteration, min(claimed_at) as first_claim, max(finished_at) as last_result
      from ledger.trials where study_id = %s and iteration >= %s group by iteration) as iterations
order by iteration
"""


def run(*, quick: bool = False) -> str:
    trials, ours, skopt = (32, 3, 1) if quick else (TRIALS, OURS, SKOPT)
    with ledger() as found:
        mine = _ours(found, trials, ours)
        theirs = _skopt(found, trials, skopt)
    middle = statistics.median(mine)
    header = ["", "turnarounds", "s", "relative to ours", "target, p50", "met"]
    first = [
        *("`ledger manager`", str(len(mine)), report.spread(mine), ""),
        *(f"< {TO_REACH:g} s", report.reached(middle, TO_REACH, at_least=False)),
    ]
    ratio = f"{report.number(statistics.median(theirs) / middle)} ×"
    second = ["skopt.Optimizer in the same loop", str(len(theirs)), report.spread(theirs), ratio, "", ""]
    return f"## Time from the last result to the next claim, n ≥ {trials}, batches of {BATCH}\n\n" + report.table(
        header, [first, second]
    )


def _ours(found: Ledger, trials: int, turnarounds: int) -> list[float]:
    first = trials // BATCH
    row = found.study("ours", iterations=first + turnarounds + 1, batch_size=BATCH, function="sleeping")
    found.fill(row, trials, BATCH)
    with found.workers(WORKERS, "ours", SECONDS), found.program("resume", "ours") as manager:
        manager.wait()
    return _gaps(found, row, first)


def _skopt(found: Ledger, trials: int, turnarounds: int) -> list[float]:
    first = trials // BATCH
    row = found.study("skopt", iterations=first + turnarounds + 1, batch_size=BATCH, function="sleeping")
    points, losses = found.fill(row, trials, BATCH)
    optimizer = skopt_optimizer(initial=1)
    with found.workers(WORKERS, "skopt", SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.tell(points, losses)
        search(found, row, optimizer, [BATCH] * turnarounds + [BATCH])
    return _gaps(found, row, first)


def _gaps(found: Ledger, row: StudyRow, first: int) -> list[float]:
    return [gap for (gap,) in found.query(_GAPS, row.id, first) if gap is not None]
