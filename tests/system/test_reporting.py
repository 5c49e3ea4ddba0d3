"""Workers that deliver the reports of their objectives, also after an outage, a crash or a replaced claim."""

import os
import signal

import psycopg
import pytest

from tests.databases import migrated_template, name_of, new_database
from tests.system.programs import PATIENCE, Program, alive, own_study, wait_for_text, wait_until
from tests.system.servers import VERSIONS, Server

OBJECTIVE = """
import os, pathlib, time

def wait(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.02)

def epochs(params, context):
    for epoch in range(5):
        context.report(params["x"] - epoch, epoch)
    pathlib.Path(f"begun{context.attempt}").write_text(str(os.getpid()))
    wait(f"more{context.attempt}")
    for epoch in range(5, 5000):
        context.report(params["x"] - epoch, epoch)
    context.report(float("nan"), 5000)
    pathlib.Path(f"reported{context.attempt}").touch()
    wait(f"go{context.attempt}")
    return params["x"]

def crashes(params, context):
    context.report(params["x"], 0)
    if context.trial == 1:
        raise ValueError("no")
    os._exit(3)

def short(params, context):
    for step in range(3):
        context.report(context.trial + step / 10, step, {"rate": step / 8} if step else None)
    return params["x"]

def too_many(params, context):
    for step in range(10**6):
        context.report(0.5, step)

def forges(params, context):
    from ledger.objectives import reporting
    for step in range(10**6):
        reporting._receiver.send(step, 0.5, None)
    time.sleep(1000)

METRICS = {f"{number:0300d}": 0.5 for number in range(32)}

def too_large(params, context):
    for step in range(10**4):
        context.report(0.5, step, METRICS)

def forges_metrics(params, context):
    from ledger.objectives import reporting
    for step in range(10**4):
        reporting._receiver.send(step, 0.5, METRICS)
    time.sleep(1000)
"""
# 20 MB have room for this number of reports with METRICS.
MOST_WITH_METRICS = 2_022


@pytest.fixture(scope="module", params=VERSIONS)
def postgres(tmp_path_factory, request):
    with Server(tmp_path_factory.mktemp("server"), version=request.param) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def template(postgres):
    with migrated_template(postgres.url) as name:
        yield name


@pytest.fixture
def url(postgres, template):
    """Yield the URL of a separate, migrated database."""
    with new_database(postgres.url, template) as url:
        yield postgres.url.replace("/postgres", f"/{name_of(url)}")


def ask(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


class Search:
    """A manager and workers of a study whose objective reports."""

    def __init__(self, folder, url, function, **limits):
        own_study(folder, OBJECTIVE, function, **{"batch_size": 1, "heartbeat": 0.5, "lease": 5.0, **limits})
        self.folder, self.url = folder, url
        self.program = Program(folder, DATABASE_URL=url, LEDGER_STATEMENT_TIMEOUT="1")
        self.logs, self.started = [], []
        self.manager = self.start("manager", "own.toml")
        wait_until(lambda: ask(url, "select from ledger.trial"))

    def start(self, *command):
        self.logs.append(self.folder / f"{len(self.logs)}.log")
        with self.logs[-1].open("w") as log:
            self.started.append(self.program.start(*command, log=log))
        return self.started[-1]

    def worker(self, attempt=None):
        worker = self.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
        if attempt is not None:
            wait_for_text(self.folder / f"begun{attempt}")
        return worker

    def touch(self, *names):
        for name in names:
            (self.folder / name).touch()

    def reports(self):
        return ask(self.url, "select attempt, count(*)::int, count(loss)::int from ledger.report group by 1 order by 1")

    def end(self):
        for process in self.started:
            assert process.wait(PATIENCE) == 0, "".join(log.read_text() for log in self.logs)
        assert "Traceback" not in "".join(log.read_text() for log in self.logs)

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def searching(tmp_path, url):
    searches = []

    def search(function="epochs", **limits):
        searches.append(Search(tmp_path, url, function, **limits))
        return searches[-1]

    yield search
    for each in searches:
        each.close()


def test_reports_arrive_during_the_training(searching):
    search = searching(heartbeat=60.0, lease=600.0)
    search.worker(1)
    wait_until(lambda: search.reports() == [(1, 5, 5)])
    assert ask(search.url, "select state from ledger.trial") == [("running",)]
    search.touch("more1", "go1")
    search.end()
    assert search.reports() == [(1, 5001, 5000)]
    wrong = "select from ledger.reports as r join ledger.trials as t using (trial) where r.value <> t.value - step"
    assert ask(search.url, wrong) == []


def test_reports_of_an_outage_are_delivered_in_order(searching, postgres):
    search = searching()
    search.worker(1)
    wait_until(lambda: search.reports() == [(1, 5, 5)])
    postgres.stop("immediate")
    search.touch("more1")
    # the objective does not wait for the database
    wait_until((search.folder / "reported1").exists)
    wait_until(lambda: "trying again" in search.logs[1].read_text())
    postgres.start()
    search.touch("go1")
    search.end()
    assert search.reports() == [(1, 5001, 5000)]
    assert ask(search.url, "select state, attempts from ledger.trial") == [("complete", 1)]
    late = "select from ledger.report join ledger.trial on number = trial where reported_at > finished_at"
    assert ask(search.url, late) == []
    unordered = "select from (select reported_at < lag(reported_at) over (order by step) as back from ledger.report)"
    assert ask(search.url, f"{unordered} as rows where back") == []


def test_a_stale_report_ends_the_training_and_not_the_worker(searching):
    search = searching()
    worker = search.worker(1)
    trainer = int((search.folder / "begun1").read_text())
    wait_until(lambda: search.reports() == [(1, 5, 5)])
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: ask(search.url, "select lost from ledger.trial") == [(1,)])
    search.worker(2)
    search.touch("more1")
    wait_until((search.folder / "reported1").exists)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: not alive(trainer))
    search.touch("more2", "go2")
    search.end()
    assert search.reports() == [(1, 5, 5), (2, 5001, 5000)]


