"""Reports of running trials: reports per second, the cost of a rule of early stopping, and a study with many reports.

Workers are processes of `ledger worker` with an objective that only reports. All times of our reports come from the
database, from the first claim to the last result. They are compared with `trial.report` of Optuna's RDBStorage on the
same kind of server.
"""

import statistics
import time
from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

import psycopg

from benchmarks import large, report
from benchmarks.ledgers import NAMES, Ledger, ledger
from benchmarks.objectives import REPORTS
from ledger.database import protocol
from ledger.database.rows import StudyRow

WORKERS = 8
ROUNDS = 3
# Reports of each trial, and trials of each worker in a round.
STEPS, TRIALS = 5_000, 4
# Reports of each of Optuna's processes in a round.
PEER_STEPS = 100
CLAIMS = 1_000
# Trials with reports, and reports of each trial.
KEPT_TRIALS, KEPT_STEPS = 10_000, 100
# Targets: reports per second, the time of a claim with a rule beside the time of a claim without one, seconds and
# megabytes of the report page.
RATE, GROWTH, SECONDS, MEGABYTES = 5_000, 1.5, 20.0, 500.0

_RULE = '[stopping]\nrule = "halving"\nmax_resource = 81\n'
_REPORTS = """
insert into ledger.report (study_id, trial, attempt, step, loss, reported_at)
select study_id, number, attempts, step, loss + exp(-step / 30.0), claimed_at + step * interval '10 ms'
from ledger.trial cross join generate_series(1, %s) as step
where state = 'complete' and source <> 'imported' and study_id = %s
"""


