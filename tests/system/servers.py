"""Separate PostgreSQL server for a test, with its own settings, which the test can stop, crash and restart."""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import psycopg
import pytest

from ledger import embedded
from ledger.embedded.account import run_as, server_account
from ledger.embedded.folders import make_private
from tests.system.programs import alive, children_of, wait_until

# The signals of `pg_ctl stop -m`. pg_ctl itself refuses to run as root.
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
USER = "ledger"
# The program of the wheel, or the Docker image of the server.
EMBEDDED, IMAGE = "embedded", "postgres:17"
# Parameters of a test or a fixture that uses a server of each version.
VERSIONS = [EMBEDDED, pytest.param(IMAGE, marks=pytest.mark.container)]
# Default settings; a test can override them.
SETTINGS = {"max_connections": 100, "shared_buffers": "32MB", "log_connections": "off"}


class Server:
    """A server on a fixed port of 127.0.0.1 with PostgreSQL's full durability.

    Parameters
    ----------
    folder : Path
        Folder of the data, the log and the password. It is created if it does not exist.
    version : str
        EMBEDDED, or IMAGE for a server in a Docker container, which shares the network, the processes and the folders
        of this machine.
    environment : mapping
        Variables of the server's environment, in addition to those of this process.
    wal : Path or None
        Folder of the write-ahead log; None for the folder of the data.
    elsewhere : collection of Path
        Folders of tablespaces.
    **settings
        Settings of postgresql.conf, such as ``max_connections=20``. A later change of `settings` has an effect at the
        next start.

    Attributes
    ----------
    url : str
        URL of the maintenance database, as a superuser.
    starts : int
        Number of starts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str = EMBEDDED,
        environment: Mapping[str, str] | None = None,
        wal: Path | None = None,
        elsewhere: Collection[Path] = (),
        **settings: object,
    ) -> None:
        self.folder, self.data, self.log = folder, folder / "data", folder / "postgres.log"
        self._version, self._variables = version, dict(environment or {})
        self._wal, self._elsewhere = wal, elsewhere
        self.settings: dict[str, object] = {**SETTINGS, **settings}
        self.host, self.port = "127.0.0.1", free_port()
        self.password = secrets.token_hex(12)
        self.starts = 0
        # `_process` runs the server, or is the client of the server's container
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@{self.host}:{self.port}/postgres"

    @property
    def is_running(self) -> bool:
        """Whether the server's first process exists. The server may not accept connections yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def processes(self) -> list[int]:
        """The ids of the server's processes, beginning with the first process."""
        return [self._pid, *children_of(self._pid)] if self._process is not None else []

    def __enter__(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_running and self.data.joinpath("postmaster.pid").exists():
            # only a server that shuts down by itself releases its shared memory
            self.start()
        if self.is_running:
            self.stop("immediate")
        shutil.rmtree(self.data)

    def start(self) -> None:
        """Start the server, and wait until it has recovered and accepts connections."""
        assert not self.is_running
        listen = {"listen_addresses": self.host, "port": self.port, "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in {**self.settings, **listen}.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self.data), *options, variables=self._variables),
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        wait_until(self._accepts)
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        self._pid = first if self._version == IMAGE else self._process.pid

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `smart` waits for the clients, `fast` ends their sessions, `immediate` is a crash."""
        assert self._process is not None
        os.kill(self._pid, SIGNALS[mode])
        self._process.wait()

    def kill(self) -> None:
        """Kill all processes of the server with SIGKILL, like a power failure."""
        assert self._process is not None
        # stop the first process first, so that it starts no other process
        os.kill(self._pid, signal.SIGSTOP)
        processes = self.processes
        for pid in reversed(processes):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        # a start is refused while a process that uses the shared memory exists
        wait_until(lambda: not any(alive(pid) for pid in processes))

    def restart(self, mode: str = "fast") -> None:
        """Stop the server in a mode of `stop`, or with `kill`, and start it again."""
        if mode == "kill":
            self.kill()
        else:
            self.stop(mode)
        self.start()

    def _make(self) -> None:
        owner = server_account()
        make_private(self.data, owner)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        if owner is not None:
            os.chown(password, *owner)
        access = ["--auth-local=reject", "--auth-host=scram-sha-256", f"--pwfile={password}"]
        # new data need no sync
        options = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        if self._wal is not None:
            make_private(self._wal, owner)
            # small segments, so that a small disk is enough
            options += [f"--waldir={self._wal}", "--wal-segsize=1"]
        initdb = self._command("initdb", f"--pgdata={self.data}", f"--username={USER}", *access, *options)
        with self.log.open("ab") as log:
            subprocess.run(initdb, cwd=self.folder, env=_environment(), stdout=log, stderr=log, check=True)

    def _command(self, program: str, *arguments: str, variables: Mapping[str, str] | None = None) -> list[str]:
        """Return the command that runs a program of PostgreSQL as the account of the servers."""
        owner = server_account()
        variables = variables or {}
        given = [f"{name}={value}" for name, value in variables.items()]
        if self._version == EMBEDDED:
            # the variables are set for the server only, not for the program that changes the user
            return [*run_as(owner), *(["env", *given] if given else []), str(embedded.program(program)), *arguments]
        user, group = owner or (os.getuid(), os.getgid())
        folders = [self.data, self.folder / "password", *self._elsewhere, *([] if self._wal is None else [self._wal])]
        # PostgreSQL asks for the name of its user
        shared = {Path("/etc/passwd"): "ro", Path("/etc/group"): "ro", **dict.fromkeys(folders, "rw")}
        for variable in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            if variable in variables:
                shared[Path(variables[variable]).parent] = "ro"
        return [
            *("docker", "run", "--rm", "--network=host", "--ipc=host", "--pid=host", f"--user={user}:{group}"),
            *(f"--volume={path}:{path}:{mode}" for path, mode in shared.items()),
            *(f"--env={each}" for each in given),
            *(f"--entrypoint={program}", IMAGE, *arguments),
        ]

    def _accepts(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            # the server runs; it is full or read-only because the test made it so
            return "too many clients" in str(error) or "remaining connection slots" in str(error)
        return True


def free_port() -> int:
    """Return a free port outside the range of outgoing connections, so that it is still free after a restart."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
