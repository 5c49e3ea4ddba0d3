"""The database's disk becomes full during a study. The programs wait, and the study ends after a user has made room."""

import uuid
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.errors import DiskFull

from ledger import embedded
from ledger.database.tables import metadata
from tests.databases import upgrade
from tests.fuzz import run
from tests.system import disks
from tests.system.programs import PATIENCE, Program, own_study, wait_until
from tests.system.servers import VERSIONS, Server

pytestmark = pytest.mark.skipif(not disks.is_available(), reason="needs root, who can mount a small disk")

TABLES = sorted(table.name for table in metadata.sorted_tables)
OBJECTIVE = """
import pathlib, time

def waits(params, context):
    pathlib.Path(f"begun{context.trial}").touch()
    while not (pathlib.Path(f"go{context.trial}").exists() or pathlib.Path("go").exists()):
        time.sleep(0.02)
    return params["x"] ** 2
"""
FULL = "No space left on device; the database's disk is full: make room on it; trying again"
# Statements that write a new version of a row, one for each table that a study changes while it runs.
REWRITE = {
    "study": "update ledger.study set reason = reason where name = 'own'",
    "manager": "update ledger.manager set name = name",
    "iteration": "update ledger.iteration set size = size where told_at is null",
    "trial": "update ledger.trial set error = error where state = 'running'",
    "attempt": "update ledger.attempt set worker = worker where ended_at is null",
    "worker": "update ledger.worker set pid = pid",
}


class Disks:
    """A server with each table of the ledger on a small disk of its own."""

    def __init__(self, folder, version, stack):
        self._disks = {table: stack.enter_context(disks.small_disk(1)) for table in TABLES}
        folders = [disk.folder for disk in self._disks.values()]
        server = Server(folder, version=version, elsewhere=folders, autovacuum="off", fsync="off")
        self.server = stack.enter_context(server)
        self.url = self.server.url
        upgrade(self.url)
        self.database = stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self._files = {}
        for table in TABLES:
            self.database.execute(f"create tablespace {table} location '{self._disks[table].folder}'")
            self.database.execute(f"alter table ledger.{table} set tablespace {table}")
            row = self.database.execute("select oid from pg_tablespace where spcname = %s", (table,)).fetchone()
            assert row is not None
            self._files[table] = f'could not extend file "pg_tblspc/{row[0]}/'

    def fill(self, *tables):
        for table in tables:
            self._disks[table].fill()

    def fill_pages(self, table):
        """Fill the disk of a table, and its pages by old versions of rows, which an open snapshot needs."""
        self.fill(table)
        snapshot = psycopg.connect(self.url)
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot.execute("select 1")
        with pytest.raises(DiskFull):
            while True:
                self.database.execute(REWRITE[table])
        return snapshot

    def failures(self, table):
        """Return how many writes to a table have failed, because its disk is full."""
        return self.server.log.read_text().count(self._files[table])

    def make_room(self, table):
        self._disks[table].make_room()

    def make_room_after_a_failure(self, table, before=0):
        wait_until(lambda: self.failures(table) > before)
        self.make_room(table)


class Programs:
    """Programs of a ledger, with their logs."""

    def __init__(self, folder, url, stack):
        self.folder, self.url, self.logs, self._started = folder, url, {}, {}
        self.program = Program(folder, DATABASE_URL=url)
        stack.callback(self._close)

    def start(self, name, *command):
        self.logs[name] = self.folder / f"{name}.log"
        with self.logs[name].open("w") as log:
            self._started[name] = self.program.start(*command, log=log)

    def ends(self, name):
        assert self._started[name].wait(PATIENCE) == 0, self.said(name)

    def stop(self, name):
        self._started[name].terminate()
        self.ends(name)

    def said(self, name):
        return self.logs[name].read_text()

    def says(self, name, words):
        wait_until(lambda: words in self.said(name))

    def waited(self, name):
        """Check that a program has said once that the disk is full, and then that the database answers."""
        said = self.said(name)
        assert "Traceback" not in said
        assert (said.count(FULL), said.count("the database answers again")) == (1, 1), said

    def ask(self, statement):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def is_complete(self, study, trials):
        """Check that each trial of a study was recorded once, and verify the study."""
        of_study = f"where study_id = (select id from ledger.study where name = '{study}')"
        states = self.ask(f"select number, state from ledger.trial {of_study} order by 1")
        assert states == [(number, "complete") for number in range(trials)]
        complete = self.ask(f"select trial from ledger.attempt {of_study} and outcome = 'complete' order by 1")
        assert complete == [(number,) for number in range(trials)]
        for words in (["verify", study], ["study", "show", study]):
            code, _, error = run(words, self.program.environment)
            assert code == 0, error

    def _close(self):
        for process in self._started.values():
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(scope="module", params=VERSIONS)
def ledger(tmp_path_factory, request):
    with ExitStack() as stack:
        yield Disks(tmp_path_factory.mktemp("server"), request.param, stack)


@pytest.fixture
def programs(tmp_path, ledger):
    with ExitStack() as stack:
        yield Programs(tmp_path, ledger.url, stack)


@pytest.mark.slow
def test_a_study_that_starts_on_full_disks_waits_for_each_table(root, ledger, programs):
    ledger.fill(*TABLES)
    options = [
        "--data",
        str(root / "docs" / "customers.csv"),
        "--target-column",
        "bought",
        "--cv",
        "2",
        "--name",
        "data",
    ]
    programs.start("manager", "manager", "--model", "svm", "--iterations", "1", "--batch-size", "2", *options)
    programs.start("worker", "worker", "--study", "data", "--until-complete")
    ledger.make_room_after_a_failure("worker")
    for table in ("study", "dataset", "manager", "iteration", "trial", "attempt"):
        ledger.make_room_after_a_failure(table)
    for name in ("manager", "worker"):
        programs.ends(name)
        assert "Traceback" not in programs.said(name)
        assert FULL in programs.said(name)
    programs.is_complete("data", 2)


