"""Cost of claims: trials per second, the time of a claim beside a million trials, and the delay of a claim.

Workers are processes of `ledger worker` with an objective that does nothing. They are compared with processes that only
call the same functions, either with 32 claims and 32 results in each call, as a worker does for short trials, or one by
one. They are also compared with Optuna's RDBStorage. All times of our trials come from the database, from the first
claim to the last result.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection

from benchmarks import optuna_storage, report
from ledger import embedded
from ledger.database import migration, protocol, studies
from ledger.database.connection import engine
from ledger.database.rows import StudyRow
from ledger.worker.claim_size import LARGEST_CLAIM
from tests.integration.ledgers import finish, propose

WORKERS = (1, 4, 8, 32)
TRIALS = 4000
# Divisor of the number of trials for calls one by one, which take longer.
FEWER = 4
ROUNDS = 3
FINISHED = (1_000, 1_000_000)
CLAIMS = 1000
INSERTS = 200
# Each of these waits for half a second on average.
POLLED = 20
IDLE_WORKERS = 4
# Targets: share of the calls alone, multiple of Optuna with 8 workers, growth beside a million trials, delay in ms.
SHARE, TIMES, GROWTH, P50, P99 = 0.7, 30, 1.2, 5.0, 25.0

_SPEC = {
    "batch_size": 1,
    "seed": 0,
    "objective": {"function": "nothing:loss"},
    "space": [],
    "optimizer": {},
    "limits": {
        "max_failures": 3,
        "max_crashes": 3,
        "max_lost": 20,
        "lease": 30.0,
        "heartbeat": 10.0,
        "trial_timeout": None,
    },
}
_FINISHED = """
with iteration as (
  insert into ledger.iteration
    (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)
  select %(study)s, k, 10 * k, 0, 10, now(), 0, 0, '{}' from generate_series(0, %(trials)s / 10 - 1) as k)
insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, state, attempts,
  finished_at, loss, metrics, claim, worker, claimed_at)
select %(study)s, n, n / 10, 0, 'proposed', jsonb_build_object('x', n), now(), 'complete', 1,
  now(), random(), '{}', gen_random_uuid(), 'w', now()
