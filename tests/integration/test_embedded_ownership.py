"""The embedded server uses only what belongs to its user, and nothing in its data chooses a program for it to run."""

import importlib.metadata
import os
import pwd
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from ledger import embedded
from ledger.embedded import configuration
from ledger.embedded.interrupt import interrupt
from ledger.embedded.server import WHEEL
from ledger.errors import LedgerError
from tests.fuzz import check_told, run

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
ANOTHER = 65534
VERSION = int(importlib.metadata.version(WHEEL).partition(".")[0])
PARTS = ["", "data", "run", "users.lock", "server.lock", "processes.lock", "postgres.log"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("embedded") / "home"
    with embedded.running(home, create=True):
        pass
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A home of its own for each test, whose server does not run."""
    subprocess.run(["cp", "-a", str(made), str(tmp_path)], check=True)
    return tmp_path / "home"


def refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the line with which commands refuse a home."""
    code, out, error = run(["study", "list"], {"LEDGER_HOME": str(home)})
    check_told(code, error)
    assert (code, out) == (1, "")
    assert run(["run", "--model", "svm", "--trials", "1"], {"LEDGER_HOME": str(home)})[0] == 1
    assert "LEDGER_HOME" in error
    return error


def plant(home: Path, marker: Path) -> None:
    """Write settings into the data that run a command and refuse every login."""
    command = f"touch {marker}"
    lines = [
        *("archive_mode = on", "archive_timeout = 1", f"archive_command = '{command}'"),
        *("shared_preload_libraries = 'planted'", "session_preload_libraries = 'planted'"),
        *("local_preload_libraries = 'planted'", f"restore_command = '{command}'"),
        *(f"ssl_passphrase_command = '{command}'", "listen_addresses = '*'"),
    ]
    for name in ("postgresql.conf", "postgresql.auto.conf"):
        with (home / "data" / name).open("a") as file:
            file.write("\n".join(["", *lines, ""]))
    (home / "data" / "pg_hba.conf").write_text("local all all reject\n")


@as_root
@pytest.mark.parametrize("part", PARTS)
def test_what_another_user_owns_is_refused_and_runs_nothing(home, tmp_path, monkeypatch, part):
    plant(home, tmp_path / "ran")
    for path in [home / part, *(home / part).rglob("*")]:
        os.chown(path, ANOTHER, ANOTHER, follow_symlinks=False)
    error = refused(home, monkeypatch)
    assert f"{home / part} belongs to user {pwd.getpwuid(ANOTHER).pw_name}:" in error
    assert not (tmp_path / "ran").exists()
    # nothing was taken over
    assert (home / part).stat().st_uid == ANOTHER


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_what_other_users_can_write_to_is_refused(home, monkeypatch, part, bit):
    path = home / part
    path.chmod(path.stat().st_mode | bit)
    assert f"chmod go-w {path}" in refused(home, monkeypatch)


@pytest.mark.parametrize("part", PARTS[1:])
def test_a_symbolic_link_inside_the_home_is_refused(home, tmp_path, monkeypatch, part):
    (home / part).rename(tmp_path / "moved")
    (home / part).symlink_to(tmp_path / "moved")
    assert f"{home / part} is not a" in refused(home, monkeypatch)


@pytest.mark.parametrize("part", PARTS)
def test_a_named_pipe_or_a_loop_of_links_is_refused(home, monkeypatch, part):
    path = home / part
    if part.endswith((".lock", ".log")):
        path.unlink()
        os.mkfifo(path)
    else:
        shutil.rmtree(path)
        path.symlink_to(path.name)
    assert str(path) in refused(home, monkeypatch)


def test_no_address_of_a_server_of_another_user_is_printed(home):
    (home / "run").chmod(0o777)
    code, out, error = run(["db", "url"], {"LEDGER_HOME": str(home)})
    check_told(code, error)
    assert (code, out) == (1, "")


def test_a_link_to_a_home_of_the_same_user_is_followed(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    with embedded.running(tmp_path / "link", create=False) as url:
        assert url == embedded.url(home)


def test_no_umask_lets_other_users_write_to_a_new_home(tmp_path):
    start = "import os, sys; from pathlib import Path; from ledger import embedded; os.umask(0)\n"
    start += "with embedded.running(Path(sys.argv[1]), create=True): pass"
    subprocess.run([sys.executable, "-c", start, str(tmp_path / "home")], check=True)
    for path in (tmp_path / "home").iterdir():
        assert not path.stat().st_mode & 0o022, path
    with embedded.running(tmp_path / "home", create=False):
        pass


def test_no_file_in_the_data_makes_the_server_run_a_program(home, tmp_path):
    plant(home, tmp_path / "ran")
    with embedded.running(home, create=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_switch_wal()")
        rows = connection.execute("select name, reset_val from pg_settings").fetchall()
        values: dict[str, str] = dict(rows)
        for option in configuration.options(home / "run", VERSION)[1::2]:
            name, value = option.split("=", 1)
            assert values[name] == value, name
        rules = connection.execute("select auth_method from pg_hba_file_rules where error is null").fetchall()
        assert set(rules) == {("trust",)}
        (files,) = connection.execute("select array_agg(distinct sourcefile) from pg_settings").fetchall()
        assert str(home / "data" / "postgresql.conf") not in files[0]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("of", ["database ledger", "role ledger", "role ledger in database ledger", "role all"])
@pytest.mark.parametrize("name", configuration.of_sessions(VERSION))
def test_data_with_a_setting_that_loads_code_are_refused(home, monkeypatch, of, name):
    with embedded.running(home, create=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter {of} set {name} = {'on' if name == 'event_triggers' else 'planted'}")
    error = refused(home, monkeypatch)
    assert f"the data in {home} contain the setting {name} of a database or a role" in error
    assert not embedded.is_running(home)


@pytest.mark.skipif(VERSION < 17, reason="only PostgreSQL 17 and newer run triggers at a login")
def test_no_trigger_in_the_data_runs_at_a_login(home):
    with embedded.running(home, create=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table logins (at timestamptz)")
        connection.execute(
            "create function planted() returns event_trigger language plpgsql as"
            " $$ begin insert into logins values (now()); end $$"
        )
        connection.execute("create event trigger planted on login execute function planted()")
        connection.execute("alter event trigger planted enable always")
    with embedded.running(home, create=False) as url, psycopg.connect(url) as connection:
        assert connection.execute("select from logins").fetchall() == []


@contextmanager
def stranger(*command, **options):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
            assert process.poll() is None
        finally:
            process.kill()


@pytest.mark.parametrize("planted", ["{}\n", "no number\n"])
def test_the_stop_of_a_server_signals_only_the_server(home, planted):
    with stranger("sleep", "600") as process:
        with embedded.running(home, create=False):
            (home / "data" / "postmaster.pid").write_text(planted.format(process.pid))
        assert not embedded.is_running(home)


LISTENER = """
import fcntl, os, pathlib, socket, sys
home = pathlib.Path(sys.argv[1])
lock = (home / "processes.lock").open("r+b")
fcntl.flock(lock, fcntl.LOCK_SH)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(home / "run" / ".s.PGSQL.5432"))
listener.listen()
(home / "data" / "postmaster.pid").write_text(f"{os.getpid()}\\n")
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["linux", "darwin"])
def platform(request, monkeypatch):
    """Use the way of each platform to find the server's process. The way of macOS works on Linux, too."""
    if request.param == "linux" and sys.platform != "linux":
        pytest.skip("only Linux names the process behind a socket and holds a process by a descriptor")
    monkeypatch.setattr("ledger.embedded.interrupt.sys", SimpleNamespace(platform=request.param))


def test_the_last_user_finds_and_stops_the_server(home, platform):
    with embedded.running(home, create=False):
        pass
    assert not embedded.is_running(home)


def test_a_process_in_the_place_of_the_server_gets_no_signal(home, platform):
    with stranger(sys.executable, "-c", LISTENER, str(home), stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "listening\n"
        with pytest.raises(LedgerError, match=rf"process (id )?{process.pid}.*{home}"):
            interrupt(home)
        assert process.poll() is None
