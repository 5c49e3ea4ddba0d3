"""Chaos test of one study: it runs the study under faults, and collects the results."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from ledger.store import Content
from tests.chaos.faults import Fault, Injector
from tests.chaos.fleet import Fleet
from tests.chaos.objective import STEPS
from tests.chaos.studies import NAME, Plan, Result, program, results
from tests.system import disks
from tests.system.disks import Disk
from tests.system.programs import Program
from tests.system.proxy import Proxy
from tests.system.servers import Server

TRIAL_SECONDS = 0.5
# Short, so that a client sometimes gives a half-open connection up before the fault ends.
STATEMENT_SECONDS = "2"
# Seconds that a study has to end after the last fault.
FINISH = 1800.0
# The budget stays ahead of the study by this number of iterations while faults are injected.
AHEAD = 5
# Number of next faults to choose from, if the first one has to wait for the end of another.
IN_HAND = 3
# Size of the disk of the store, in megabytes.
STORE_SIZE = 64

_COUNTS = """
select
  (select count(*) from ledger.trial) as trials,
  (select count(*) from ledger.trial where state in ('complete', 'pruned')) as ended,
  (select count(*) from ledger.trial where state = 'pruned') as pruned,
  (select count(*) from ledger.trial where failures + crashes > 0) as failures,
  (select count(*) from (select from ledger.attempt where outcome = 'complete'
                         group by study_id, trial having count(*) > 1) as twice) as doubled,
  (select count(*) from ledger.trial where not exists (
     select from ledger.attempt
     where attempt.study_id = trial.study_id and attempt.trial = trial.number
       and attempt.loss is not distinct from trial.loss
       and (attempt.claim = trial.claim and attempt.outcome = trial.state
            -- the manager has pruned the trial after a pause
            or attempt.number = trial.attempts and trial.claim is null
               and attempt.outcome = 'paused' and trial.state = 'pruned'))) as without_attempt,
  (select count(*) from ledger.iteration where told_at is null) as untold,
  (select count(*) from ledger.trial where state = 'complete' and %(steps)s <> (
     select count(distinct step) from ledger.reports
     where reports.study_id = trial.study_id and reports.trial = trial.number
       and step < %(steps)s and value = (params ->> 'x')::float8 + step)) as without_reports,
  (select count(*) from ledger.attempt where attempt.number > 1 and exists (
     select from ledger.report
     where report.study_id = attempt.study_id and report.trial = attempt.trial and report.attempt = attempt.number
     having min(step) > 0)) as continued,
  (select count(*) from ledger.attempt
   where outcome = 'complete' and exists (select from ledger.artifact)
     and not exists (select from ledger.artifact
                     where artifact.study_id = attempt.study_id and artifact.trial = attempt.trial
                       and artifact.attempt = attempt.number and artifact.saved_at is not null
                       and artifact.step is null)) as unsaved,
  (select count(*) from ledger.trial where (metrics ->> 'torn')::int > 0) as torn
