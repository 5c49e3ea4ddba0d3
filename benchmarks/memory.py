"""Memory of the manager of a large study, and of a waiting worker with its trainer.

The measure is PSS from /proc/PID/smaps_rollup, which counts a shared page by its share. The first trial starts the
trainer. Therefore the worker completes one trial before the measurement; this trial imports no model.
"""

import time
from pathlib import Path

from benchmarks import report
from benchmarks.ledgers import Ledger, ledger

TRIALS = 10_000
# Trials that the manager proposes at once.
SIZE = 8
MANAGER, WORKER = 300.0, 100.0  # upper limits, in MB
# Seconds that the manager has for a proposal from so many points.
PATIENCE = 300.0


def run(*, quick: bool = False) -> str:
    trials = 64 if quick else TRIALS
    with ledger() as found:
        worker = _worker(found)
        peak, settled, seconds = _manager(found, trials)
    rows = [
        _row(f"manager of {trials:,} trials, GP, waiting for workers", settled, MANAGER),
        _row(f"the same manager, maximum during the proposal ({_took(seconds)})", peak, MANAGER),
        _row("waiting worker, with its trainer", worker, WORKER),
    ]
    return "## Memory\n\n" + report.table(["", "PSS, MB", "target", "met"], rows)


def pss(pid: int) -> float:
    """Return the proportional set size of a process and its descendants, in MB (10^6 bytes)."""
    total = 0.0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024 / 1e6
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return total
    return total + sum(pss(int(child)) for child in children)


def _row(what: str, megabytes: float, limit: float) -> list[str]:
    return [what, report.number(megabytes), f"< {limit:g}", report.reached(megabytes, limit, at_least=False)]


def _took(seconds: float) -> str:
    return f"{report.number(seconds)} s" if seconds < PATIENCE else f"not done after {PATIENCE:g} s"


def _worker(found: Ledger) -> float:
    row = found.study("idle", iterations=1, batch_size=1)
    with found.workers(1, "idle") as (pid,):
        with found.program("resume", "idle") as manager:
            manager.wait()
        assert found.iterations(row) == 1
        time.sleep(2)  # the worker is waiting then
        return pss(pid)


def _manager(found: Ledger, trials: int) -> tuple[float, float, float]:
    batch = min(500, trials // 2)
    row = found.study("large", iterations=trials // SIZE + 1, batch_size=SIZE)
    found.fill(row, trials, batch)
    peak = 0.0
    started = time.perf_counter()
    with found.program("resume", "large") as manager:

        def proposed() -> bool:
            nonlocal peak
            peak = max(peak, pss(manager.pid))
            return found.iterations(row) > trials // batch or time.perf_counter() - started > PATIENCE

        found.wait_until(proposed, [manager])
        seconds = time.perf_counter() - started
        time.sleep(1)
        return max(peak, pss(manager.pid)), pss(manager.pid), seconds
