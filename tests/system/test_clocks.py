"""Studies whose workers, manager or database have a clock that jumps by an hour, ahead and back."""

import json
from contextlib import closing

import psycopg
import pytest

from ledger.database import queries
from tests.databases import migrated_template, name_of, new_database
from tests.fuzz import run
from tests.system import clocks
from tests.system.programs import PATIENCE, Program, own_study, wait_until
from tests.system.servers import VERSIONS, Server

pytestmark = pytest.mark.skipif(not clocks.is_available(), reason="needs libfaketime")

# libfaketime breaks time.sleep.
OBJECTIVE = """
import pathlib, select

def waits(params, context):
    pathlib.Path(f"begun{context.trial}-{context.attempt}").touch()
    while not (pathlib.Path(f"go{context.trial}").exists() or pathlib.Path("go").exists()):
        select.select([], [], [], 0.02)
    return params["x"] ** 2
"""
HOUR = 3600
LEASE = 3
# The leases of the running trials and of the manager, which their holders have renewed by the clock of now.
RENEWED = f"""
    select count(*) from ledger.trial
    where state = 'running' and lease_until between ledger.clock() and ledger.clock() + interval '{LEASE} s'"""
VIEWS = "select table_name from information_schema.views where table_schema = 'ledger' order by 1"


@pytest.fixture(scope="module")
def clock():
    clock = clocks.Clock()
    yield clock
    clock.close()


@pytest.fixture(scope="module", params=VERSIONS)
def postgres(tmp_path_factory, clock, request):
    """Yield a server with the clock."""
    folder, version = tmp_path_factory.mktemp("server"), request.param
    with Server(folder, version=version, environment=clock.environment, fsync="off") as postgres:
        yield postgres


@pytest.fixture(scope="module")
def template(postgres):
    with migrated_template(postgres.url) as name:
        yield name


@pytest.fixture
def url(postgres, template, clock):
    """Yield the URL of a separate, migrated database."""
    clock.set(0)
    with new_database(postgres.url, template) as url:
        yield postgres.url.replace("/postgres", f"/{name_of(url)}")


class Search:
    """A manager and two workers, one of which may have another clock than the database."""

    def __init__(self, folder, url, **environments):
        own_study(folder, OBJECTIVE, "waits", batch_size=4, heartbeat=0.3, lease=LEASE)
        study = folder / "own.toml"
        study.write_text(study.read_text().replace("[objective]", 'mode = "steady"\nseed = 1\n[objective]'))
        study.write_text(study.read_text().replace("iterations = 1\nbatch_size = 4", "trials = 6\nbatch_size = 2"))
        self.folder, self.url, self.logs, self.processes = folder, url, {}, {}
        self.own = Program(folder, DATABASE_URL=url)
        self.start("manager", "manager", "own.toml", **environments.get("manager", {}))
        for name in ("first", "second"):
            self.start_worker(name, **environments.get(name, {}))

    def start(self, name, *command, **environment):
        self.logs[name] = self.folder / f"{name}.log"
        program = Program(self.folder, DATABASE_URL=self.url, **environment)
        with self.logs[name].open("w") as log:
            self.processes[name] = program.start(*command, log=log)

    def start_worker(self, name, **environment):
        self.start(name, "worker", "--study", "own", "--until-complete", "--allow", "mine", **environment)

    def ask(self, statement):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def trains(self, *trials):
        """Wait until each of these trials is in training, and its claim is renewed by the clock of now."""
        wait_until(lambda: all(list(self.folder.glob(f"begun{trial}-*")) for trial in trials))
        wait_until(lambda: self.ask(RENEWED) == [(len(trials),)])

    def let(self, trial):
        (self.folder / f"go{trial}").touch()

    def ends(self):
        """Let the study end, and check that it is complete."""
        (self.folder / "go").touch()
        for name, process in self.processes.items():
            assert process.wait(PATIENCE) == 0, self.logs[name].read_text()
        assert "Traceback" not in "".join(log.read_text() for log in self.logs.values())
        assert self.ask("select number, state from ledger.trial order by 1") == [(n, "complete") for n in range(6)]
        assert self.ask("select trial from ledger.attempt where outcome = 'complete' order by 1") == [
            (number,) for number in range(6)
        ]
        # no training took an hour by the clock of its process
        assert self.ask(f"select count(*) from ledger.attempt where seconds > {HOUR - 600}") == [(0,)]

    def can_be_read(self):
        """Check every view, query, listing, export and report."""
        for (view,) in self.ask(VIEWS):
            self.ask(f"select * from ledger.{view}")
        for words in (
            ["verify", "own"],
            ["status", "own"],
            ["study", "list"],
            ["study", "show", "own", "--json"],
            ["worker", "list"],
            ["export", "own", "--format", "csv"],
            ["report", "own", "--output", str(self.folder / "report.html")],
            *(["query", query] for query in queries.known()),
        ):
            code, _, error = run(words, self.own.environment)
            assert code == 0, (words, error)
        shown = json.loads(run(["study", "show", "own", "--json"], self.own.environment)[1])
        assert shown["elapsed_seconds"] >= 0

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def searches():
    started: list[Search] = []
    yield started
    for search in started:
        search.close()


def jumps(search, clock):
    """Let the clock jump ahead and back twice while two trials are in training."""
    search.trains(0, 1)
    clock.set(HOUR)
    search.trains(0, 1)
    search.let(0)
    search.trains(1, 2)
    clock.set(-HOUR)
    search.trains(1, 2)
    search.let(1)
    search.trains(2, 3)
    clock.set(0)
    search.trains(2, 3)


@pytest.mark.parametrize("whose", ["first", "manager"], ids=["worker", "manager"])
def test_a_jump_of_the_clock_of_a_program_has_no_effect(tmp_path, url, searches, whose):
    with closing(clocks.Clock()) as clock:
        searches.append(search := Search(tmp_path, url, **{whose: clock.environment}))
        jumps(search, clock)
        search.ends()
    assert search.ask("select attempts, lost, count(*) from ledger.trial group by 1, 2") == [(1, 0, 6)]
    assert search.ask("select count(*) from ledger.trial where finished_at < claimed_at") == [(0,)]
    assert run(["verify", "own"], search.own.environment)[0] == 0


def test_a_jump_of_the_clock_of_the_database_costs_no_attempt(tmp_path, url, clock, searches):
    searches.append(search := Search(tmp_path, url))
    jumps(search, clock)
    search.ends()
    assert search.ask("select attempts, lost, count(*) from ledger.trial group by 1, 2") == [(1, 0, 6)]
    assert search.ask("select number from ledger.trial where finished_at < claimed_at order by 1") == [(1,), (2,)]
    search.can_be_read()


def test_a_dead_worker_s_trial_comes_back_although_the_clock_goes_back(tmp_path, url, clock, searches):
    searches.append(search := Search(tmp_path, url))
    search.trains(0, 1)
    for name in ("first", "second"):
        search.processes[name].kill()
        search.processes.pop(name).wait()
    clock.set(-HOUR)
    search.start_worker("third")
    wait_until(lambda: search.ask("select count(*) from ledger.attempt where outcome = 'lost'") == [(2,)])
    search.ends()
    assert search.ask("select number, attempts, lost from ledger.trial where lost > 0 order by 1") == [
        (0, 2, 1),
        (1, 2, 1),
    ]
    search.can_be_read()
