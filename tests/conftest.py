"""PostgreSQL servers for tests, and the state that each test leaves.

`make test` uses an embedded server for each test process, or the server that LEDGER_TEST_SERVER names, as a superuser.
`make test-all` repeats the tests of `OF_SQL` on a postgres:17 container. The workflow of the forge runs all tests on
each supported version of PostgreSQL.
"""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection

from ledger import embedded
from ledger.database.connection import engine
from tests.databases import migrated_template, new_database
from tests.process_state import restored
from tests.system import preloaded

# The URL of a server for tests, of a superuser's: for a CI that tests each version of PostgreSQL.
GIVEN = os.environ.get("LEDGER_TEST_SERVER")
# The tests whose cases are different functions, statements, plans and privileges, which a version of PostgreSQL can
# change.
OF_EACH_STATEMENT = {
    *("test_held_locks", "test_holding_a_study", "test_migration", "test_optuna", "test_plans", "test_privileges"),
    *("test_protocol", "test_queries", "test_state_machine", "test_statements", "test_terminal_rows", "test_verdicts"),
    "test_views",
}
# The other tests of the functions, tables and views in sql/. Their cases are different values for the same statements,
# so the container gets the first case of each test. The remaining tests send a server the same statements as these.
OF_SQL = OF_EACH_STATEMENT | {
    *("test_artifacts", "test_bounds", "test_checkpoints", "test_clock_set_back", "test_pruning", "test_retry"),
    *("test_totals", "test_verification"),
}

# No test fails because of time. `make test` tries the same examples in each run, a campaign tries others, and more.
for profile, factor in {"ledger": 1, "campaign": 5}.items():
    hypothesis.settings.register_profile(
        profile,
        max_examples=100 * factor,
        derandomize=profile == "ledger",
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )
hypothesis.settings.load_profile("ledger")

# Most objects of a test process are those of modules, which the garbage collector would look through again and again.
gc.set_threshold(20_000)

# The tests use every core already, and NumPy is not loaded yet. A worker sets the same variables for its trainer.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(variable, "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A script's background job ignores SIGINT, and its child processes, such as programs under test, inherit this.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """No test sees the signal handler or the log handlers that another one has set."""
    with restored():
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.nodeid.startswith(("tests/system/", "tests/integration/")):
        preloaded.install()


@pytest.fixture
def new_processes() -> Iterator[None]:
    """Start each process of the test as a new one, without modules that a process of another test has in memory."""
    with preloaded.without_template():
        yield


def pytest_report_header() -> str:
    return f"server: {'embedded PostgreSQL' if GIVEN is None else 'the one that LEDGER_TEST_SERVER names'}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the folders in the order of `testpaths`, because pytest begins with the tests that use a server.

    The container gets only the first case of a test whose cases are values.
    """
    repeated = [item for item in items if _is_on_container(item) and item.path.stem not in OF_EACH_STATEMENT]
    first = {item.nodeid.partition("[")[0]: item for item in reversed(repeated)}
    left_out = [item for item in repeated if first[item.nodeid.partition("[")[0]] is not item]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    folders = config.getini("testpaths")
    items.sort(key=lambda item: next((n for n, folder in enumerate(folders) if item.nodeid.startswith(folder)), 0))


def _is_on_container(item: pytest.Item) -> bool:
    """Whether the test is the repetition of a test on the container."""
    case = getattr(item, "callspec", None)
    return case is not None and case.params.get("server") == "container"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        servers: list[Any] = ["embedded" if GIVEN is None else "given"]
        if metafunc.definition.path.stem in OF_SQL:
            servers.append(pytest.param("container", marks=pytest.mark.container))
        metafunc.parametrize("server", servers, indirect=True, scope="session")


class _Servers:
    """The servers and template databases. Each is created at its first use, and kept until the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._urls: dict[str, str] = {}
        self._templates: dict[str, str] = {}

    def url(self, kind: str) -> str:
        if kind not in self._urls:
            self._urls[kind] = self._stack.enter_context(self._started(kind))
        return self._urls[kind]

    def _started(self, kind: str) -> AbstractContextManager[str]:
        if kind == "container":
            return _container()
        return _embedded(self._folder) if GIVEN is None else nullcontext(GIVEN)

    def template(self, server: str) -> str:
        if server not in self._templates:
            self._templates[server] = self._stack.enter_context(migrated_template(server))
        return self._templates[server]


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with embedded.running(folder, create=True) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            # the data end with the tests, which would else wait for the disk at each commit
            connection.execute("alter system set fsync = off")
            connection.execute("select pg_reload_conf()")
        yield url


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    # the block stops the container, so the reaper container and its image are not needed
    testcontainers_config.ryuk_disabled = True
    with PostgresContainer("postgres:17", driver=None).with_command("postgres -c fsync=off") as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Servers]:
    with ExitStack() as stack:
        yield _Servers(tmp_path_factory.mktemp("server"), stack)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, servers: _Servers) -> str:
    """Return the URL of a server's maintenance database."""
    return servers.url(request.param)


@pytest.fixture(scope="session")
def template(server: str, servers: _Servers) -> str:
    """Return the name of a migrated database, for copies."""
    return servers.template(server)


@pytest.fixture
def empty_url(server: str) -> Iterator[str]:
    """Return the URL of a new, empty database."""
    with new_database(server) as url:
        yield url


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    """Return the URL of a new, migrated database."""
    with new_database(server, template) as url:
        yield url


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def db(url: str) -> Iterator[Connection]:
    with engine(url).connect() as connection:
        yield connection


@pytest.fixture
def advance(connection: psycopg.Connection[Any]) -> Callable[[float], None]:
    """Return a function that sets the ledger's clock ahead of the server's by a number of seconds."""

    def advance(seconds: float) -> None:
        body = f"select clock_timestamp() + make_interval(secs => {float(seconds)!r})"
        connection.execute(
            sql.SQL("create or replace function ledger.clock() returns timestamptz language sql volatile as {}").format(
                sql.Literal(body)
            )
        )

    return advance


@pytest.fixture
def root() -> Path:
    """Return the project's folder."""
    return Path(__file__).parents[1]
