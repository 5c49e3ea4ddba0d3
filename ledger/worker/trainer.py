"""The trainer: a child process that turns parameters into losses and knows nothing of the database.

The supervisor and its trainer talk in JSON over a socket pair. The trainer stays warm: imports and datasets are
loaded once. It is a process of its own so that whatever an objective does to it costs one attempt, never the worker.
"""

import ctypes
import faulthandler
import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any

from ledger.errors import LedgerError
from ledger.objectives import Context, Result, load

# Set before the child's libraries are loaded: some size their thread pools once, at import.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SECRETS = ("DATABASE_URL", "PGPASSWORD")
# Set in the child, so that a module which begins a study when it is imported does not do so there.
INSIDE = "LEDGER_INSIDE_TRAINER"
# Bytes of a dead child's last standard error that are kept with its attempt.
_LAST_WORDS = 4096
_PR_SET_PDEATHSIG = 1
# What the child says between loading an objective and calling it.
_LOADED = {"loaded": True}


@dataclass(frozen=True)
class Trained:
    """What became of one attempt.

    Attributes
    ----------
    kind : str
        "result"; "failed": the objective raised, returned no finite loss, or ended the process; "refused": it cannot
        be loaded here.
    loss : float or None
        Of a result.
    metrics : dict
        Of a result.
    error : str or None
        Of the others: the last line is what a person reads first.
    seconds : float
        Wall-clock time in the trainer.
    """

    kind: str
    seconds: float
    loss: float | None = None
    metrics: Mapping[str, Any] | None = None
    error: str | None = None


class Trainer:
    """The supervisor's handle of its child, which is started at the first job and again after its death.

    Parameters
    ----------
    allowed : collection of str
        Packages that an own objective may be loaded from.
    threads : int
        Of one training.
    memory_limit : int, optional
        Bytes of data that the child may hold; beyond it an allocation fails in the child.
    environment : mapping, optional
        More of the child's environment.
    """

    def __init__(
        self,
        allowed: Collection[str],
        threads: int,
        memory_limit: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment or {}
        self._options = {"allowed": sorted(allowed), "threads": threads, "memory_limit": memory_limit}
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._stderr: _Stderr | None = None
        # Linux: can be read once the child has ended. Its socket may be held open by what an objective started.
        self._ended: int | None = None
        self._started = 0.0
        self._job = 0
        self._content: Callable[[], bytes] | None = None
        # what the child says that it has loaded, and what it was last sent
        self._loaded: Mapping[str, Any] | None = None
        self._sent: Mapping[str, Any] = {}
        # When this job's objective was loaded, of time.monotonic(): imports and a dataset are not the trial's time.
        self.training_since: float | None = None

    def start(
        self,
        objective: Mapping[str, Any],
        params: Mapping[str, Any],
        context: Context,
        content: Callable[[], bytes] | None = None,
    ) -> None:
        """Begin one attempt; its end is told by `wait`.

        Parameters
        ----------
        content : callable, optional
            Returns the content of the file that the objective's data name; called where the child has not loaded it.
        """
        self._content = content
        self._send(objective, params=params, context=vars(context))

    def check(self, objective: Mapping[str, Any]) -> None:
        """Raise a LedgerError where the objective cannot be loaded here."""
        self._send(objective)
        trained = None
        while trained is None:
            trained = self.wait(timeout=None)
        if trained.error is not None:
            raise LedgerError(trained.error)

    def wait(self, timeout: float | None, *also: int) -> Trained | None:
        """Wait for the attempt's end, for `timeout` seconds, or until a file descriptor of `also` can be read."""
        assert self._connection is not None
        ready = wait([self._connection, *([] if self._ended is None else [self._ended]), *also], timeout)
        if self._connection in ready:
            try:
                answer = json.loads(self._connection.recv_bytes())
                job = answer.pop("job")
                trained = None if answer == _LOADED else Trained(**answer)
            except (EOFError, OSError, ValueError, TypeError, AttributeError, KeyError):
                return Trained("failed", time.monotonic() - self._started, error=self._death())
            # another one is of a copy of the child that an objective made, and late
            if job != self._job:
                return None
            if trained is None:
                self._loaded, self.training_since = self._sent, time.monotonic()
            return trained
        if self._ended in ready:
            return Trained("failed", time.monotonic() - self._started, error=self._death())
        return None

    def kill(self) -> None:
        """End the child, and what it started, whatever they are doing."""
        if self._process is not None:
            self._end()

    def _send(self, objective: Mapping[str, Any], **more: Any) -> None:
        self._started, self._sent = time.monotonic(), objective
        self._job += 1
        job = {"job": self._job, "objective": objective, **more}
        if self._connection is not None:
            is_loaded = objective == self._loaded
            self.training_since = self._started if is_loaded else None
            if not (self._ended is not None and wait([self._ended], 0)):
                with suppress(OSError):
                    self._hand_over(self._connection, job, is_loaded=is_loaded)
                    return
            # it died between two jobs, which costs nobody anything
            self._end()
        self.training_since = None
        # where it dies at its start, the wait for its answer says so
        with suppress(OSError):
            self._hand_over(self._spawn(), job, is_loaded=False)

    def _hand_over(self, connection: Connection, job: Mapping[str, Any], *, is_loaded: bool) -> None:
        """Send a job, and behind it the dataset that the child is to load for it."""
        has_content = self._content is not None and not is_loaded
        connection.send_bytes(json.dumps({**job, "say_loaded": not is_loaded, "content_follows": has_content}).encode())
        if self._content is not None and has_content:
            connection.send_bytes(self._content())

    def _spawn(self) -> Connection:
        ours, theirs = socket.socketpair()
        options = {**self._options, "parent": os.getpid()}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ledger.worker.trainer", str(theirs.fileno()), json.dumps(options)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    # not the way into the ledger, which is no objective's business
                    **{name: value for name, value in os.environ.items() if name not in _SECRETS},
                    **dict.fromkeys(_THREAD_VARIABLES, str(self._options["threads"])),
                    **self._environment,
                    INSIDE: "1",
                },
                # a group of its own, which ends with it: an objective may start processes too
                start_new_session=True,
            )
        assert self._process.stderr is not None
        self._stderr = _Stderr(self._process.stderr)
        self._ended = os.pidfd_open(self._process.pid) if sys.platform == "linux" else None
        self._connection = Connection(ours.detach())
        return self._connection

    def _death(self) -> str:
        assert self._stderr is not None
        # it closed the socket, so it is about to end by itself, and how is worth knowing
        self._stderr.wait(1)
        code, last_words = self._end()
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            how += ", as of the kernel when memory runs out"
        return f"{last_words}\nthe trainer process died while it trained: {how}".lstrip()

    def _end(self) -> tuple[int, str]:
        """Make sure that the child and its group are gone; its exit code and the end of its standard error."""
        assert self._process is not None
        assert self._connection is not None
        assert self._stderr is not None
        # before it is waited for: its id, which is the group's, is nobody else's until then
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        last_words = self._stderr.last_words()
        self._connection.close()
        if self._ended is not None:
            os.close(self._ended)
        self._process = self._connection = self._stderr = self._ended = self._loaded = None
        return code, last_words