def test_refusals_and_cancellations_wait_for_room(ledger, programs):
    ledger.fill("refusal", "cancellation")
    own_study(programs.folder, OBJECTIVE, "waits", batch_size=1)
    programs.start("manager", "manager", "own.toml")
    programs.start("worker", "worker")
    ledger.make_room_after_a_failure("refusal")
    wait_until(lambda: programs.ask("select from ledger.refusals"))
    programs.stop("worker")
    programs.waited("worker")
    with psycopg.connect(ledger.url) as locker:
        claim = "select ledger.claim('own', array[%s]::uuid[], 'locker')"
        assert locker.execute(claim, (uuid.uuid4(),)).fetchone()
        locker.commit()
        locker.execute("select from ledger.trial where state = 'running' for no key update")
        programs.start("command", "trial", "cancel", "own", "0")
        ledger.make_room_after_a_failure("cancellation")
        wait_until(lambda: programs.ask("select from ledger.cancellation"))
    programs.ends("command")
    assert programs.said("command").count(FULL) == 1
    assert programs.said("command").endswith("trial 0 of study own is cancelled\n")
    assert programs.ask("select state from ledger.trials where study = 'own' and trial = 0") == [("cancelled",)]


def test_a_study_goes_on_after_the_disk_of_each_table_was_full(ledger, programs):
    own_study(programs.folder, OBJECTIVE, "waits", batch_size=1, heartbeat=0.5)
    study = programs.folder / "own.toml"
    study.write_text(study.read_text().replace('"own"', '"full"').replace("iterations = 1", "iterations = 5"))
    programs.start("manager", "manager", "own.toml")
    programs.start("worker", "worker", "--study", "full", "--until-complete", "--allow", "mine")
    for trial, tables in enumerate((["manager"], ["iteration"], ["trial"], ["attempt"], ["worker", "study"])):
        wait_until((programs.folder / f"begun{trial}").exists)
        snapshots = [ledger.fill_pages(table) for table in tables]
        before = [ledger.failures(table) for table in tables]
        (programs.folder / f"go{trial}").touch()
        for table, snapshot, failures in zip(tables, snapshots, before, strict=True):
            ledger.make_room_after_a_failure(table, failures)
            snapshot.close()
    for name in ("manager", "worker"):
        programs.ends(name)
        programs.waited(name)
    programs.is_complete("full", 5)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_study_goes_on_after_the_disk_of_the_write_ahead_log_was_full(tmp_path, tmp_path_factory, version):
    with ExitStack() as stack:
        disk = stack.enter_context(disks.small_disk(16))
        folder, wal = tmp_path_factory.mktemp("log"), disk.folder / "wal"
        server = stack.enter_context(Server(folder, version=version, wal=wal, max_wal_size="4MB", min_wal_size="2MB"))
        upgrade(server.url)
        programs = Programs(tmp_path, server.url, stack)
        own_study(tmp_path, OBJECTIVE, "waits", heartbeat=0.5)
        programs.start("manager", "manager", "own.toml")
        programs.start("worker", "worker", "--study", "own", "--until-complete", "--allow", "mine")
        wait_until(lambda: (tmp_path / "begun0").exists())
        disk.fill()
        # the server ends all sessions with a panic, and may need room to recover
        with pytest.raises(psycopg.OperationalError), psycopg.connect(server.url, autocommit=True) as connection:
            while True:
                connection.execute("select pg_logical_emit_message(true, 'full', repeat('x', 100000))")
        for name in ("manager", "worker"):
            programs.says(name, "trying again")
        (tmp_path / "go").touch()
        disk.make_room()
        wait_until(lambda: not server.is_running or programs.ask("select 1"))
        if not server.is_running:
            server.start()
        for name in ("manager", "worker"):
            programs.ends(name)
            assert "Traceback" not in programs.said(name)
        programs.is_complete("own", 2)
        assert programs.ask("select attempts, lost from ledger.trial") == [(1, 0), (1, 0)]
        assert "No space left on device" in server.log.read_text()


@pytest.mark.slow
def test_a_run_goes_on_after_the_disk_of_its_embedded_server_was_full():
    with disks.small_disk(120) as disk, ExitStack() as stack:
        folder = disk.mount / "own"
        folder.mkdir()
        own_study(folder, OBJECTIVE, "waits", heartbeat=0.5)
        program = Program(folder)
        with (folder / "log").open("w") as log:
            search = program.start("run", "own.toml", "--workers", "1", "--allow", "mine", log=log)
        stack.callback(search.wait)
        stack.callback(search.kill)
        wait_until((folder / "begun0").exists)
        with psycopg.connect(embedded.url(program.home), autocommit=True) as connection:
            connection.execute("create table filler (said text)")
            disk.fill()
            with pytest.raises(DiskFull):
                while True:
                    connection.execute("insert into filler select repeat('x', 1000) from generate_series(1, 1000)")
        # a new session writes this file, which a change of the catalog removes
        for file in (program.home / "data").rglob("pg_internal.init"):
            file.unlink()
        disk.fill()
        with pytest.raises(psycopg.OperationalError, match="No space left on device"):
            psycopg.connect(embedded.url(program.home))
        (folder / "go").touch()
        wait_until(lambda: FULL in (folder / "log").read_text())
        disk.make_room()
        assert search.wait(PATIENCE) == 0, (folder / "log").read_text()
        said = (folder / "log").read_text()
        assert "Traceback" not in said
        assert "check --database-url" not in said
        assert "the records of study own are consistent: 2 trials" in program.run("verify", "own")
