"""Runs a study under faults, and collects the records to check."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.faults import Fault, Injector
from tests.chaos.fleet import Fleet
from tests.chaos.studies import NAME, Plan, Result, program, results
from tests.system.programs import Program
from tests.system.proxy import Proxy
from tests.system.servers import Server

TRIAL_SECONDS = 0.5
# Short, so that a half-open connection is sometimes abandoned before it recovers.
STATEMENT_SECONDS = "2"
# Seconds within which a study has to end after the last fault.
FINISH = 1800.0
# Number of iterations that the budget is ahead of the study while faults are injected.
AHEAD = 5
# Number of faults to choose the next one from, because some have to wait for the end of another.
IN_HAND = 3

_COUNTS = """
select
  (select count(*) from ledger.trial) as trials,
  (select count(*) from ledger.trial where state = 'complete') as complete,
  (select count(*) from ledger.trial where failures > 0) as failures,
  (select count(*) from (select from ledger.attempt where outcome = 'complete'
                         group by study_id, trial having count(*) > 1) as twice) as doubled,
  (select count(*) from ledger.trial left join ledger.attempt on attempt.claim = trial.claim
                                                             and attempt.outcome = 'complete'
                                                             and attempt.loss = trial.loss
   where attempt.claim is null) as without_attempt,
  (select count(*) from ledger.iteration where told_at is null) as untold
"""
_ATTEMPTS = "select coalesce(outcome, 'open') as outcome, count(*) as attempts from ledger.attempt group by outcome"


@dataclass(frozen=True)
class Soaked:
    """The result of a soak test.

    Attributes
    ----------
    seconds : float
        Seconds from the first fault to the end of the last.
    faults : list of Fault
        The faults that were injected.
    iterations : int
        The budget at the end.
    counts : mapping
        Counts of rows: trials, complete, failures (trials with a counted failure), doubled (trials with more than one
        complete attempt), without_attempt (complete trials without a complete attempt), untold (iterations).
    attempts : Counter
        Numbers of attempts by outcome; "open" for attempts without one.
    left : list of str
        Processes that ended by themselves before the end of the study. Each was replaced.
    tracebacks, stayed : list of str
        Logs with a traceback; workers that did not stop properly at the end.
    outlived : int
        Number of trainers that did not end with their worker.
    verify : str
        The difference that `ledger verify` reports; empty without one.
    results, undisturbed : list
        Results of the study, and of the same study without faults.
    """

    seconds: float
    faults: list[Fault]
    iterations: int
    counts: dict[str, int]
    attempts: Counter[str]
    left: list[str]
    tracebacks: list[str]
    stayed: list[str]
    outlived: int
    verify: str
    results: list[Result]
    undisturbed: list[Result]


def soak(
    plan: Plan,
    folder: Path,
    kinds: Iterable[str],
    *,
    workers: int,
    pace: float,
    seed: int,
    calm: Callable[[int], list[Result]],
    seconds: float = float("inf"),
    grow: bool = False,
    watch: Callable[[str], object] = lambda line: None,
) -> Soaked:
    """Run the study while faults are injected, then let it finish.

    Parameters
    ----------
    plan : Plan
        The study.
    folder : Path
        For all files, with the logs of the processes.
    workers : int
        Number of workers.
    kinds : iterable of str
        Kinds of the faults, in order. The faults end with the last one.
    pace : float
        Seconds from one fault to the next. A delay of one fault shortens the wait for the next.
    seed : int
        Seed of the random choices about faults.
    calm : callable
        Returns the results of the study without faults, for a number of iterations. It runs in a thread, while
        `ledger verify` recomputes the study with faults.
    seconds : float, optional
        Duration of the faults.
    grow : bool, optional
        Extend the budget during the faults. Without it, the faults end with the study.
    watch : callable, optional
        Called with a line of text for each event.
    """
    with Server(folder / "server") as server, Proxy(server.port) as proxy:
        ledger = program(folder / "ledger", trial_seconds=0, DATABASE_URL=server.url)
        ledger.run("db", "upgrade")
        through = program(
            folder / "study",
            trial_seconds=TRIAL_SECONDS,
            DATABASE_URL=proxy.url(server.url),
            LEDGER_STATEMENT_TIMEOUT=STATEMENT_SECONDS,
        )
        worker = ["worker", "--study", NAME, "--allow", "tests.chaos"]
        manager = ["manager", str(plan.write(folder)), "--wait"]
        with Fleet(through, workers, worker, manager, plan.iterations, folder / "logs") as fleet:
            injector = Injector(server, proxy, fleet, random.Random(seed))
            fleet.keep_until(lambda: _query(server, "select from ledger.attempt"))
            started = time.monotonic()
            for fault in _disturb(fleet, injector, iter(kinds), pace, seconds):
                watch(f"{time.monotonic() - started:6.1f} s  {fault.kind}  {fault.what}")
                if grow:
                    _keep_ahead(server, fleet)
            injector.end_all()
            lasted = time.monotonic() - started
            watch(f"{lasted:6.1f} s  the faults have ended")
            fleet.keep_until(lambda: fleet.is_finished, FINISH)
            stayed = fleet.dismiss()
        watch("now `ledger verify`, and the same study undisturbed")
        with ThreadPoolExecutor(1) as pool:
            undisturbed = pool.submit(calm, fleet.iterations)
            verify = _verify(ledger)
        (counts,) = _query(server, _COUNTS)
        return Soaked(
            seconds=lasted,
            faults=injector.injected,
            iterations=fleet.iterations,
            counts=counts,
            attempts=Counter({row["outcome"]: row["attempts"] for row in _query(server, _ATTEMPTS)}),
            left=fleet.left,
            tracebacks=fleet.tracebacks(),
            stayed=stayed,
            outlived=fleet.outlived,
            verify=verify,
            results=results(ledger),
            undisturbed=undisturbed.result(),
        )


def _disturb(fleet: Fleet, injector: Injector, kinds: Iterator[str], pace: float, seconds: float) -> Iterator[Fault]:
    """Inject faults one after another and yield each. Keep the processes running, and end faults that last."""
    following = time.monotonic()
    end = following + seconds
    waiting = list(islice(kinds, IN_HAND))
    while waiting and time.monotonic() < end and not fleet.is_finished:
        kind = next((waiting_kind for waiting_kind in waiting if injector.is_free_for(waiting_kind)), None)
        if kind is not None:
            waiting.remove(kind)
            waiting += islice(kinds, 1)
            following += pace
            yield injector.inject(kind)
        injector.pass_time()
        while time.monotonic() < following:
            injector.pass_time()


def _keep_ahead(server: Server, fleet: Fleet) -> None:
    """Extend the budget when the study is close to its end. The next manager applies it."""
    (row,) = _query(server, "select count(*) as told from ledger.iteration where told_at is not null")
    if row["told"] + AHEAD > fleet.iterations:
        fleet.extend(fleet.iterations + 2 * AHEAD)
        if fleet.manager is not None:
            fleet.manager.kill()


def _verify(ledger: Program) -> str:
    process = ledger.start("verify", NAME)
    out, error = process.communicate()
    return "" if process.returncode == 0 else f"exit code {process.returncode}: {out}{error}".strip()


def _query(server: Server, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(server.url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement).fetchall()
