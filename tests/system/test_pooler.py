"""A study behind PgBouncer in transaction mode: each transaction may run in another session of the server."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.databases import upgrade
from tests.system.programs import Program, own_study, wait_until
from tests.system.servers import USER, Server, free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = [
    pytest.mark.pooler,
    pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed"),
]

# Trials after the first six wait for a file.
OBJECTIVE = """
import pathlib, time, uuid

def gated(params):
    pathlib.Path("begun-" + uuid.uuid4().hex).touch()
    while len(list(pathlib.Path().glob("begun-*"))) > 6 and not pathlib.Path("go").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""
# Sessions of the server are short, so that a session that ends says nothing about its manager.
CONFIGURATION = """
[databases]
ledger = host={host} port={port} dbname=ledger
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 3
server_lifetime = 2
server_idle_timeout = 1
unix_socket_dir =
logfile = {log}
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create database ledger")
        upgrade(make_conninfo(server.url, dbname="ledger"))
        yield server


@pytest.fixture
def pooled(postgres: Server) -> Iterator[str]:
    """URL of the ledger behind PgBouncer."""
    # PgBouncer does not run as root, and its user cannot enter pytest's folders
    user = ["-u", "daemon"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    folder.chmod(0o777)
    users, file, log, listen = folder / "users.txt", folder / "pgbouncer.ini", folder / "log", free_port()
    users.write_text(f'"{USER}" "{postgres.password}"\n')
    file.write_text(CONFIGURATION.format(host=postgres.host, port=postgres.port, listen=listen, users=users, log=log))
    assert PGBOUNCER is not None
    process = subprocess.Popen([PGBOUNCER, *user, str(file)], stderr=subprocess.DEVNULL)
    url = f"postgresql://{USER}:{postgres.password}@127.0.0.1:{listen}/ledger"
    try:
        wait_until(lambda: _answers(url))
        yield url
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    psycopg.connect(url, connect_timeout=10).close()
    return True


def test_a_killed_manager_behind_a_pooler_is_replaced(postgres: Server, pooled: str, tmp_path: Path) -> None:
    own_study(tmp_path, OBJECTIVE, "gated", batch_size=4)
    study = ["own.toml", "--iterations", "5"]
    pool, direct = (
        Program(tmp_path, DATABASE_URL=url, PYTHONPATH=str(tmp_path))
        for url in (pooled, make_conninfo(postgres.url, dbname="ledger"))
    )

    with psycopg.connect(make_conninfo(postgres.url, dbname="ledger"), autocommit=True) as connection:

        def complete() -> int:
            row = connection.execute("select count(*) from ledger.trial where state = 'complete'").fetchone()
            assert row is not None
            return int(row[0])

        first = pool.start("manager", *study)
        workers = [pool.start("worker", "--study", "own", "--until-complete", "--allow", "mine") for _ in range(2)]
        wait_until(lambda: complete() >= 4)
        assert connection.execute("select backend_pid from ledger.manager").fetchall() == [(None,)]
        assert "has a manager" in pool.run("manager", *study, code=1)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        (tmp_path / "go").touch()
        # its sessions are the pooler's, so that only its lease says that it has ended
        second = pool.start("manager", *study, "--wait")
        out, error = second.communicate()
        assert second.returncode == 0, error
        for worker in workers:
            assert worker.communicate() is not None
            assert worker.returncode == 0
        assert complete() == 20
        assert connection.execute("select count(*) from ledger.manager").fetchone() == (0,)
    assert "20 of 20 trials" in out
    assert "the records of study own are consistent: 20 trials" in direct.run("verify", "own")
