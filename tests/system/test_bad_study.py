"""A study whose objective a worker cannot load blocks no other study, and users see who refuses it and why."""

import signal
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ledger.database.connection import engine
from tests.integration.ledgers import make_study
from tests.system.programs import PATIENCE, Program, own_study, wait_until

OBJECTIVE = """
def square(params):
    return params["x"] ** 2
"""
REASON = "module 'nope' cannot be imported"
REFUSED = "the worker claims no trials of study bad for a while: objective 'nope:square' is"


class Studies:
    """A study that every worker can load, a study that no worker can load, and their programs."""

    def __init__(self, folder, url):
        own_study(folder, OBJECTIVE, "square")
        good = (folder / "own.toml").read_text()
        bad = good.replace("mine:square", "nope:square").replace('"own"', '"bad"')
        (folder / "bad.toml").write_text(bad)
        self.folder, self._url = folder, url
        self.program = Program(folder, DATABASE_URL=url)
        self.logs, self._processes = {}, []

    def make_bad(self):
        """Start the manager of the study that no worker can load, and wait for its trials."""
        self.manager = self.start("bad", "manager", "bad.toml")
        wait_until(lambda: len(self.trials("bad")) == 2)

    def start(self, name, *command):
        self.logs[name] = self.folder / f"{name}.log"
        with self.logs[name].open("w") as log:
            process = self.program.start(*command, log=log)
        self._processes.append(process)
        return process

    def said(self, name):
        return self.logs[name].read_text()

    def lines(self, name, words):
        return [line for line in self.said(name).splitlines() if words in line]

    def ask(self, statement):
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def trials(self, study):
        return self.ask(f"select state, failures + lost from ledger.trials where study = '{study}' order by trial")

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def both(tmp_path, url) -> Iterator[Studies]:
    studies = Studies(tmp_path, url)
    yield studies
    studies.close()


def test_a_study_that_a_worker_cannot_load_blocks_no_younger_study(both):
    both.make_bad()
    worker = both.start("worker", "worker", "--allow", "mine", "--allow", "nope")
    # the manager of the younger study ends when the worker has trained its trials
    both.program.run("manager", "own.toml")
    wait_until(lambda: both.lines("bad", "no live worker can load the study's objective"))
    assert both.trials("own") == [("complete", 0), ("complete", 0)]
    # the worker claims the trials again from time to time, and gives them back
    wait_until(lambda: both.trials("bad") == [("pending", 0), ("pending", 0)])
    (refusal,) = [line for line in both.program.run("worker", "list").splitlines() if "refuses" in line]
    assert "refuses study bad: " in refusal
    assert REASON in refusal
    (refusal,) = [line for line in both.program.run("study", "show", "bad").splitlines() if "refuses" in line]
    assert REASON in refusal
    assert "refuses" not in both.program.run("study", "show", "own")
    # the worker has tried again, and neither program has repeated its line
    wait_until(lambda: both.ask("select count(*) from ledger.attempts where study = 'bad'")[0][0] >= 2)
    for name in ("worker", "bad"):
        (line,) = both.lines(name, REASON)
        assert "put the module's folder on PYTHONPATH" in line
    # the worker finds the repaired module without a restart
    (both.folder / "nope.py").write_text(OBJECTIVE)
    assert both.manager.wait(PATIENCE) == 0, both.said("bad")
    assert both.trials("bad") == [("complete", 0), ("complete", 0)]
    assert "refuses" not in both.program.run("worker", "list")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert both.ask("select count(*) from ledger.refusal") == [(0,)]
    assert "Traceback" not in both.said("worker") + both.said("bad")


def test_a_worker_for_one_study_ends_with_the_reason_that_it_cannot_load(both):
    both.make_bad()
    worker = both.start("worker", "worker", "--study", "bad", "--allow", "mine")
    assert worker.wait(PATIENCE) == 1
    last = both.said("worker").splitlines()[-1]
    assert last.startswith("ledger: objective 'nope:square'")
    assert "permit the module with --allow nope" in last
    assert both.trials("bad") == [("pending", 0), ("pending", 0)]
    assert both.ask("select outcome from ledger.attempts") == [("released",)]


def test_a_worker_that_refuses_a_study_gives_all_claimed_trials_back(both):
    worker = both.start("worker", "worker", "--allow", "mine")
    # the trials are short, so the worker then claims several trials at once
    both.program.run("manager", "own.toml", "--trials", "20", "--batch-size", "10")
    both.make_bad()
    wait_until(lambda: both.lines("worker", REFUSED))
    both.program.run("manager", "own.toml", "--name", "young")
    assert both.trials("young") == [("complete", 0), ("complete", 0)]
    together = "select array_agg(trial order by trial) from ledger.attempts where study = 'bad' group by claimed_at"
    # on a busy machine, a trial may take so long that the worker's next claim is of one trial
    wait_until(lambda: ([0, 1],) in both.ask(together))
    wait_until(lambda: both.trials("bad") == [("pending", 0), ("pending", 0)])
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert "Traceback" not in both.said("worker")


DATA: list[object] = [5, {}, "abc", [1], True, {"sha256": None, "name": None}, None, {"sha256": 5, "name": 7}]
MALFORMED = [
    *({"model": "svm", "data": data} for data in DATA),
    {"model": "svm", "metric": [1]},
    5,
]


def test_no_malformed_objective_ends_a_worker(both, url):
    with engine(url).connect() as db:
        for number in range(len(MALFORMED)):
            make_study(db, f"bad{number}", trials=1)
    # the owner of the tables can switch off the check of a study's spec
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter table ledger.study disable trigger user")
        for number, objective in enumerate(MALFORMED):
            connection.execute(
                "update ledger.study set spec = jsonb_set(spec, '{objective}', %s) where name = %s",
                [Jsonb(objective), f"bad{number}"],
            )
    worker = both.start("worker", "worker", "--allow", "mine")
    both.program.run("manager", "own.toml")
    refused = "select count(distinct study_id) from ledger.refusal"
    wait_until(lambda: both.ask(refused) == [(len(MALFORMED),)])
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert "Traceback" not in both.said("worker")
    assert both.trials("own") == [("complete", 0), ("complete", 0)]
    assert both.ask("select distinct outcome from ledger.attempts where study <> 'own'") == [("released",)]