"""
_ATTEMPTS = "select coalesce(outcome, 'open') as outcome, count(*) as attempts from ledger.attempt group by outcome"


@dataclass(frozen=True)
class Soaked:
    """Result of a chaos test.

    Attributes
    ----------
    seconds : float
        Time from the first fault to the end of the last.
    faults : list of Fault
        The injected faults.
    iterations : int
        The budget at the end.
    counts : mapping
        Numbers of rows in the ledger: trials, ended (complete or pruned trials), pruned, failures (trials with a
        counted failure), doubled (trials with several complete attempts), without_attempt (trials without an attempt of
        the same outcome), untold (iterations), without_reports (complete trials of the objective `rugged` without all
        of its reports), continued (attempts that continued after a checkpoint), unsaved (complete attempts without the
        artifact of their objective), torn (trials that continued after a half-written checkpoint), damaged (artifacts),
        spare (files in the store that belong to no artifact).
    attempts : Counter
        Attempts by outcome; "open" for attempts without one.
    left : list of str
        Processes that exited before the end of the study without being asked. Each was replaced.
    tracebacks, stayed, wrong_exits : list of str
        Logs with a traceback; workers that did not stop when asked at the end; workers that got SIGTERM in the middle
        of a trial and exited with another code than 0.
    outlived : int
        Number of trainers that outlived their killed worker.
    verify : str
        The error of `ledger verify`, or an empty string.
    results, undisturbed : list
        Results of the trials, and of the trials of the same study without faults.
    """

    seconds: float
    faults: list[Fault]
    iterations: int
    counts: dict[str, int]
    attempts: Counter[str]
    left: list[str]
    tracebacks: list[str]
    stayed: list[str]
    wrong_exits: list[str]
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
        Folder for all files, including the logs of all processes.
    kinds : iterable of str
        The kinds of faults in order. The injection ends with the last one.
    pace : float
        Seconds from one fault to the next. A late fault does not delay the later ones.
    seed : int
        Seed of the random choices about the faults.
    calm : callable
        Returns the results of the undisturbed study with a number of iterations. It is called in a thread, while
        `ledger verify` recomputes the disturbed study.
    seconds : float, optional
        The time after which the injection ends.
    grow : bool, optional
        Let the budget grow ahead of the study while faults are injected. Otherwise they end with the study.
    watch : callable, optional
        Called with one line for each event.
    """
    with _disk() as disk, Server(folder / "server") as server, Proxy(server.port) as proxy:
        contents = (folder if disk is None else disk.mount) / "contents"
        contents.mkdir()
        store = contents.with_name("store")
        store.symlink_to(contents)
        ledger = program(folder / "ledger", trial_seconds=0, DATABASE_URL=server.url, LEDGER_STORE=str(store))
        ledger.run("db", "upgrade")
        through = program(
            folder / "study",
            trial_seconds=TRIAL_SECONDS,
            DATABASE_URL=proxy.url(server.url),
            LEDGER_STATEMENT_TIMEOUT=STATEMENT_SECONDS,
            LEDGER_STORE=str(store),
        )
        worker = ["worker", "--study", NAME, "--allow", "tests.chaos"]
        manager = ["manager", str(plan.write(folder)), "--wait"]
        with Fleet(through, workers, worker, manager, plan.iterations, folder / "logs") as fleet:
            injector = Injector(server, proxy, fleet, store, disk, random.Random(seed))
            fleet.keep_until(lambda: _query(server, "select from ledger.attempt"))
            started = time.monotonic()
            for fault in _disturb(fleet, injector, iter(kinds), pace, seconds):
                watch(f"{time.monotonic() - started:6.1f} s  {fault.kind}  {fault.what}")
                if grow:
                    _keep_ahead(server, fleet, plan.batch_size)
            injector.end_all()
            lasted = time.monotonic() - started
            watch(f"{lasted:6.1f} s  the faults have ended")
            fleet.keep_until(lambda: fleet.is_finished, FINISH)
            stayed = fleet.dismiss()
            wrong_exits = fleet.wrong_exits()
        watch("now `ledger verify`, and the same study undisturbed")
        with ThreadPoolExecutor(1) as pool:
            undisturbed = pool.submit(calm, fleet.iterations)
            verify = _verify(ledger)
        (counts,) = _query(server, _COUNTS, steps=STEPS)
        ledger.run("artifact", "sweep")
        counts |= _contents(server, contents)
        return Soaked(
            seconds=lasted,
            faults=injector.injected,
            iterations=fleet.iterations,
            counts=counts,
            attempts=Counter({row["outcome"]: row["attempts"] for row in _query(server, _ATTEMPTS)}),
            left=fleet.left,
            tracebacks=fleet.tracebacks(),
            stayed=stayed,
            wrong_exits=wrong_exits,
            outlived=fleet.outlived,
            verify=verify,
            results=results(ledger),
            undisturbed=undisturbed.result(),
        )


@contextmanager
def _disk() -> Iterator[Disk | None]:
    """Yield a small disk for the store, or None if this process may not mount a disk."""
    if not disks.is_available():
        yield None
        return
    with disks.small_disk(STORE_SIZE) as disk:
        yield disk


def _contents(server: Server, folder: Path) -> dict[str, int]:
    """Return the numbers of damaged artifacts, and of files in the store that belong to no artifact."""
    rows = _query(server, "select content, sha256, size from ledger.artifact where content is not null")
    kept = {folder / Content(row["sha256"], row["size"], row["content"]).path: row["sha256"] for row in rows}
    found = {path: sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}
    return {
        "damaged": sum(found.get(path) != digest for path, digest in kept.items()),
        "spare": len(found.keys() - kept.keys()),
    }


def _disturb(fleet: Fleet, injector: Injector, kinds: Iterator[str], pace: float, seconds: float) -> Iterator[Fault]:
    """Inject and yield one fault after the other, replace exited processes, and end lasting faults in time."""
    following = time.monotonic()
    end = following + seconds
    waiting = list(islice(kinds, IN_HAND))
    while waiting and time.monotonic() < end and not fleet.is_finished:
        kind = next(filter(injector.is_free_for, waiting), None)
        if kind is not None:
            waiting.remove(kind)
            waiting += islice(kinds, 1)
            following += pace
            yield injector.inject(kind)
        injector.pass_time()
        while time.monotonic() < following:
            injector.pass_time()


def _keep_ahead(server: Server, fleet: Fleet, batch_size: int) -> None:
    """Let the budget grow if the study is near its end. The next manager uses the new budget."""
    (row,) = _query(server, "select count(*) as trials from ledger.trial where finished_at is not null")
    if row["trials"] / batch_size + AHEAD > fleet.iterations:
        fleet.extend(fleet.iterations + 2 * AHEAD)
        if fleet.manager is not None:
            fleet.manager.kill()


def _verify(ledger: Program) -> str:
    process = ledger.start("verify", NAME)
    out, error = process.communicate()
    return "" if process.returncode == 0 else f"exit code {process.returncode}: {out}{error}".strip()


def _query(server: Server, statement: str, **parameters: object) -> list[dict[str, Any]]:
    with psycopg.connect(server.url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement, parameters or None).fetchall()
