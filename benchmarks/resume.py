"""Time from the start of `ledger resume` until the next batch is inserted, for studies of 1,000 and a million trials.

The history is generated, so the first manager finds no recorded kernel. Its time is not counted. Each later manager is
a new process, as after a kill. It starts after the batch of the manager before it has been completed. The comparison is
a search that keeps its optimizer in memory: after a restart, it has to tell skopt.Optimizer every batch again.

SQL inserts the history of a million trials (benchmarks/large.sql). The manager runs once, and the peak memory is the
maximum resident set size of its process.
"""

import statistics
import time
import warnings
from pathlib import Path

from benchmarks import large, report
from benchmarks.growth import extrapolated
from benchmarks.ledgers import NAMES, ledger
from benchmarks.proposals import history, ripples

TRIALS = 1000
BATCH = 8
RUNS = 5
SKOPT_SIZES = (64, 256)
TO_REACH = 3.0
# Upper limits for a million trials, in seconds and in MB.
MOST_SECONDS, MOST_MEGABYTES = 10.0, 400.0


def run(*, quick: bool = False) -> str:
    trials, runs, sizes = (40, 2, (16, 32)) if quick else (TRIALS, RUNS, SKOPT_SIZES)
    many = 2_000 if quick else large.TRIALS
    ours = resumed(trials, runs)
    tells = {size: statistics.median(told(size, seed) for seed in range(2)) for size in sizes}
    replay = sum(extrapolated(tells, size) for size in range(BATCH, trials + 1, BATCH))
    middle = statistics.median(ours)
    seconds, megabytes = resumed_once(many)
    return f"## Resume of a GP study with {trials:,} trials, until the next {BATCH} are inserted\n\n" + report.table(
        ["", "s", "target", "met"],
        [
            [
                "`ledger resume`, with the start of Python",
                report.spread(ours),
                f"< {TO_REACH:g} s",
                report.reached(middle, TO_REACH, at_least=False),
            ],
            [
                f"skopt.Optimizer, all tells of {BATCH} again; extrapolated from its tells at "
                + " and ".join(f"{size} ({report.number(seconds)} s)" for size, seconds in tells.items()),
                f"~ {report.number(replay)}",
                "",
                f"{report.number(replay / middle)} × ours",
            ],
            [
                f"`ledger resume` of {many:,} trials",
                report.number(seconds),
                f"< {MOST_SECONDS:g} s",
                report.reached(seconds, MOST_SECONDS, at_least=False),
            ],
            [
                "its peak memory, MB",
                report.number(megabytes),
                f"< {MOST_MEGABYTES:g} MB",
                report.reached(megabytes, MOST_MEGABYTES, at_least=False),
            ],
        ],
    )


def resumed(trials: int, runs: int) -> list[float]:
    seconds = []
    with ledger() as found:
        first = trials // BATCH
        row = found.study("resumed", iterations=first + runs + 2, batch_size=BATCH)
        found.fill(row, trials, BATCH)
        for number in range(first, first + runs + 1):
            started = time.perf_counter()
            with found.program("resume", "resumed") as manager:
                found.wait_until(lambda: found.iterations(row) > number, [manager])  # noqa: B023, called in this round
                seconds.append(time.perf_counter() - started)
            found.finish(row, number)
    return seconds[1:]


def resumed_once(trials: int) -> tuple[float, float]:
    """Return the seconds until the next batch, and the peak memory of the manager in MB."""
    with ledger() as found:
        row = large.fill(found, "many", trials, {"size": BATCH, "open": 0, "steady": False})
        before = found.iterations(row)
        started = time.perf_counter()
        with found.program("resume", "many") as manager:
            found.wait_until(lambda: found.iterations(row) > before, [manager])
            seconds = time.perf_counter() - started
            status = Path(f"/proc/{manager.pid}/status").read_text().split()
        return seconds, int(status[status.index("VmHWM:") + 1]) * 1024 / 1e6


def told(size: int, seed: int) -> float:
    """Return the seconds of skopt's tell of the batch that completes `size` points."""
    import skopt

    search = skopt.Optimizer([(0.0, 1.0)] * len(NAMES), "GP", n_initial_points=1, acq_func="EI", random_state=seed)
    points, losses = history(size, len(NAMES), seed)
    search.tell(points[:-BATCH], losses[:-BATCH], fit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        search.tell(points[-BATCH:], [ripples(point) for point in points[-BATCH:]])
        return time.perf_counter() - started