class _Stderr:
    """Passes the child's standard error on to ours, and remembers its end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._end = pipe, b""
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for its end, which is that of everybody who writes to it."""
        self._thread.join(seconds)

    def last_words(self) -> str:
        self.wait(1)
        return self._end.decode(errors="replace").strip()

    def _follow(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _LAST_WORDS):
                self._end = (self._end + chunk)[-_LAST_WORDS:]
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), chunk)


def _signal_name(number: int) -> str:
    # a real-time signal has none
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)


def main(descriptor: int, options: Mapping[str, Any]) -> None:
    """Serve jobs from the socket until its other end is closed."""
    _die_with(options["parent"])
    # so that a crash in C leaves a trace in the standard error
    faulthandler.enable()
    refusal = None
    if options["memory_limit"] is not None:
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (options["memory_limit"],) * 2)
        except (OSError, ValueError, OverflowError) as error:
            refusal = f"--memory-limit {options['memory_limit']} cannot be set here: {error}"
    # Whoever stops a service may signal all its processes; what follows is the supervisor's decision. Not SIG_IGN,
    # which the programs that an objective starts would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                job = json.loads(connection.recv_bytes())
                jobs.put({**job, "content": connection.recv_bytes() if job["content_follows"] else None})
        except (EOFError, OSError):
            # The supervisor is gone, so nobody wants the result.
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    own, loader = os.getpid(), _Loader(options)
    while True:
        job = jobs.get()
        answer = partial(_answer, connection, job["job"])
        if refusal is None:
            trained = _train(job, options, loader, partial(answer, _LOADED))
        else:
            trained = Trained("refused", 0.0, error=refusal)
        if os.getpid() != own:
            # a copy that an objective made, and that came back from it
            os._exit(0)
        answer(vars(trained))


def _answer(connection: Connection, job: int, content: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps({**content, "job": job}).encode())


def _die_with(parent: int) -> None:
    """End when the parent does, an endless loop in C would keep the reading thread from noticing; and before it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # when memory runs out, the kernel is to end the trainer and not the worker
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent:
        sys.exit("the worker ended while its trainer started")


def _train(job: dict[str, Any], options: Mapping[str, Any], loader: "_Loader", loaded: Callable[[], None]) -> Trained:
    try:
        objective = loader.load(job["objective"], job.pop("content"))
    except LedgerError as error:
        return Trained("refused", 0.0, error=str(error))
    if job["say_loaded"]:
        loaded()
    if "params" not in job:
        return Trained("result", 0.0)
    started = time.perf_counter()
    try:
        result = objective(job["params"], Context(**job["context"]))
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) and options["memory_limit"] is not None:
            error.add_note(f"MemoryError: a trial may use {options['memory_limit']} bytes (--memory-limit)")
        text = str(error) if isinstance(error, LedgerError) else traceback.format_exc()
        return Trained("failed", time.perf_counter() - started, error=text)
    return Trained("result", time.perf_counter() - started, loss=result.loss, metrics=result.metrics)


class _Loader:
    """The objective that was loaded last."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._loaded: tuple[Mapping[str, Any], Callable[[dict[str, Any], Context], Result]] | None = None

    def load(self, objective: Mapping[str, Any], content: bytes | None) -> Callable[[dict[str, Any], Context], Result]:
        if self._loaded is None or self._loaded[0] != objective:
            self._loaded = None
            allowed, threads = self._options["allowed"], self._options["threads"]
            self._loaded = objective, load(objective, allowed, threads=threads, content=content)
        return self._loaded[1]


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
