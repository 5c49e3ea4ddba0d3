"""Processes of `ledger` and of Python programs that have the modules of the ledger in memory when they start.

A template process imports the modules once, and forks itself for each process that a test, or a process of a test,
starts. So a command, a worker or a trainer takes a fifth of the processor time. Each such process is a child of the
process that starts it. It has its own arguments, folder, environment, session, input, output and descriptors, also in
/proc. The template of a process is forked before the process gets any of these, so a worker or a trainer of a command
begins in the same state as the command.

Tests about the start of a process use the fixture `new_processes`.
"""

import atexit
import builtins
import ctypes
import fcntl
import gc
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

# The modules of the usual processes. So a process can have modules in memory that it would not import itself.
MODULES = (
    *("ledger.cli.search", "ledger.cli.status", "ledger.cli.study", "ledger.cli.trial", "ledger.cli.worker"),
    *("ledger.cli.export", "ledger.cli.verify", "ledger.cli.query", "ledger.search", "ledger.manager.loop"),
    *("ledger.optimizer", "ledger.database.migration", "alembic.command", "sqlalchemy.dialects.postgresql"),
    *("ledger.worker.supervisor", "ledger.objectives"),
)
_LEDGER, _TRAINER = "ledger", "ledger.worker.trainer_process"
# Variables that Python or a library reads when it starts or is imported.
_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "OMP_", "OPENBLAS_", "MKL_", "MALLOC_")
# Space in the memory of the template for the arguments and for the environment of a process, in bytes.
_ROOM = 2**16
_PADDING = "PADDING"
# Length of a process id in a message, in bytes, and the most descriptors of a request.
_NUMBER, _MOST = 8, 64
# Bits of the first byte of a request: the new process gets a session, and a template.
_SESSION, _TEMPLATE = 1, 2
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_execute_really = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_execve_really = os.execve
_signature = inspect.signature(_execute_really)
_lock = threading.Lock()
# Whether this process uses a template.
_is_on = False
# The connection with the template of this process, and the variables with which the first template has started.
_connection: socket.socket | None = None
_variables: dict[str, str] = {}


def install() -> None:
    """Let this process start processes from its template. A test process starts its template here.

    The template needs Linux. A run that measures the coverage needs new processes.
    """
    global _is_on
    if _is_on or sys.platform != "linux" or "COVERAGE_PROCESS_CONFIG" in os.environ:
        return
    if _connection is None:
        _start_template()
    _is_on = True
    subprocess.Popen._execute_child = _execute_child  # type: ignore[attr-defined]


@contextmanager
def without_template() -> Iterator[None]:
    """Start each child process of this process as a new one, and so the children of the child processes."""
    global _is_on
    before, _is_on = _is_on, False
    try:
        yield
    finally:
        _is_on = before


def is_template(pid: int) -> bool:
    """Whether a process is the template of another one."""
    try:
        return os.fsencode(__file__) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _execute_child(self: Any, *positional: Any, **named: Any) -> None:
    given = _signature.bind(self, *positional, **named).arguments
    if not _is_plain(given):
        _execute_really(self, *positional, **named)
        return
    arguments = [os.fsdecode(word) for word in given["args"]]
    environment = dict(os.environ if given["env"] is None else given["env"])
    if not _can_start(arguments, environment):
        _execute_really(self, *positional, **named)
        return
    streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
    passed = list(given["pass_fds"])
    request = {
        "arguments": arguments,
        "environment": {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()},
        "folder": os.fsdecode(given["cwd"] or Path.cwd()),
        # the template has another group
        "group": os.getpgrp() if given["process_group"] == -1 else given["process_group"],
        "descriptors": [0, 1, 2, *passed],
    }
    sent = [number if stream == -1 else stream for number, stream in enumerate(streams)]
    # a trainer starts no process of the ledger
    kind = _SESSION * given["start_new_session"] | _TEMPLATE * (_TRAINER not in arguments)
    self.pid = _start(kind, request, sent + passed)
    self._child_created = True
    names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    self._close_pipe_fds(*(given[name] for name in names))