def run(*, quick: bool = False) -> str:
    """Measure, and return a section of RESULTS.md.

    Parameters
    ----------
    quick : bool
        Use small sizes that only show that the benchmark runs.
    """
    small = 50 if quick else 1
    rounds = 1 if quick else ROUNDS
    parts = [
        _reports_a_second(rounds, STEPS // small, max(2, PEER_STEPS // small)),
        _beside_a_rule(CLAIMS // small),
        _many_reports(KEPT_TRIALS // small, KEPT_STEPS),
    ]
    return "\n".join(["## Reports of running trials\n", *parts])


def _reports_a_second(rounds: int, steps: int, peer_steps: int) -> str:
    with ledger() as found:
        rows = {
            name: found.study(name, iterations=rounds + 1, batch_size=WORKERS * TRIALS, function="reporting", more=more)
            for name, more in (("without", ""), ("halving", _RULE))
        }
        ours = {name: _rates(found, row, rounds, steps) for name, row in rows.items()}
        theirs = _peer_rates(found.database("optuna"), rounds, peer_steps)
    lines = []
    for name, what in (("without", "`ledger worker`"), ("halving", "`ledger worker`, with the rule halving")):
        rate = statistics.median(ours[name])
        met = report.reached(rate, RATE)
        lines.append([what, _spread(ours[name]), f"≥ {RATE:,}", met, *_times(rate, theirs)])
    lines.append(["Optuna's RDBStorage", _spread(theirs) if theirs else "not installed", "", "", ""])
    sizes = f"{WORKERS} workers, {steps:,} reports a trial, median of {rounds} rounds (minimum to maximum)"
    header = ["", "reports per second", "target", "met", "beside Optuna"]
    return f"### Reports per second: {sizes}\n\n" + report.table(header, lines)


def _rates(found: Ledger, row: StudyRow, rounds: int, steps: int) -> list[float]:
    """Have the trials of several iterations report, and return the reports per second of each iteration."""
    rates = []
    with found.workers(WORKERS, row.name, 0.0, **{REPORTS: str(steps)}):
        for iteration in range(rounds + 1):
            size = WORKERS * TRIALS
            # All points of a study differ.
            points = [[(iteration * size + index) / ((rounds + 1) * size)] * len(NAMES) for index in range(size)]
            found.propose(row, iteration, points)
            of_iteration = (row.id, iteration)
            left = "select count(*) from ledger.trials where study_id = %s and iteration = %s and finished_at is null"
            while found.query(left, *of_iteration)[0][0]:
                time.sleep(0.05)
            ((count, seconds),) = found.query(
                "select (select count(*) from ledger.reports join ledger.trials using (study_id, trial)"
                "        where study_id = %s and iteration = %s)::int,"
                " extract(epoch from max(finished_at) - min(claimed_at))::float8"
                " from ledger.trials where study_id = %s and iteration = %s",
                *of_iteration,
                *of_iteration,
            )
            assert count == WORKERS * TRIALS * steps, f"{count} reports are recorded"
            rates.append(count / seconds)
    # Each worker loads its objective in the first iteration.
    return rates[1:]


def _peer_rates(url: str, rounds: int, steps: int) -> list[float]:
    if report.version("optuna") is None:
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=url)
    context = get_context("spawn")
    barrier = context.Barrier(WORKERS + 1)
    processes = [
        context.Process(target=_report_to_optuna, args=(url, study.study_name, rounds, steps, barrier))
        for _ in range(WORKERS)
    ]
    for process in processes:
        process.start()
    rates = []
    for _ in range(rounds):
        barrier.wait()
        started = time.perf_counter()
        barrier.wait()
        rates.append(WORKERS * steps / (time.perf_counter() - started))
    for process in processes:
        process.join()
    return rates


def _report_to_optuna(url: str, name: str, rounds: int, steps: int, barrier: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trial = optuna.load_study(study_name=name, storage=url).ask()
    for round in range(rounds):
        barrier.wait()
        for step in range(steps):
            trial.report(1 / (step + 1), round * steps + step)
        barrier.wait()


def _beside_a_rule(claims: int) -> str:
    """Measure the calls of a worker in a study without a rule and in a study with a rule, in turns."""
    took: dict[str, dict[str, list[float]]] = {}
    with ledger() as found, psycopg.connect(found.url, autocommit=True) as connection:
        names = {"without": "", "halving": _RULE}
        for name, more in names.items():
            row = found.study(name, iterations=1, batch_size=claims, more=more)
            found.propose(row, 0, [[index / claims] * len(NAMES) for index in range(claims)])
        connection.execute("vacuum (analyze)")
        for _ in range(claims):
            for name in names:
                for call, seconds in _one_trial(connection, name):
                    took.setdefault(call, {}).setdefault(name, []).append(seconds)
    rows = []
    for call, of_study in took.items():
        without, with_rule = (1000 * statistics.median(of_study[name]) for name in names)
        ratio = with_rule / without
        met = report.reached(ratio, GROWTH, at_least=False)
        rows.append([call, f"{without:.3f}", f"{with_rule:.3f}", f"{ratio:.2f}", f"≤ {GROWTH}", met])
    header = ["call", "without a rule, ms", "with the rule halving, ms", "ratio", "target", "met"]
    return f"### Time of a call with and without a rule, median of {claims}\n\n" + report.table(header, rows)


def _one_trial(connection: psycopg.Connection[Any], study: str) -> Sequence[tuple[str, float]]:
    moments = [time.perf_counter()]
    (held,) = protocol.claim(connection, study, [protocol.draw_claim()], "w")
    moments.append(time.perf_counter())
    # The steps reach one rung.
    assert protocol.report(connection, held, list(range(9)), [0.5] * 9) == "continue"
    moments.append(time.perf_counter())
    assert protocol.complete(connection, held, 0.5, {}, 0.0) == "recorded"
    moments.append(time.perf_counter())
    calls = ("claim", "report of 9 steps", "complete")
    return [(call, end - start) for call, start, end in zip(calls, moments, moments[1:], strict=False)]


def _many_reports(trials: int, steps: int) -> str:
    page = ("report", "batches", "--output", "page.html")
    commands = [page, ("status", "batches"), ("trial", "reports", "batches", "17"), ("trial", "show", "batches", "17")]
    with ledger() as found:
        large.fill(found, "batches", trials)
        before = [large.measure(found, command) for command in commands]
        ((study,),) = found.query("select id from ledger.study")
        with psycopg.connect(found.url, autocommit=True) as connection:
            connection.execute(_REPORTS, (steps, study))
            connection.execute("vacuum (analyze) ledger.report")
        ((count, size),) = found.query(
            "select count(*)::int, pg_total_relation_size('ledger.report') from ledger.report"
        )
        after = [large.measure(found, command) for command in commands]
    rows = []
    for command, one, other in zip(commands, before, after, strict=True):
        rows.append(
            [
                f"`ledger {' '.join(command)}`",
                *(report.number(measured.seconds) for measured in (one, other)),
                *(report.number(measured.megabytes) for measured in (one, other)),
            ]
        )
        if command == page:
            limits = max(other.seconds / SECONDS, other.megabytes / MEGABYTES)
            rows[-1] += [f"< {SECONDS:g} s, < {MEGABYTES:g} MB", report.reached(limits, 1.0, at_least=False)]
        else:
            rows[-1] += ["", ""]
    header = ["", "without reports, s", "with reports, s", "without reports, MB", "with reports, MB", "target", "met"]
    return (
        f"### A study with {count:,} reports of {trials:,} trials: {size / 1e6:.0f} MB, {size / count:.0f} bytes a"
        " report with its index\n\n" + report.table(header, rows)
    )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def _times(rate: float, theirs: Sequence[float]) -> list[str]:
    return [f"{rate / statistics.median(theirs):.0f} ×" if theirs else ""]
