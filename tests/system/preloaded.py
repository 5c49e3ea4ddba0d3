"""Processes of `ledger` and of Python programs that have the modules of the ledger in memory when they start.

A template process imports the modules once, and forks a process for each command. So a command takes a fifth of the
processor time. Each process has its own folder, environment, session, input and output. For such a process, /proc shows
the command line and the environment of the template. The workers and trainers that a command starts import their
modules themselves, as those of a user do.
"""

import atexit
import builtins
import gc
import inspect
import json
import os
import select
import socket
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# The modules of the usual commands. So a process can have modules in memory that its own command would not import.
MODULES = (
    *("ledger.cli.search", "ledger.cli.status", "ledger.cli.study", "ledger.cli.trial", "ledger.cli.worker"),
    *("ledger.cli.export", "ledger.cli.verify", "ledger.cli.query", "ledger.search", "ledger.manager.loop"),
    *("ledger.optimizer", "ledger.database.migration", "alembic.command", "sqlalchemy.dialects.postgresql"),
)
# Variables that Python or a library reads when it starts or is imported.
_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "OMP_", "OPENBLAS_", "MKL_", "MALLOC_")
_LEDGER = ["-m", "ledger"]
# Length of the process id and the exit status, in bytes.
_NUMBER = 8
# Higher than each descriptor of the template.
_DESCRIPTORS = 2**16
_ROOT = Path(__file__).parents[2]


class Process(subprocess.Popen[str]):
    """A process of the template, with the methods of `subprocess.Popen`.

    The arguments are those of Python: "-m", "ledger" and the words of a command, or the file of a script and its
    arguments. The process is a child of the template, so the template waits for its end, and writes its status to a
    pipe. The process begins a new session.
    """

    def _execute_child(self, *positional: Any, **named: Any) -> None:
        signature = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
        given = signature.bind(self, *positional, **named).arguments
        self._status, writer = os.pipe()
        streams = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        request = {
            "arguments": given["args"],
            "folder": os.fspath(given["cwd"] or Path.cwd()),
            "environment": dict(given["env"] or os.environ),
        }
        try:
            _template().send(request, [2 if stream == -1 else stream for stream in streams] + [writer])
        finally:
            os.close(writer)
        self.pid = self._read()
        self._child_created = True
        pipes = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *_args: Any, **_named: Any) -> int | None:
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None:
                pid, status = self._try_wait(os.WNOHANG)
                if pid == self.pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags == os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        status = self._read()
        os.close(self._status)
        return self.pid, status

    def _read(self) -> int:
        number = os.read(self._status, _NUMBER)
        assert len(number) == _NUMBER, "the template process has ended"
        return int.from_bytes(number, "little")


def can_start(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the template can run this program, and has read the same variables at its start as a new process would.

    The template needs Linux. A run that measures the coverage needs new processes.
    """
    is_known = list(arguments[:2]) == _LEDGER or not arguments[0].startswith("-")
    is_measured = "COVERAGE_PROCESS_CONFIG" in os.environ
    return sys.platform == "linux" and is_known and not is_measured and _at_start(environment) == _at_start(os.environ)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START) and name != "PYTHONPATH"}


class _Template:
    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()

    def send(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        # The kernel limits the size of a packet, and an environment can be larger.
        content = json.dumps(request).encode("utf-8", "surrogateescape")
        with os.fdopen(os.memfd_create("request"), "wb+") as file:
            file.write(content)
            file.flush()
            socket.send_fds(self._socket, [b"x"], [file.fileno(), *descriptors])


@cache
def _template() -> _Template:
    return _Template()


def _serve(connection: socket.socket) -> None:
    """Fork a process for each request, and return in the new process only."""
    ends: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in ends:
                pid, writer = ends.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                _, status = os.waitpid(pid, 0)
                _write(writer, status)
                os.close(writer)
                continue
            message, descriptors, _, _ = socket.recv_fds(connection, 1, 5)
            if not message:
                os._exit(0)
            file, *streams, writer = descriptors
            pid = os.fork()
            if pid == 0:
                request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
                for target, stream in enumerate(streams):
                    os.dup2(stream, target)
                os.closerange(3, _DESCRIPTORS)
                _become(request)
                return
            for other in (file, *streams):
                os.close(other)
            _write(writer, pid)
            ended = os.pidfd_open(pid)
            ends[ended] = pid, writer
            poll.register(ended, select.POLLIN)


def _write(writer: int, number: int) -> None:
    # A test may forget a process, and close the pipe.
    with suppress(BrokenPipeError):
        os.write(writer, number.to_bytes(_NUMBER, "little"))


def _become(request: Mapping[str, Any]) -> None:
    """Set the state of this process that a new process has."""
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.orig_argv[:] = [sys.executable, *request["arguments"]]
    folder, arguments = request["folder"], request["arguments"]
    if arguments[:2] == _LEDGER:
        sys.argv = [str(_ROOT / "ledger" / "__main__.py"), *arguments[2:]]
    else:
        script = Path(folder, arguments[0])
        folder = str(script.resolve().parent)
        sys.argv = arguments
    path = os.environ.get("PYTHONPATH")
    sys.path[:] = [folder, *(path.split(os.pathsep) if path else ()), *sys.path]
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old = getattr(sys, name)
        stream = open(  # noqa: SIM115 (it is open until the end of the process)
            descriptor,
            mode,
            encoding=old.encoding,
            errors=old.errors,
            buffering=1 if name == "stderr" or os.isatty(descriptor) else -1,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run() -> None:
    """Run the command `ledger` or the script of `sys.argv` as the module `__main__`."""
    if sys.orig_argv[1:3] == _LEDGER:
        from ledger.cli import main

        main()
    script = str(Path(sys.argv[0]).absolute())
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    exec(compile(Path(script).read_bytes(), script, "exec"), module.__dict__)


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        import_module(module)
    sys.path.remove(str(_ROOT))
    gc.freeze()
    _serve(connection)
    _run()


if __name__ == "__main__":
    main()
