"""Training continues while the database is away. Results are delivered afterwards, and recorded once."""

import os
import signal
import uuid
from contextlib import ExitStack, suppress

import psycopg
import pytest

from tests.databases import migrated_template, name_of, new_database, upgrade
from tests.system.programs import PATIENCE, Program, own_study, wait_for_text, wait_until
from tests.system.proxy import Proxy
from tests.system.servers import USER, VERSIONS, Server

OBJECTIVE = """
import pathlib, time

def waits(params, context):
    with open("calls", "a") as calls:
        print(context.trial, context.attempt, file=calls, flush=True)
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""


@pytest.fixture(scope="module", params=VERSIONS)
def postgres(tmp_path_factory, request):
    with Server(tmp_path_factory.mktemp("server"), version=request.param, track_functions="all") as postgres:
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


class Search:
    """A manager and a worker behind a proxy, and a direct connection to the database."""

    def __init__(self, folder, url, through, *options, heartbeat=0.3):
        own_study(folder, OBJECTIVE, "waits", heartbeat=heartbeat, lease=60.0)
        self.url, self.folder = url, folder
        self.go, self.calls = folder / "go", folder / "calls"
        self.program = Program(folder, DATABASE_URL=through, LEDGER_STATEMENT_TIMEOUT="1")
        self.options = options
        self.logs = []

    def start(self, *command):
        path = self.folder / f"{len(self.logs)}.log"
        self.logs.append(path)
        with path.open("w") as log:
            return self.program.start(*command, *self.options, log=log)

    def training(self):
        """Start the manager and the worker, and wait until the first trial is in training."""
        self.manager = self.start("manager", "own.toml")
        self.worker = self.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
        wait_for_text(self.calls)

    def said(self, process, words):
        """Wait until a process has logged a text."""
        log = self.logs[0] if process is self.manager else self.logs[1]
        wait_until(lambda: words in log.read_text())

    def ask(self, statement):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def is_undisturbed(self):
        """Let the study end, and check that it equals the undisturbed study."""
        self.go.touch()
        for process in (self.worker, self.manager):
            assert process.wait(PATIENCE) == 0, "".join(log.read_text() for log in self.logs)
        assert self.ask("select number, state, attempts, failures, lost from ledger.trial order by 1") == [
            (0, "complete", 1, 0, 0),
            (1, "complete", 1, 0, 0),
        ]
        assert self.ask("select trial, outcome from ledger.attempt order by 1") == [(0, "complete"), (1, "complete")]
        assert self.calls.read_text() == "0 1\n1 1\n", "each trial was trained once"
        assert "Traceback" not in "".join(log.read_text() for log in self.logs)

    def close(self):
        for process in (getattr(self, "worker", None), getattr(self, "manager", None)):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def proxy(postgres):
    with Proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def search(tmp_path, url, proxy):
    search = Search(tmp_path, url, proxy.url(url))
    yield search
    search.close()


def of(role):
    return lambda link: link.role.startswith(f"ledger {role}")


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_a_restart_or_crash_of_the_server_costs_no_attempt(postgres, search, mode):
    search.training()
    postgres.stop(mode) if mode != "kill" else postgres.kill()
    for process in (search.manager, search.worker):
        search.said(process, "trying again")
    # the training ends while the database is away
    search.go.touch()
    postgres.start()
    search.is_undisturbed()
    for process in (search.manager, search.worker):
        search.said(process, "the database answers again")


@pytest.mark.parametrize("fault", ["stall", "silence"])
def test_a_half_open_connection_costs_no_attempt(proxy, search, fault):
    search.training()
    getattr(proxy, fault)()
    for process in (search.manager, search.worker):
        search.said(process, "trying again")
    proxy.resume()
    search.is_undisturbed()


def test_a_manager_goes_on_after_a_half_open_connection(proxy, search):
    search.training()
    # the old session does not notice that its client has gone, and holds the lock
    stalled = [link for link in proxy.links if of("manager")(link)]
    assert len(stalled) == 1
    proxy.stall(lambda link: link in stalled)
    search.said(search.manager, "the database answers again")
    search.is_undisturbed()


@pytest.mark.parametrize("function", ["claim", "complete"])
def test_a_lost_acknowledgement_is_recognised(proxy, search, function):
    trap = proxy.lose_answer(lambda link: f"ledger.{function}(" in link.statement)
    search.go.touch()
    search.training()
    search.is_undisturbed()
    assert trap.sprung.is_set()


@pytest.mark.parametrize("part", ["ledger.revision", "ledger.progress"])
def test_a_command_that_loses_its_connection_starts_over(proxy, search, part):
    trap = proxy.lose_answer(lambda link: of("command")(link) and part in link.statement)
    assert search.program.run("study", "list").startswith("no studies yet")
    assert trap.sprung.is_set()


def test_a_refused_connection_goes_to_the_next_host_of_the_url(postgres, tmp_path, url):
    with Proxy(postgres.port) as first, Proxy(postgres.port) as second, ExitStack() as stack:
        through = first.url(url).replace(f":{first.port}/", f":{first.port},127.0.0.1:{second.port}/")
        search = Search(tmp_path, url, through)
        stack.callback(search.close)
        search.training()
        assert not second.links
        first.refuse()
        first.cut()
        wait_until(lambda: any(of("worker")(link) for link in second.links))
        search.is_undisturbed()


def test_a_statement_that_is_held_up_is_given_up_and_sent_again(search):
    search.training()
    with psycopg.connect(search.url) as other:
        other.execute("select * from ledger.trial for update")
        search.said(search.worker, "canceling statement due to lock timeout; another session holds a lock: ")
    search.is_undisturbed()


def test_a_read_only_standby_is_waited_for_until_it_is_promoted(postgres, search):
    search.training()
    postgres.stop()
    postgres.data.joinpath("standby.signal").touch()
    postgres.start()
    for process in (search.manager, search.worker):
        search.said(process, "this server is a standby: write the address of the primary")
    error = search.program.run("study", "pause", "own", "--give-up-after", "0", code=1)
    assert "read-only" in error
    assert "own" in search.program.run("study", "list")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("select pg_promote()")
    search.is_undisturbed()


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_free_connection_programs_wait_and_say_what_to_do(tmp_path, tmp_path_factory, version):
    with ExitStack() as stack:
        small = Server(tmp_path_factory.mktemp("small"), version=version, max_connections=5)
        upgrade((server := stack.enter_context(small)).url)
        search = Search(tmp_path, server.url, server.url)
        stack.callback(search.close)
        # three of the connections are reserved for superusers; this role is one, so it can take all five
        held = [stack.enter_context(psycopg.connect(server.url)) for _ in range(5)]
        search.manager = search.start("manager", "own.toml")
        search.worker = search.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
        for process in (search.manager, search.worker):
            search.said(process, "too many clients already; raise max_connections")
        error = search.program.run("study", "list", "--give-up-after", "0.5", code=1)
        assert error.splitlines()[-1].startswith("ledger: the command gave up after")
        for connection in held:
            connection.close()
        wait_for_text(search.calls)
        search.is_undisturbed()


def take_every_connection(server, stack):
    """End the sessions of all programs, and take their connections until the test closes them."""
    held = [stack.enter_context(psycopg.connect(server.url, autocommit=True))]

    def is_full():
        programs = "from pg_stat_activity where application_name like 'ledger %'"
        held[0].execute(f"select pg_terminate_backend(pid) {programs}")
        with suppress(psycopg.OperationalError):
            while True:
                held.append(stack.enter_context(psycopg.connect(server.url)))
        # a session that ends keeps its connection for a moment, so an error does not prove that the test has all
        return len(held) == server.settings["max_connections"]

    wait_until(is_full)
    return held


@pytest.mark.parametrize("version", VERSIONS)
def test_a_study_goes_on_after_every_connection_was_taken(tmp_path, tmp_path_factory, version):
    with ExitStack() as stack:
        small = Server(tmp_path_factory.mktemp("small"), version=version, max_connections=6)
        upgrade((server := stack.enter_context(small)).url)
        search = Search(tmp_path, server.url, server.url)
        stack.callback(search.close)
        search.training()
        held = take_every_connection(server, stack)
        for process in (search.manager, search.worker):
            search.said(process, "too many clients already; raise max_connections")
        for connection in held:
            connection.close()
        for process in (search.manager, search.worker):
            search.said(process, "the database answers again")
        search.is_undisturbed()


@pytest.mark.parametrize(
    ("refusal", "repair", "said"),
    [
        ("valid until '2020-01-01'", "valid until 'infinity'", "password has expired"),
        ("password 'another'", "password 'first'", "password has expired"),
        ("nologin", "login", "let the role log in again"),
    ],
    ids=["expired", "password", "nologin"],
)
def test_a_study_goes_on_when_a_refused_login_is_repaired(postgres, tmp_path, url, refusal, repair, said):
    login = f"login_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url, autocommit=True) as administrator:
        administrator.execute(f"create role {login} superuser login password 'first'")
        search = Search(tmp_path, url, url.replace(f"{USER}:{postgres.password}", f"{login}:first"))
        try:
            search.training()
            administrator.execute(f"alter role {login} {refusal}")
            administrator.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{login}'")
            for process in (search.manager, search.worker):
                search.said(process, f'"{login}"')
                search.said(process, f"{said} (`alter role")
            administrator.execute(f"alter role {login} {repair}")
            search.is_undisturbed()
        finally:
            search.close()
            administrator.execute(f"drop role {login}")


def test_giving_up_ends_in_a_clear_error_and_the_same_command_goes_on(postgres, tmp_path, url, proxy):
    search = Search(tmp_path, url, proxy.url(url), "--give-up-after", "1")
    try:
        search.training()
        proxy.refuse()
        proxy.cut()
        for process, log in ((search.manager, search.logs[0]), (search.worker, search.logs[1])):
            assert process.wait(PATIENCE) == 1
            last = log.read_text().splitlines()[-1]
            assert last.startswith("ledger: the command gave up after")
            assert "--give-up-after" in last
            assert "Connection refused" in last
        proxy.resume()
        assert search.ask("select state from ledger.trial order by number") == [("running",), ("pending",)]
    finally:
        search.close()


def test_a_worker_leaves_in_its_grace_time_while_the_database_is_away(postgres, tmp_path, url, proxy):
    search = Search(tmp_path, url, proxy.url(url))
    try:
        search.program._environment["LEDGER_WORKER_GRACE"] = "0.5"
        search.training()
        proxy.refuse()
        proxy.cut()
        search.said(search.worker, "trying again")
        search.worker.send_signal(signal.SIGTERM)
        assert search.worker.wait(PATIENCE) == 0
        search.said(search.worker, "another worker can claim the trial after the end of the lease")
    finally:
        search.close()


def test_a_worker_with_a_dead_connection_releases_its_trial(tmp_path, url, proxy):
    search = Search(tmp_path, url, proxy.url(url), heartbeat=30.0)
    try:
        search.program._environment["LEDGER_WORKER_GRACE"] = "0"
        search.training()
        proxy.cut(of("worker"))
        search.worker.send_signal(signal.SIGTERM)
        assert search.worker.wait(PATIENCE) == 0
        assert search.ask("select outcome from ledger.attempt") == [("released",)]
    finally:
        search.close()


def test_an_export_that_is_cut_off_says_so_and_writes_nothing_twice(proxy, search):
    search.training()
    proxy.lose_answer(lambda link: of("command")(link) and "ledger.attempts" in link.statement)
    process = search.program.start("export", "own", "--format", "json")
    out, error = process.communicate()
    assert process.returncode == 1
    assert out.count('"trials"') == 1
    assert "the output is incomplete" in error.splitlines()[-1]
    assert search.program.document("own")["study"]["name"] == "own"
    search.is_undisturbed()


def test_a_waiting_manager_takes_over_when_the_other_is_cut_off(search):
    search.training()
    second = search.start("manager", "own.toml", "--wait")
    wait_until(lambda: "this manager waits until the other manager has ended" in search.logs[2].read_text())
    third = search.program.run("manager", "own.toml", code=1)
    assert "has a manager" in third
    ((session,),) = search.ask("select backend_pid from ledger.manager")
    os.kill(search.manager.pid, signal.SIGSTOP)
    search.ask(f"select pg_terminate_backend({session})")
    wait_until(lambda: f"-{second.pid}-" in search.ask("select name from ledger.manager")[0][0])
    os.kill(search.manager.pid, signal.SIGCONT)
    assert search.manager.wait(PATIENCE) == 1
    search.said(search.manager, "has a manager")
    search.manager, search.logs[0] = second, search.logs[2]
    search.is_undisturbed()


def test_a_waiting_manager_takes_over_when_the_other_is_killed(search):
    search.training()
    second = search.start("manager", "own.toml", "--wait")
    wait_until(lambda: "this manager waits until the other manager has ended" in search.logs[2].read_text())
    search.manager.kill()
    search.manager.wait()
    wait_until(lambda: f"-{second.pid}-" in search.ask("select name from ledger.manager")[0][0])
    search.manager, search.logs[0] = second, search.logs[2]
    search.is_undisturbed()


def stopped_in_complete(proxy, search, *, answer):
    """Stop the worker between the request of `ledger.complete` and its answer. Return the trap that holds one of them.

    With `answer`, the server has executed the request.
    """
    search.training()
    trap = proxy.trap(lambda link: "ledger.complete(" in link.statement, answer=answer)
    search.go.touch()
    assert trap.sprung.wait(PATIENCE)
    os.kill(search.worker.pid, signal.SIGSTOP)
    return trap


@pytest.mark.parametrize("answer", [False, True], ids=["request", "answer"])
def test_a_worker_stopped_during_complete_records_its_result_once(proxy, search, answer):
    trap = stopped_in_complete(proxy, search, answer=answer)
    recorded = search.ask("select count(*) from ledger.trial where state = 'complete'")
    assert recorded == [(1 if answer else 0,)]
    os.kill(search.worker.pid, signal.SIGCONT)
    # the worker does not wait for the held connection, and sends the result again
    search.said(search.worker, "trying again")
    search.said(search.worker, "the database answers again")
    proxy.release(trap)
    search.is_undisturbed()


def test_a_worker_stopped_during_complete_overwrites_no_later_result(proxy, search):
    own_study(search.folder, OBJECTIVE, "waits", heartbeat=0.3, lease=3.0)
    trap = stopped_in_complete(proxy, search, answer=False)
    second = search.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
    for process in (search.manager, second):
        assert process.wait(PATIENCE) == 0
    before = search.ask("select number, state, loss, worker from ledger.trial order by 1")
    proxy.release(trap)
    os.kill(search.worker.pid, signal.SIGCONT)
    assert search.worker.wait(PATIENCE) == 0
    assert search.ask("select number, state, loss, worker from ledger.trial order by 1") == before
    outcomes = search.ask("select trial, number, outcome from ledger.attempt order by 1, 2")
    assert outcomes == [(0, 1, "stale"), (0, 2, "complete"), (1, 1, "complete")]


def test_a_trial_shorter_than_a_beat_never_beats(tmp_path, url):
    program = Program(tmp_path, DATABASE_URL=url)
    # on a busy machine, the imports of a short trial may last longer than the default heartbeat of 10 seconds
    own_study(tmp_path, "def square(params): return params['x'] ** 2", "square", 4, lease=900, heartbeat=300)
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
    with psycopg.connect(url, autocommit=True) as connection:
        calls = connection.execute("select funcname, calls from pg_stat_user_functions where schemaname = 'ledger'")
        counted: dict[str, int] = dict(calls.fetchall())
    assert counted["complete"] == 4
    assert "heartbeat" not in counted