def _is_plain(given: Mapping[str, Any]) -> bool:
    """Whether the arguments of Popen describe a process of this user, with nothing that only a new process has."""
    special = ("shell", "executable", "preexec_fn", "gid", "gids", "uid")
    is_plain = not isinstance(given["args"], str | bytes | os.PathLike) and all(not given[name] for name in special)
    return _is_on and is_plain and given["close_fds"] and given["umask"] < 0 and Path(given["cwd"] or ".").is_dir()


def _can_start(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the template knows this program, and has read the same variables at its start as a new process would."""
    match arguments[1:]:
        case ["-P", "-m", module, options, *_] if module == _TRAINER:
            # the modules of the template count too
            is_known = json.loads(options)["memory_limit"] is None
        case ["-P", "-m", module, *_] | ["-m", module, *_]:
            is_known = module == _LEDGER
        case [script, *_]:
            is_known = not script.startswith("-")
        case _:
            is_known = False
    sizes = [sum(len(os.fsencode(f"{text}=")) + 1 for text in texts) for texts in (arguments, _lines(environment))]
    return (
        arguments[0] == sys.executable
        and is_known
        and max(sizes) < _ROOM
        and _at_start(environment) == _at_start(_variables)
    )


def _lines(environment: Mapping[str, str]) -> list[str]:
    return [f"{os.fsdecode(name)}={os.fsdecode(value)}" for name, value in environment.items()]


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START) and name != "PYTHONPATH"}


def _start(kind: int, request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Let the template fork a process, which becomes a child of this process. Returns its process id."""
    # The kernel limits the size of a packet, and an environment can be larger.
    with os.fdopen(os.memfd_create("request"), "wb+") as file, _lock, _adopting():
        file.write(json.dumps(request).encode("utf-8", "surrogateescape"))
        file.flush()
        assert _connection is not None
        socket.send_fds(_connection, [bytes([kind])], [file.fileno(), *descriptors])
        number = _connection.recv(_NUMBER)
    assert len(number) == _NUMBER, "the template process has ended"
    return int.from_bytes(number, "little")


@contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of the processes that the template leaves behind."""
    prctl, before = ctypes.CDLL(None).prctl, ctypes.c_int()
    prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def _start_template() -> None:
    """Start the template of a test process. It imports the modules while the first tests run."""
    global _connection, _variables
    _connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # each process gets its own PYTHONPATH
    _variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with theirs:
        template = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno()), "x" * _ROOM],
            env={**_variables, _PADDING: "x" * _ROOM},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end_template, _connection, template)


def _end_template(connection: socket.socket, template: "subprocess.Popen[bytes]") -> None:
    connection.close()
    template.wait()


def _serve(connection: socket.socket) -> list[int]:
    """Fork a process for each request, and return in the new process only. Returns the descriptors of its request."""
    global _connection
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST)
        except ConnectionResetError:  # the process of this template was killed
            message = b""
        if not message:
            os._exit(0)
        if pid := _fork_for_adoption():
            for descriptor in descriptors:
                os.close(descriptor)
            connection.send(pid.to_bytes(_NUMBER, "little"))
            continue
        connection.close()
        if message[0] & _SESSION:
            os.setsid()
        if not message[0] & _TEMPLATE:
            return descriptors
        _connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():
            theirs.close()
            return descriptors
        # This process is the template of the new one. It gets no signal for the new one's group.
        os.setpgid(0, 0)
        _connection.close()
        _connection = None
        for descriptor in descriptors:
            os.close(descriptor)
        connection = theirs


def _fork_for_adoption() -> int:
    """Fork a process whose parent ends, so that the process that asks for it adopts it. Returns 0 in the new one."""
    (number, writer), (begin, hold) = os.pipe(), os.pipe()
    if middle := os.fork():
        os.waitpid(middle, 0)
        pid = int.from_bytes(os.read(number, _NUMBER), "little")
        for descriptor in (number, writer, begin, hold):
            os.close(descriptor)
        return pid
    if pid := os.fork():
        os.write(writer, pid.to_bytes(_NUMBER, "little"))
        os._exit(0)
    for descriptor in (number, writer, hold):
        os.close(descriptor)
    # the template closes its end after the adoption
    os.read(begin, 1)
    os.close(begin)
    return 0


def _received(descriptors: Sequence[int]) -> dict[str, Any]:
    """Give the descriptors of a request the numbers that it names, and close all others. Returns the request."""
    global _connection
    file, *given = descriptors
    request: dict[str, Any] = json.loads(os.pread(file, os.fstat(file).st_size, 0))
    targets = request["descriptors"]
    above = max(*targets, *descriptors) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in given]
    kept = set(targets)
    if _connection is not None:
        connection = socket.socket(fileno=fcntl.fcntl(_connection.fileno(), fcntl.F_DUPFD_CLOEXEC, above))
        _connection.close()
        _connection = connection
        kept.add(connection.fileno())
    for target, descriptor in zip(targets, moved, strict=True):
        os.dup2(descriptor, target)
    for descriptor in _descriptors():
        if descriptor not in kept:
            os.close(descriptor)
    return request


def _descriptors() -> list[int]:
    """Return the open descriptors above the standard streams."""
    found = map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208
    return [descriptor for descriptor in found if descriptor > 2 and _is_open(descriptor)]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # the one of the list itself
        return False
    return True


class _ExecutedError(BaseException):
    """This process has called `os.execve` for a program that the template knows."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__()
        self.arguments, self.environment = list(arguments), dict(environment)
        # A `with` block may close the descriptors that the program inherits.
        self._inherited = {number: os.dup(number) for number in _descriptors() if os.get_inheritable(number)}

    def restore_descriptors(self) -> None:
        for number, copy in self._inherited.items():
            os.dup2(copy, number)
            os.close(copy)


def _execve(path: str, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    if path != sys.executable or not _can_start(arguments, environment):
        _execve_really(path, list(arguments), environment)
    raise _ExecutedError(arguments, environment)


def _become(arguments: Sequence[str], environment: Mapping[str, str], path: Sequence[str]) -> None:
    """Set the state of this process that a new process has."""
    os.environ.clear()
    os.environ.update(environment)
    _show(arguments, environment)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.orig_argv[:] = arguments
    match arguments[1:]:
        case ["-P", "-m", _, *words]:
            sys.argv, first = ["-m", *words], []
        case ["-m", _, *words]:
            sys.argv, first = ["-m", *words], [str(Path.cwd())]
        case words:
            sys.argv, first = list(words), [str(Path(words[0]).resolve().parent)]
    given = os.environ.get("PYTHONPATH")
    sys.path[:] = [*first, *(given.split(os.pathsep) if given else ()), *path]
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


def _show(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Let /proc show these arguments and this environment. They overwrite those of the template."""
    # the fields from the third one on; `man proc_pid_stat` numbers them from one
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    first_argument, end_of_arguments, first_variable, end_of_variables = (int(fields[n - 3]) for n in range(48, 52))
    for texts, start, end in (
        (arguments, first_argument, end_of_arguments),
        (_lines(environment), first_variable, end_of_variables),
    ):
        content = b"".join(os.fsencode(text) + b"\0" for text in texts)
        assert len(content) < end - start
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, content, len(content))


def _run() -> None:
    """Run the module or the script of the command line as the module `__main__`."""
    words = [word for word in sys.orig_argv[1:] if word != "-P"]
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    script = str(Path(sys.argv[0]).absolute())
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    exec(compile(Path(script).read_bytes(), script, "exec"), module.__dict__)


def _import(modules: Iterable[str]) -> None:
    from ledger.without_pandas import without_pandas

    with without_pandas():
        for module in modules:
            import_module(module)


def main() -> None:
    global _variables
    del os.environ[_PADDING]
    _variables = dict(os.environ)
    connection = socket.socket(fileno=int(sys.argv[1]))
    path = list(sys.path)
    _import(MODULES)
    gc.freeze()
    request = _received(_serve(connection))
    if os.getsid(0) != os.getpid():
        os.setpgid(0, request["group"])
    os.chdir(request["folder"])
    arguments, environment = request["arguments"], request["environment"]
    if _connection is not None:
        install()
        os.execve = _execve  # type: ignore[assignment]
    while True:
        _become(arguments, environment, path)
        try:
            return _run()
        except _ExecutedError as executed:
            executed.restore_descriptors()
            arguments, environment = executed.arguments, executed.environment


if __name__ == "__main__":
    main()
