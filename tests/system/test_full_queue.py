"""A notification is only a hint: no call of the ledger fails because the server's queue of notifications is full."""

import psycopg
import pytest
from psycopg.errors import ProgramLimitExceeded

from ledger.resources import folder
from tests.databases import upgrade
from tests.system.programs import Program, own_study
from tests.system.servers import VERSIONS, Server

OBJECTIVE = """
def square(params):
    return params["x"] ** 2
"""


@pytest.fixture(params=VERSIONS)
def url(tmp_path_factory, request):
    """Yield the URL of a ledger on a server with the smallest queue, which a setting of PostgreSQL 17 allows."""
    with Server(tmp_path_factory.mktemp("server"), version=request.param, max_notify_queue_pages=64) as server:
        upgrade(server.url)
        yield server.url


def fill(connection):
    for number in range(10_000):
        connection.execute("select pg_notify('ledger', repeat('x', 7000) || %s)", (number,))


def test_a_study_is_completed_while_the_notification_queue_is_full(tmp_path, url):
    with psycopg.connect(url) as listener, psycopg.connect(url, autocommit=True) as other:
        listener.execute("listen ledger")
        listener.commit()
        # an open transaction of a listener keeps every later notification in the queue
        listener.execute("select 1")
        with pytest.raises(ProgramLimitExceeded, match="too many notifications in the NOTIFY queue"):
            fill(other)
        program = Program(tmp_path, DATABASE_URL=url)
        own_study(tmp_path, OBJECTIVE, "square")
        run = ["run", "own.toml", "--iterations", "2", "--workers", "1", "--allow", "mine", "--name", "s"]
        assert "4 of 4 trials" in program.run(*run)
        assert program.run("trial", "enqueue", "s", "x=0.5")
        assert program.run("trial", "cancel", "s", "4")
        assert program.run("trial", "retry", "s", "4")
        program.run("resume", "s", "--workers", "1", "--allow", "mine")
        document = program.document("s")
        (tmp_path / "s.json").write_text(program.run("export", "s"))
        program.run("import", "s.json", "--name", "t")
    states = [trial["state"] for trial in document["trials"]]
    assert states == [*["complete"] * 4, "cancelled", "complete"]


def test_only_the_function_notify_sends_notifications():
    senders = [file.name for file in folder("sql").rglob("*.sql") if "pg_notify(" in file.read_text()]
    assert senders == ["notify.sql"]
    statements = [line for file in folder("sql").rglob("*.sql") for line in file.read_text().splitlines()]
    assert not [line for line in statements if line.strip().startswith("notify ")]
