"""PostgreSQL servers for tests: the embedded server, and a postgres:17 container if Docker answers."""

import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

from ledger import embedded
from ledger.database import migration
from ledger.database.connection import engine

# a slow machine must not fail a test
hypothesis.settings.register_profile("ledger", deadline=None)
hypothesis.settings.load_profile("ledger")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A script's background job ignores SIGINT, and its child processes, such as programs under test, inherit this.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def pytest_report_header() -> str:
    container = "and a postgres:17 container" if docker_answers() else "only: no Docker engine answers"
    return f"databases: embedded PostgreSQL {container}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        servers: list[Any] = ["embedded"]
        if docker_answers():
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
            self._urls[kind] = self._stack.enter_context(
                embedded.running(self._folder, create=True) if kind == "embedded" else _container()
            )
        return self._urls[kind]

    def template(self, server: str) -> str:
        if server not in self._templates:
            url = self._stack.enter_context(_database(server))
            with engine(url).connect() as connection:
                migration.upgrade(connection)
            self._templates[server] = str(conninfo_to_dict(url)["dbname"])
        return self._templates[server]


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    # the block stops the container, so the reaper container and its image are not needed
    testcontainers_config.ryuk_disabled = True
    with PostgresContainer("postgres:17", driver=None) as container:
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
    with _database(server) as url:
        yield url


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    """Return the URL of a new, migrated database."""
    with _database(server, template) as url:
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


class _database:
    """A separate database on a server, which is dropped at the end."""

    def __init__(self, server: str, template: str = "template0") -> None:
        self._server, self._template = server, template
        self._name = f"test_{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> str:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(self._name), sql.Identifier(self._template)
                )
            )
        return make_conninfo(self._server, dbname=self._name, client_encoding="UTF8")

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(self._name)))


@pytest.fixture
def root() -> Path:
    """Return the project's folder."""
    return Path(__file__).parents[1]
