"""Time and memory of the commands that read a ledger with four studies of a million trials each.

SQL inserts the studies (benchmarks/large.sql). A sampler reads the age of each command's transaction, because an old
snapshot slows all workers down. The peak memory is the maximum resident set size of the command's process.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import report
from benchmarks.ledgers import NAMES, ROOT, Ledger, ledger
from ledger.database.bounds import LARGEST_BATCH
from ledger.database.rows import StudyRow
from ledger.proposals import Observation, ProposalInput, environment, propose
from ledger.study.spec import StudySpec

TRIALS = 1_000_000
# Runs of a command whose time limit is at most a second. Other commands run once.
RUNS = 5
SAMPLE_SECONDS = 0.01
# Number of observations from which the recorded surrogate was fitted.
OBSERVATIONS = 200
# The parameters of large.sql for each study.
STUDIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "batches": lambda _: {"size": 8, "open": 5, "steady": False},
    "steady": lambda _: {"size": 1, "open": 5, "steady": True},
    "one-iteration": lambda trials: {"size": trials, "open": 0, "steady": False},
    "largest-batches": lambda trials: {
        "size": min(trials, LARGEST_BATCH),
        "open": min(trials, LARGEST_BATCH) // 2,
        "steady": False,
    },
}
_ROWS = Path(__file__).parent / "large.sql"
# Runs a command, and prints its exit code, wall time, processor time and peak memory. The kernel counts the memory of
# the process that starts a command, so a small process starts the command.
_TIMER = """
import json, os, sys, time
started = time.perf_counter()
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
seconds, processor = time.perf_counter() - started, used.ru_utime + used.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, processor, used.ru_maxrss * 1024 / 1e6]), file=sys.stderr)
"""
_OLDEST = (
    "select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8 from pg_stat_activity"
    " where application_name = 'ledger command'"
)


@dataclass(frozen=True)
class Target:
    """The arguments of a command, and the most seconds and megabytes that it may take; None without a target."""

    arguments: Sequence[str]
    seconds: float | None = 1.0
    megabytes: float = 100.0


@dataclass(frozen=True)
class Measured:
    """What a command took: wall time, processor time of its process, peak memory, and its oldest transaction."""

    seconds: float
    processor: float
    megabytes: float
    transaction: float


def targets(folder: Path, trials: int) -> list[Target]:
    def output(name: str) -> tuple[str, str]:
        return "--output", str(folder / name)

    page = ("trial", "list", "batches", "--limit", "1000")
    return [
        # the start of the program
        Target(("db", "current")),
        Target(("study", "list")),
        Target(("study", "list", "--state", "running", "--sort", "best", "--limit", "10")),
        *(Target((*command, study)) for study in STUDIES for command in (("status",), ("study", "show"))),
        Target(page),
        Target((*page, "--after", str(trials - 1001))),
        Target((*page, "--state", "failed")),
        Target(("query", "leaderboard")),
        Target(("export", "batches", "--format", "csv", *output("trials.csv")), 30),
        Target(("export", "batches", "--format", "json", *output("study.json")), None),
        Target(("report", "batches", *output("batches.html")), 20, 500),
        Target(("report", "steady", *output("steady.html")), 20, 500),
        Target(("compare", "batches", "steady"), 20),
        Target(("compare", "batches", "steady", *output("comparison.html")), 20, 500),
    ]


def run(*, quick: bool = False) -> str:
    trials, runs = (2_000, 1) if quick else (TRIALS, RUNS)
    rows = []
    with ledger() as found:
        for study in STUDIES:
            fill(found, study, trials)
        for target in targets(found.folder, trials):
            several = runs if target.seconds == 1 else 1
            rows.append(_row(target, [measure(found, target.arguments) for _ in range(several)]))
    header = ["", "s", "target", "met", "of it in the client's processor"]
    header += ["peak memory, MB", "target", "met", "oldest transaction, s"]
    return (
        f"## Commands that read a ledger with {len(STUDIES)} studies of {trials:,} trials each\n\n"
        "The study `batches` has iterations of 8 trials, with failures, retries, lost attempts, and enqueued, imported"
        " and cancelled trials. The study `steady` has an iteration for each trial. The study `one-iteration` has a"
        " single iteration, which has ended, as after an import. The study `largest-batches` has the largest batch"
        " size, and half of the last batch is pending. All studies except the third have running trials. The first"
        " command only connects to the database. The last column is the longest time for which a command held a"
        " snapshot.\n\n" + report.table(header, rows)
    )


def fill(found: Ledger, name: str, trials: int, facts: dict[str, Any] | None = None) -> StudyRow:
    """Insert a study of `STUDIES`, or a study with other parameters of large.sql."""
    facts = facts or STUDIES[name](trials)
    batch_size = 8 if facts["steady"] or facts["size"] > LARGEST_BATCH else facts["size"]
    mode = "steady" if facts["steady"] else "batch"
    row = found.study(name, iterations=trials // batch_size, batch_size=batch_size, mode=mode)
    parameters = {
        **facts,
        "study": row.id,
        "trials": trials,
        "surrogate": json.dumps(_surrogate(row)),
        "environment": json.dumps(environment()),
    }
    with psycopg.connect(found.url) as connection:
        for statement in _ROWS.read_text().split(";\n"):
            if statement.strip():
                connection.execute(statement, parameters)
    with psycopg.connect(found.url, autocommit=True) as connection:
        for table in ("iteration", "trial", "attempt"):
            connection.execute(f"vacuum (analyze) ledger.{table}")
    return row


def measure(found: Ledger, arguments: Sequence[str]) -> Measured:
    """Run a command to its end. If it fails, exit with its last line."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("LEDGER_", "WORKER_"))}
    environ |= {"DATABASE_URL": found.url, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-S", "-c", _TIMER, sys.executable, "-m", "ledger", *arguments]
    with _ages(found) as ages, (found.folder / "output").open("wb") as output:
        ended = subprocess.run(
            command, cwd=found.folder, env=environ, stdout=output, stderr=subprocess.PIPE, check=True, text=True
        )
    *said, figures = ended.stderr.splitlines()
    code, seconds, processor, megabytes = json.loads(figures)
    if code != 0:
        raise SystemExit(f"ledger {' '.join(arguments)} ended with {code}: {said[-1:]}")
    return Measured(seconds, processor, megabytes, max(ages, default=0.0))


@contextmanager
def _ages(found: Ledger) -> Iterator[list[float]]:
    """Sample the age of the commands' oldest transaction."""
    ages: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        with psycopg.connect(found.url, autocommit=True) as connection:
            while not ended.wait(SAMPLE_SECONDS):
                ages.extend(age for (age,) in connection.execute(_OLDEST))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield ages
    finally:
        ended.set()
        thread.join()


def _surrogate(row: StudyRow) -> dict[str, Any] | None:
    """Return the surrogate of a small random history."""
    # A study with large batches has more initial points than the small history.
    resolved = {**row.spec["resolved"], "initial_points": 8}
    study = StudySpec.from_spec(row.name, row.budget, {**row.spec, "batch_size": 8, "resolved": resolved})
    points = propose(study, 0, 0, OBSERVATIONS, ProposalInput()).points
    observations = [Observation(point, sum((point[name] - 0.3) ** 2 for name in NAMES), 1.0) for point in points]
    return propose(study, 1, 0, 1, ProposalInput(observations)).surrogate


def _row(target: Target, measured: Sequence[Measured]) -> list[str]:
    seconds = sorted(each.seconds for each in measured)[len(measured) // 2]
    megabytes = max(each.megabytes for each in measured)
    words = (Path(word).name if word.startswith("/") else word for word in target.arguments)
    of_time = ["", ""]
    if target.seconds is not None:
        of_time = [f"< {target.seconds:g} s", report.reached(seconds, target.seconds, at_least=False)]
    return [
        f"`ledger {' '.join(words)}`",
        report.spread([each.seconds for each in measured]),
        *of_time,
        report.number(min(each.processor for each in measured)),
        report.number(megabytes),
        f"< {target.megabytes:g} MB",
        report.reached(megabytes, target.megabytes, at_least=False),
        report.number(max(each.transaction for each in measured)),
    ]
