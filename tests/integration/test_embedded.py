"""The embedded server: its first user starts it, its last one stops it, and no accident breaks it."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.embedded import server
from ledger.errors import LedgerError
from tests.system.programs import wait_until

# A user of the server in a process of its own: prints the URL when the server runs, ends at the end of its input.
USER = """
import sys
from pathlib import Path
from ledger import embedded
with embedded.running(Path(sys.argv[1]), create=True) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def user(home: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def entered(process: subprocess.Popen[str]) -> str:
    """Wait until the server runs for this user, and return its URL."""
    assert process.stdout
    return process.stdout.readline().strip()


def server_pid(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text().split()[0])


def sockets(url: str) -> Path:
    return Path(str(conninfo_to_dict(url)["host"]))


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row
        return row[0]


def refused(home: Path, *, create: bool) -> str:
    """Return the error of a use that is refused."""
    with pytest.raises(LedgerError) as error, embedded.running(home, create=create):
        pass
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("embedded") / "home"
    with embedded.running(home, create=True) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    return home


@pytest.fixture
def home(made: Path) -> Path:
    """A home with data whose server does not run."""
    assert not embedded.is_running(made)
    return made


def test_data_outlive_the_server(home):
    for _ in range(2):
        assert not embedded.is_running(home)
        with embedded.running(home, create=False) as url:
            assert embedded.is_running(home)
            assert url == embedded.url(home)
            assert ask(url, "SELECT answer FROM kept") == 42
    assert not embedded.is_running(home)


def test_the_server_is_durable_and_only_its_owner_can_reach_it(home):
    with embedded.running(home, create=False) as url:
        settings = {name: ask(url, f"SHOW {name}") for name in ("fsync", "listen_addresses", "server_encoding")}
        assert settings == {"fsync": "on", "listen_addresses": "", "server_encoding": "UTF8"}
        assert ask(url, "SELECT current_user || '@' || current_database()") == "ledger@ledger"
        for folder in (sockets(url), home / "data"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_environment_does_not_change_the_server_or_its_url(home, monkeypatch):
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nowhere", "PGUSER": "unknown"}.items():
        monkeypatch.setenv(name, value)
    with embedded.running(home, create=False) as url:
        assert ask(url, "SELECT answer FROM kept") == 42


def test_settings_of_the_data_do_not_hide_the_server(home):
    with embedded.running(home, create=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET port = 1")
        connection.execute("ALTER SYSTEM SET unix_socket_directories = ''")
    with embedded.running(home, create=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")
        assert ask(url, "SELECT answer FROM kept") == 42


def test_the_last_user_stops_the_server(home):
    with user(home) as other:
        assert entered(other)
        with embedded.running(home, create=False) as url:
            pass
        assert ask(url, "SELECT answer FROM kept") == 42
        _, errors = other.communicate("")
        assert not errors
    assert not embedded.is_running(home)


def test_each_use_within_one_process_counts(home):
    with embedded.running(home, create=False) as url:
        with embedded.running(home, create=False):
            pass
        assert ask(url, "SELECT answer FROM kept") == 42
    assert not embedded.is_running(home)


def test_users_that_start_simultaneously_share_one_server(tmp_path):
    home = tmp_path / "home"
    with ExitStack() as stack:
        users = [stack.enter_context(user(home)) for _ in range(3)]
        assert [entered(process) for process in users] == [embedded.url(home)] * 3
        for process in users:
            _, errors = process.communicate("")
            assert not errors
    assert not embedded.is_running(home)
    assert (home / "postgres.log").read_text().count("listening on Unix socket") == 1


def test_users_that_start_and_stop_often_never_lose_the_server(home):
    # The end of one user races with the start of another. A user always has a server.
    loop = (
        "import sys, psycopg; from pathlib import Path; from ledger import embedded\n"
        "for _ in range(10):\n"
        "    with embedded.running(Path(sys.argv[1]), create=False) as url, psycopg.connect(url) as connection:\n"
        "        connection.execute('SELECT answer FROM kept')\n"
    )
    users = [
        subprocess.Popen([sys.executable, "-c", loop, str(home)], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate()[1] for process in users] == ["", "", ""]
    assert not embedded.is_running(home)


def test_a_killed_user_does_not_count(home):
    with user(home) as other:
        assert entered(other)
        other.kill()
        other.wait()
        assert embedded.is_running(home)
        with embedded.running(home, create=False) as url:
            assert ask(url, "SELECT answer FROM kept") == 42
        assert not embedded.is_running(home)


def test_a_child_that_outlives_its_killed_user_does_not_count(home):
    parent = (
        "import subprocess, sys; from pathlib import Path; from ledger import embedded\n"
        "with embedded.running(Path(sys.argv[1]), create=False):\n"
        "    quiet = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.DEVNULL)\n"
        "    child = subprocess.Popen(['sleep', '600'], close_fds=False, **quiet)\n"
        "    print(child.pid, flush=True)\n"
        "    child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(home)], stdout=subprocess.PIPE, text=True) as process:
        child = int(entered(process))
        process.kill()
    try:
        with embedded.running(home, create=False):
            pass
        assert not embedded.is_running(home)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_server_starts_again_although_its_process_id_is_reused(home):
    with embedded.running(home, create=False) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE later AS SELECT 7 AS n")
        pid = server_pid(home)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not embedded.is_running(home))
        stranger = subprocess.Popen(["sleep", "600"], user=(home / "data").stat().st_uid)
        try:
            for file in (home / "data" / "postmaster.pid", sockets(url) / ".s.PGSQL.5432.lock"):
                file.write_text(file.read_text().replace(str(pid), str(stranger.pid), 1))
            with embedded.running(home, create=False):
                assert ask(url, "SELECT n FROM later") == 7
                assert server_pid(home) != pid
        finally:
            assert stranger.poll() is None
            stranger.kill()
            stranger.wait()
    assert not embedded.is_running(home)


@pytest.mark.parametrize("text", ["", "\0\0\0\0", "not a number\n"])
def test_a_damaged_process_id_file_does_not_stop_a_start(home, text):
    (home / "data" / "postmaster.pid").write_text(text)
    with embedded.running(home, create=False) as url:
        assert ask(url, "SELECT answer FROM kept") == 42


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the working folder of another process")
def test_a_server_that_was_started_by_other_means_is_refused(home):
    file = home / "data" / "postmaster.pid"
    with subprocess.Popen(["sleep", "600"], cwd=home / "data") as other:
        file.write_text(f"{other.pid}\n")
        try:
            assert str(other.pid) in refused(home, create=False)
            assert file.exists()
        finally:
            other.kill()
            file.unlink()


def test_ctrl_c_does_not_reach_the_server(home):
    with user(home) as other:
        assert entered(other)
        with embedded.running(home, create=False) as url:
            assert os.getsid(server_pid(home)) not in (os.getsid(0), os.getsid(other.pid))
            os.killpg(other.pid, signal.SIGINT)
            _, errors = other.communicate()
            assert "KeyboardInterrupt" in errors
            assert ask(url, "SELECT answer FROM kept") == 42
    assert not embedded.is_running(home)


def can_unshare() -> bool:
    """Return whether this is root, and may have mounts of its own."""
    mounts = ["unshare", "--mount", "true"]
    return os.geteuid() == 0 and subprocess.run(mounts, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="only root can create a system user, in an /etc of its own")
def test_simultaneous_first_starts_of_root_create_one_system_user(tmp_path):
    # useradd alone sometimes replaces a user that was created while it waited for its lock
    script = """
        set -eu
        PATH=$1:$PATH
        cp -a /etc "$1/etc"
        mount --bind "$1/etc" /etc
        sed -i '/^ledger-postgres:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow
        for home in 1 2 3 4; do "$2" -c "$3" "$1/$home" </dev/null & users="${users-} $!"; done
        for user in $users; do wait "$user"; done
    """
    calls, slow = tmp_path / "calls", tmp_path / "useradd"
    slow.write_text(f'#!/bin/sh\necho called >>{calls}\nsleep 1\nexec /usr/sbin/useradd "$@"\n')
    slow.chmod(0o755)
    start = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, USER]
    assert subprocess.run(start, capture_output=True, text=True, check=True).stdout.count("postgresql://") == 4
    assert calls.read_text() == "called\n"
    owners = {(tmp_path / home / "data").stat().st_uid for home in "1234"}
    entries = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    assert owners == {int(entry[2]) for entry in entries if entry[0] == "ledger-postgres"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_first_start_leaves_no_incomplete_data(tmp_path, number):
    home = tmp_path / "home"
    with user(home) as other:
        wait_until((home / "data.new" / "PG_VERSION").exists)
        other.send_signal(number)
        other.wait()
    if number == signal.SIGINT:
        assert not embedded.is_running(home)
    with embedded.running(home, create=True) as url:
        assert ask(url, "SELECT 1") == 1
    assert not (home / "data.new").exists()
    assert not embedded.is_running(home)


def test_the_remains_of_an_initdb_are_removed(tmp_path):
    left = tmp_path / "home" / "data.new"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    assert not embedded.exists(tmp_path / "home")
    with embedded.running(tmp_path / "home", create=True) as url:
        assert ask(url, "SELECT 1") == 1
    assert embedded.exists(tmp_path / "home")


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        pytest.param("""a b "c" 'd' $HOME `id` %20 \\ é;&#?""", True, id="quotes"),
        pytest.param("a, b", False, id="comma"),
        pytest.param("long" * 30, False, id="long"),
    ],
)
def test_every_path_is_accepted(name, inside, monkeypatch):
    # A short parent, so that the name alone decides; the length of tmp_path depends on the options of pytest.
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        home = Path(parent, name)
        monkeypatch.chdir(parent)
        with embedded.running(Path(name), create=True) as url:
            assert url == embedded.url(home)
            assert ask(url, "SHOW data_directory") == str(home / "data")
            assert (sockets(url) == home / "run") == inside
            assert stat.S_IMODE(sockets(url).stat().st_mode) == 0o700
        assert sockets(url).exists() == inside
        monkeypatch.chdir("/")


def test_a_socket_folder_of_another_user_is_refused(tmp_path):
    home = tmp_path / ("long" * 30)
    folder = sockets(embedded.url(home))
    folder.symlink_to(tmp_path)
    try:
        assert str(folder) in refused(home, create=True)
    finally:
        folder.unlink()
    assert not embedded.exists(home)


def test_data_of_another_major_version_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    message = refused(tmp_path, create=True)
    assert f"PostgreSQL 12 created {tmp_path / 'data'}, but PostgreSQL" in message
    assert "pg_dump" in message
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["PG_VERSION"]


def test_a_missing_home_is_refused_and_not_created(tmp_path):
    message = refused(tmp_path / "home", create=False)
    assert str(tmp_path / "home") in message
    assert "ledger run" in message
    assert "--database-url" in message
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    message = refused(tmp_path / "file" / "home", create=True)
    assert str(tmp_path / "file" / "home") in message
    assert "LEDGER_HOME" in message


def test_a_failed_start_is_reported_with_its_reason_and_log(home):
    settings = home / "data" / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text(f"{before}\nshared_buffers = 'plenty'\n")
    try:
        message = refused(home, create=False)
    finally:
        settings.write_text(before)
    assert "contains errors" in message
    assert str(home / "postgres.log") in message
    assert not embedded.is_running(home)


def test_a_failed_initdb_is_reported_and_leaves_no_data(tmp_path, monkeypatch):
    program = embedded.program
    full = tmp_path / "initdb"
    full.write_text(
        "#!/bin/sh\necho 'initdb: error: the disk is full' >&2\necho 'initdb: removing it all' >&2\nexit 1\n"
    )
    full.chmod(0o755)
    monkeypatch.setattr(server, "program", lambda name: full if name == "initdb" else program(name))
    message = refused(tmp_path / "home", create=True)
    assert "the disk is full" in message
    assert str(tmp_path / "home" / "postgres.log") in message
    assert not embedded.exists(tmp_path / "home")