from generate_series(0, %(trials)s - 1) as n
"""
_THEIR_ATTEMPTS = """
insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, loss, seconds)
select claim, study_id, number, 1, 'w', now(), now(), 'complete', loss, 0 from ledger.trial where state = 'complete'
"""


def run(*, quick: bool = False) -> str:
    """Measure, and return a section of RESULTS.md.

    Parameters
    ----------
    quick : bool
        Use small sizes that only show that the benchmark runs.
    """
    small = 20 if quick else 1
    with _ledger() as (url, folder):
        ours, alone = _trials_a_second(
            url, folder, TRIALS // small, 1 if quick else ROUNDS, WORKERS[: 2 if quick else 4]
        )
        parts = [
            alone,
            _beside_optuna(ours, quick=quick),
            _beside_finished_trials(url, [count // small for count in FINISHED], CLAIMS // small),
            _until_claimed(url, folder, INSERTS // small, max(2, POLLED // small)),
        ]
    return "\n".join(["## Claims through real workers\n", *parts])


@contextmanager
def _ledger() -> Iterator[tuple[str, Path]]:
    """Yield the URL of a new ledger on a separate server, and a folder with the objective."""
    with tempfile.TemporaryDirectory() as name, embedded.running(Path(name) / "home", create=True) as url:
        _migrate(url)
        folder = Path(name) / "objective"
        folder.mkdir()
        (folder / "nothing.py").write_text("def loss(params):\n    return 0.5\n")
        yield url, folder


def _migrate(url: str) -> None:
    with engine(url).connect() as connection:
        migration.upgrade(connection)


def _study(db: Connection, name: str) -> StudyRow:
    row = studies.create(db, name, _SPEC, "", 1, {})
    assert row is not None
    return row


def _propose(db: Connection, row: StudyRow, iteration: int, trials: int) -> None:
    points = [{"x": 1e6 * iteration + index} for index in range(trials)]
    propose(db, row, iteration, points)


@contextmanager
def _workers(url: str, folder: Path, count: int, study: str) -> Iterator[None]:
    """Run processes of `ledger worker`, after they have all announced themselves."""
    command = [sys.executable, "-m", "ledger", "worker", "--study", study, "--allow", "nothing", "--until-complete"]
    environment = {**os.environ, "DATABASE_URL": url, "OMP_NUM_THREADS": "1"}
    with (folder / f"{study}.log").open("w") as log, psycopg.connect(url, autocommit=True) as connection:
        here = "select count(*) from ledger.worker where stopped_at is null"
        before = _value(connection, here)
        processes = [
            subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdin=subprocess.DEVNULL)
            for _ in range(count)
        ]
        while _value(connection, here) < before + count:
            time.sleep(0.05)
        yield
        with engine(url).connect() as db:
            finish(db, studies.get(db, study), "complete")
        for process in processes:
            process.wait()


def _value(connection: psycopg.Connection[Any], statement: str, *parameters: object) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]


# Trials per second.


def _trials_a_second(
    url: str, folder: Path, trials: int, rounds: int, workers: Sequence[int]
) -> tuple[dict[int, list[float]], str]:
    header = ["workers", "`ledger worker`", f"only the calls, {LARGEST_CLAIM} trials a call", "ratio", "target", "met"]
    header += ["only the calls, one trial a call", "ratio"]
    rows, rates = [], {}
    for count in workers:
        ours, together, single = [], [], []
        for round in range(rounds):
            name = f"n{count}-{round}"
            ours.append(_rate(url, f"{name}-workers", trials, partial(_workers, url, folder, count)))
            together.append(_rate(url, f"{name}-together", trials, partial(_bare, url, count, LARGEST_CLAIM)))
            single.append(_rate(url, f"{name}-single", trials // FEWER, partial(_bare, url, count, 1)))
        rates[count] = ours
        of_together, of_single = (statistics.median(ours) / statistics.median(one) for one in (together, single))
        rows.append(
            [
                *(str(count), _spread(ours), _spread(together), f"{of_together:.2f}"),
                *(f"≥ {SHARE}", report.reached(of_together, SHARE), _spread(single), f"{of_single:.2f}"),
            ]
        )
    sizes = f"{trials} trials a round ({trials // FEWER} for one trial a call)"
    title = f"### Trials per second: {sizes}, median of {rounds} rounds (minimum to maximum)\n\n"
    return rates, title + report.table(header, rows)


def _beside_optuna(ours: Mapping[int, Sequence[float]], *, quick: bool) -> str:
    title = "### Trials per second compared with Optuna's RDBStorage\n\n"
    if report.version("optuna") is None:
        return f"{title}not measured: optuna is not installed\n"
    theirs = optuna_storage.measure(quick=quick)
    rows = []
    for count in ours:
        found = {kind: rates[count] for kind, rates in theirs.items() if count in rates}
        if found:
            times = statistics.median(ours[count]) / max(map(statistics.median, found.values()))
            target = count == max(optuna_storage.WORKERS)
            rows.append(
                [
                    *(str(count), _spread(ours[count]), *map(report.spread, found.values()), f"{times:.0f} ×"),
                    *((f"≥ {TIMES} ×", report.reached(times, TIMES)) if target else ("", "")),
                ]
            )
    header = ["workers", "`ledger worker`", *(f"Optuna, {kind}" for kind in theirs), "ours / the faster of Optuna's"]
    return title + report.table([*header, "target", "met"], rows)


def _rate(url: str, study: str, trials: int, work: Callable[[str], Any]) -> float:
    """Have the trials of a new study completed, and return the trials per second."""
    with engine(url).connect() as connection:
        db = connection
        row = _study(db, study)
        with psycopg.connect(url, autocommit=True) as asks:
            with work(study):
                # one for each worker to get ready on, and then those that count
                _propose(db, row, 0, 64)
                _wait(asks, row, 64)
                _propose(db, row, 1, trials)
                _wait(asks, row, 64 + trials)
            seconds = _value(
                asks,
                "select extract(epoch from max(finished_at) - min(claimed_at))::float8 from ledger.trial"
                " where study_id = %s and iteration = 1",
                row.id,
            )
    return trials / float(seconds)


def _wait(connection: psycopg.Connection[Any], row: StudyRow, complete: int) -> None:
    left = "select count(*) from ledger.trial where study_id = %s and state in ('pending', 'running')"
    while _value(connection, left, row.id) > 0:
        time.sleep(0.05)
    done = _value(connection, "select count(*) from ledger.trial where study_id = %s and state = 'complete'", row.id)
    assert done == complete, f"{done} of {complete} trials are complete"


@contextmanager
def _bare(url: str, count: int, together: int, study: str) -> Iterator[None]:
    context = get_context("spawn")
    ready = context.Barrier(count + 1)
    processes = [context.Process(target=_call, args=(url, study, together, ready)) for _ in range(count)]
    for process in processes:
        process.start()
    ready.wait()
    yield
    with engine(url).connect() as db:
        finish(db, studies.get(db, study), "complete")
    for process in processes:
        process.join()


def _call(url: str, study: str, together: int, ready: Any) -> None:
    name = f"bare-{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        protocol.announce(connection, name, "here", os.getpid(), {})
        protocol.listen(connection)
        ready.wait()
        while True:
            claims = [protocol.draw_claim() for _ in range(together)]
            if held := protocol.claim(connection, study, claims, name):
                protocol.complete_together(connection, [protocol.CompletedTrial(each, 0.5, {}, 0.0) for each in held])
            elif protocol.ended(connection, study):
                break
            else:
                list(connection.notifies(timeout=1, stop_after=1))
        protocol.announce(connection, name, "here", os.getpid(), {}, stopped=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


# The time of a claim in a ledger with many finished trials.


def _beside_finished_trials(url: str, finished: Sequence[int], claims: int) -> str:
    databases = []
    with psycopg.connect(url, autocommit=True) as connection:
        for count in finished:
            connection.execute(f"create database finished_{count}".encode())
            databases.append(make_conninfo(url, dbname=f"finished_{count}"))
    rows = []
    for count, database in zip(finished, databases, strict=True):
        _migrate(database)
        with engine(database).connect() as own, psycopg.connect(database, autocommit=True) as connection:
            db = own
            row = _study(db, "s")
            connection.execute(_FINISHED, {"study": row.id, "trials": count})
            connection.execute(_THEIR_ATTEMPTS)
            # twice as many, for those that are claimed by 32
            _propose(db, row, count // 10, claims + LARGEST_CLAIM * (claims // 10))
            connection.execute("vacuum (analyze)")
            connection.execute("checkpoint")
    took: dict[str, list[list[float]]] = {what: [[] for _ in finished] for what in ("claim", "complete", "claim of 32")}
    connections = [psycopg.connect(database, autocommit=True) for database in databases]
    for number in range(claims):
        # in turns, so that other load on the machine affects all databases equally
        for index, connection in enumerate(connections):
            started = time.perf_counter()
            held = protocol.claim(connection, "s", [protocol.draw_claim()], "w")
            claimed = time.perf_counter()
            assert protocol.complete(connection, held[0], 0.5, {}, 0.0) == "recorded"
            took["claim"][index].append(claimed - started)
            took["complete"][index].append(time.perf_counter() - claimed)
            if number % 10 == 0:
                claims_ahead = [protocol.draw_claim() for _ in range(LARGEST_CLAIM)]
                started = time.perf_counter()
                assert len(protocol.claim(connection, "s", claims_ahead, "w")) == LARGEST_CLAIM
                took["claim of 32"][index].append(time.perf_counter() - started)
    for connection in connections:
        connection.close()
    for what, all_seconds in took.items():
        medians = [1000 * statistics.median(seconds) for seconds in all_seconds]
        ratio = medians[-1] / medians[0]
        reached = report.reached(ratio, GROWTH, at_least=False)
        rows.append([what, *(f"{one:.3f}" for one in medians), f"{ratio:.2f}", f"≤ {GROWTH}", reached])
    sizes = f"median of {claims} ({claims // 10} claims of 32)"
    title = f"### Time of a call in a ledger with many finished trials, {sizes}\n\n"
    header = ["call", *(f"{count:,} finished, ms" for count in finished), "ratio", "target", "met"]
    return title + report.table(header, rows)


# The delay between an insert and the claim.


def _until_claimed(url: str, folder: Path, inserts: int, polled: int) -> str:
    ours = "new trials, idle workers"
    measured = {
        ours: _latencies(url, folder, "notified", inserts, notify=True),
        "new trials, idle workers that only poll": _latencies(url, folder, "polled", polled, notify=False),
        "NOTIFY to another session and back": _round_trips(url, inserts),
    }
    rows = []
    for what, seconds in measured.items():
        p50, p99 = (1000 * statistics.quantiles(seconds, n=100, method="inclusive")[one] for one in (49, 98))
        reached = report.reached(max(p50 / P50, p99 / P99), 1.0, at_least=False)
        target = [f"< {P50:g}, < {P99:g}", reached] if what == ours else ["", ""]
        rows.append([what, str(len(seconds)), f"{p50:.1f}", f"{p99:.1f}", *target])
    title = f"### Delay between the insert of a trial and its claim, {IDLE_WORKERS} idle workers\n\n"
    return title + report.table(["", "samples", "p50, ms", "p99, ms", "target", "met"], rows)


def _latencies(url: str, folder: Path, study: str, inserts: int, *, notify: bool) -> list[float]:
    with engine(url).connect() as connection, psycopg.connect(url, autocommit=True) as asks:
        db = connection
        row = _study(db, study)
        with _workers(url, folder, IDLE_WORKERS, study):
            # the first trials have to wait until the trainers have started
            for number in range(inserts + 2 * IDLE_WORKERS):
                if notify:
                    _propose(db, row, number, 1)
                else:
                    _insert_silently(asks, row, number)
                _wait(asks, row, number + 1)
                # the workers are idle again then
                time.sleep(0.02)
            rows = asks.execute(
                "select extract(epoch from claimed_at - available_at)::float8 from ledger.trial"
                " where study_id = %s order by number offset %s",
                (row.id, 2 * IDLE_WORKERS),
            ).fetchall()
    return [seconds for (seconds,) in rows]


def _insert_silently(connection: psycopg.Connection[Any], row: StudyRow, number: int) -> None:
    connection.execute(
        "with iteration as (insert into ledger.iteration"
        " (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)"
        " values (%(study)s, %(number)s, %(number)s, 0, 1, now(), 0, 0, '{}'))"
        " insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)"
        " values (%(study)s, %(number)s, %(number)s, 0, 'proposed', jsonb_build_object('x', %(number)s::int),"
        " ledger.clock())",
        {"study": row.id, "number": number},
    )


def _round_trips(url: str, count: int) -> list[float]:
    """Return the seconds from a NOTIFY until another session's NOTIFY arrives in answer."""

    def answer() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("listen there")
            ready.set()
            for _ in range(count):
                list(connection.notifies(stop_after=1))
                connection.execute("notify back")

    ready = threading.Event()
    thread = threading.Thread(target=answer)
    took = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("listen back")
        thread.start()
        ready.wait()
        for _ in range(count):
            started = time.perf_counter()
            connection.execute("notify there")
            list(connection.notifies(stop_after=1))
            took.append(time.perf_counter() - started)
    thread.join()
    return took