def test_a_worker_that_is_killed_leaves_whole_reports(searching):
    search = searching()
    worker = search.worker(1)
    search.touch("more1")
    wait_until(lambda: search.reports())
    worker.kill()
    search.started.remove(worker)
    worker.wait()
    search.worker(2)
    search.touch("more2", "go2")
    search.end()
    (first, second) = search.reports()
    assert 5 <= first[1] <= 5001
    assert second == (2, 5001, 5000)


def test_a_worker_that_leaves_delivers_its_reports(searching):
    search = searching(heartbeat=60.0, lease=600.0)
    search.program._environment["LEDGER_WORKER_GRACE"] = "0.5"
    worker = search.worker(1)
    search.touch("more1")
    wait_until((search.folder / "reported1").exists)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert search.reports() == [(1, 5001, 5000)]
    assert ask(search.url, "select outcome from ledger.attempt") == [("released",)]


def test_the_reports_of_a_failed_attempt_are_kept(searching):
    search = searching("crashes", batch_size=2, max_crashes=1)
    search.worker()
    for process in search.started:
        process.wait(PATIENCE)
    joined = "ledger.reports join ledger.attempts using (trial, attempt)"
    rows = ask(search.url, f"select trial, outcome, step from {joined} where trial < 2 order by 1")
    assert rows == [(0, "crashed", 0), (1, "failed", 0)]


def test_short_trials_claimed_together_report_before_their_results(searching):
    search = searching("short", batch_size=20)
    search.worker()
    search.end()
    rows = ask(search.url, "select trial, array_agg(value order by step) from ledger.reports group by 1 order by 1")
    assert rows == [(number, [number + step / 10 for step in range(3)]) for number in range(20)]
    metrics = ask(search.url, "select array_agg(metrics order by step) from ledger.reports group by trial")
    assert metrics == [([None, {"rate": 0.125}, {"rate": 0.25}],)] * 20
    assert ask(search.url, "select sum(attempts - 1)::int from ledger.trial where state <> 'complete'") == [(None,)]


@pytest.mark.parametrize(
    ("function", "error", "most"),
    [
        ("too_many", "ValueError: the objective reports more than 100,000 values: report fewer steps", 100_000),
        ("forges", "malformed answer (the attempt has reported more than 100,000 values)", 100_000),
        ("too_large", "ValueError: the objective reports metrics of more than 20,000,000 bytes", MOST_WITH_METRICS),
        (
            "forges_metrics",
            "malformed answer (the attempt has reported metrics of more than 20,000,000 bytes)",
            MOST_WITH_METRICS,
        ),
    ],
)
def test_too_many_reports_fail_the_attempt(searching, function, error, most):
    search = searching(function, max_failures=1)
    search.worker()
    for process in search.started:
        process.wait(PATIENCE)
    ((said,),) = ask(search.url, "select error from ledger.trial where state = 'failed'")
    assert error in said
    ((count,),) = ask(search.url, "select count(*) from ledger.report")
    assert count == most
