"""The trainer: a child process that turns parameters into losses and knows nothing of the database.

The trainer stays warm: imports and datasets are loaded once. It is a process of its own so that whatever an objective
does to it costs one attempt, never the worker.
"""

import ctypes
import faulthandler
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

from ledger.errors import LedgerError
from ledger.objectives import Context, Result, load
from ledger.worker.channel import SupervisorsEnd, TrainersEnd

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
        self._options = {"allowed": sorted(allowed), "threads": threads, "memory_limit": memory_limit}
        self._environment = environment or {}
        # what the child inherited
        self._data: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: SupervisorsEnd | None = None
        self._stderr: _Stderr | None = None
        # Linux: can be read once the child has ended. Its socket may be held open by what an objective started.
        self._ended: int | None = None
        # the numbers of the first job that has not ended, of the one after the last, and of the next that is sent
        self._first = self._end = self._free = 0
        # since when that first one is waited for
        self._since = 0.0
        # what the child says that it has loaded, and what it was last sent
        self._loaded: str | None = None
        self._sent = ""
        # When the job in training began, of time.monotonic(), as far as is known: never before it did, and after it by
        # no more than it took to look, by `wait`. None while its objective is loaded: imports and a dataset are not
        # the trial's time.
        self.training_since: float | None = None

    @property
    def jobs(self) -> int:
        """How many jobs have neither ended nor been withdrawn."""
        return self._end - self._first

    def start(
        self,
        objective: Mapping[str, Any],
        jobs: Sequence[tuple[Mapping[str, Any], Context]],
        data: int | None = None,
    ) -> None:
        """Begin attempts of one objective, one after the other; their ends are told by `wait`.

        Parameters
        ----------
        jobs : sequence of (params, context)
            None is left of those before.
        data : int, optional
            A file descriptor of what the objective's data name. The child inherits it, and reads it whenever it loads
            an objective with data: no message carries them.
        """
        if self._process is not None and data is not None and data != self._data:
            self._kill()
        self._data = self._data if data is None else data
        self._send(objective, [{"params": params, "context": vars(context)} for params, context in jobs])

    def check(self, objective: Mapping[str, Any]) -> None:
        """Raise a LedgerError where the objective cannot be loaded here."""
        self._send(objective, [{}])
        while self.jobs:
            for trained in self.wait(timeout=None):
                if trained.error is not None:
                    raise LedgerError(trained.error)

    def wait(self, timeout: float | None, *also: int) -> list[Trained]:
        """Wait for the end of the jobs, for `timeout` seconds, or until a file descriptor of `also` can be read.

        Returns what became of those that ended, in their order. Where the trainer ended, which the last of them says,
        there are no jobs any longer.
        """
        assert self._channel is not None
        own = [self._channel.fileno(), *([] if self._ended is None else [self._ended])]
        ready = wait([*own, *also], timeout)
        is_over = self._ended in ready
        trained: list[Trained] = []
        try:
            answers, is_closed = self._channel.read()
            is_over = is_over or is_closed
            for answer in answers:
                job = answer.pop("job")
                # another one is of a copy of the child that an objective made, and late
                if job == self._first < self._end:
                    if answer == _LOADED:
                        self._loaded, self.training_since = self._sent, time.monotonic()
                    else:
                        trained.append(Trained(**answer))
                        self._first += 1
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            is_over = True
        if trained:
            self._since = time.monotonic()
            # the next one, of the same objective, began at the latest by now
            self.training_since = self._since if self._loaded == self._sent else None
        if self.jobs and is_over:
            trained.append(Trained("failed", time.monotonic() - self._since, error=self._death()))
        return trained

    def withdraw(self) -> int:
        """Take back the jobs that have not begun, the last ones; returns how many. The trainer keeps one at least."""
        assert self._channel is not None
        count = self._channel.withdraw()
        if count == self.jobs:
            # it is between two, or starts
            self._channel.permit([self._first])
            count -= 1
        self._end -= count
        return count

    def kill(self) -> None:
        """End the child, and what it started, whatever they are doing."""
        if self._process is not None:
            self._kill()

    def _send(self, objective: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> None:
        assert not self.jobs, "the last ones have neither ended nor been withdrawn"
        if self._channel is not None and self._ended is not None and wait([self._ended], 0):
            # it died between two jobs, which costs nobody anything
            self._kill()
        channel = self._channel or self._spawn()
        self._sent = json.dumps(objective)
        self._first, self._free = self._free, self._free + len(jobs)
        self._end = self._free
        self._since = time.monotonic()
        self.training_since = self._since if self._sent == self._loaded else None
        # where it dies at its start, the wait for its answer says so
        with suppress(OSError):
            channel.send({"objective": self._sent, "first": self._first, "jobs": jobs}, range(self._first, self._end))

    def _spawn(self) -> SupervisorsEnd:
        channel = SupervisorsEnd()
        options = {**self._options, "parent": os.getpid(), "data": self._data}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ledger.worker.trainer", json.dumps(options), *map(str, channel.theirs)],
                pass_fds=[*channel.theirs, *([] if self._data is None else [self._data])],
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
        finally:
            channel.close_theirs()
        assert self._process.stderr is not None
        self._stderr = _Stderr(self._process.stderr)
        self._ended = os.pidfd_open(self._process.pid) if sys.platform == "linux" else None
        self._channel = channel
        return channel

    def _death(self) -> str:
        assert self._stderr is not None
        # it closed the socket, so it is about to end by itself, and how is worth knowing
        self._stderr.wait(1)
        code, last_words = self._kill()
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            how += ", as of the kernel when memory runs out"
        return f"{last_words}\nthe trainer process died while it trained: {how}".lstrip()

    def _kill(self) -> tuple[int, str]:
        """Make sure that the child and its group are gone; its exit code and the end of its standard error."""
        assert self._process is not None
        assert self._channel is not None
        assert self._stderr is not None
        # before it is waited for: its id, which is the group's, is nobody else's until then
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        last_words = self._stderr.last_words()
        self._channel.close()
        if self._ended is not None:
            os.close(self._ended)
        self._process = self._channel = self._stderr = self._ended = self._loaded = None
        self._end = self._first
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


def main(options: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Serve jobs until the supervisor is gone."""
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
    channel = TrainersEnd(descriptors)
    own = os.getpid()
    loaded = ""
    while True:
        if (job := channel.take()) is None:
            channel.permitted.poll()
            continue
        try:
            if refusal is not None:
                raise LedgerError(refusal)
            if job["objective"] != loaded:
                evaluate = _load(json.loads(job["objective"]), options)
                loaded = job["objective"]
                channel.answer({"job": job["job"], **_LOADED}, aloud=True)
        except LedgerError as error:
            trained = Trained("refused", 0.0, error=str(error))
        else:
            trained = _train(evaluate, job, options["memory_limit"])
        if os.getpid() != own:
            # a copy that an objective made, and that came back from it
            os._exit(0)
        channel.answer({"job": job["job"], **vars(trained)})


def _load(objective: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[dict[str, Any], Context], Result]:
    content = None
    if "data" in objective and options["data"] is not None:
        # not read, which would move the supervisor's position too
        with mmap.mmap(options["data"], 0, access=mmap.ACCESS_READ) as file:
            content = file[:]
    return load(objective, options["allowed"], threads=options["threads"], content=content)


def _die_with(parent: int) -> None:
    """End when the parent does, an endless loop in C would keep the reading thread from noticing; and before it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # when memory runs out, the kernel is to end the trainer and not the worker
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent:
        sys.exit("the worker ended while its trainer started")


def _train(
    evaluate: Callable[[dict[str, Any], Context], Result], job: Mapping[str, Any], memory_limit: int | None
) -> Trained:
    if "params" not in job:
        return Trained("result", 0.0)
    started = time.perf_counter()
    try:
        result = evaluate(job["params"], Context(**job["context"]))
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) and memory_limit is not None:
            error.add_note(f"MemoryError: a trial may use {memory_limit} bytes (--memory-limit)")
        text = str(error) if isinstance(error, LedgerError) else traceback.format_exc()
        return Trained("failed", time.perf_counter() - started, error=text)
    return Trained("result", time.perf_counter() - started, loss=result.loss, metrics=result.metrics)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), [int(descriptor) for descriptor in sys.argv[2:]])
