"""The supervisor's handle of the trainer, the child process that calls the objective.

The trainer keeps imports and the dataset loaded between trials. It is a process of its own, so that a crash in an
objective costs one attempt and never the worker.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import IO, Any

from ledger.errors import LedgerError
from ledger.objectives import Context
from ledger.worker.channel import SupervisorChannel
from ledger.worker.outcome import LOADED, Outcome

# Set before the child loads its libraries: some of them size their thread pools once, at import.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SECRETS = ("DATABASE_URL", "PGPASSWORD")
# Set in the child, so that a module which runs a study when it is imported does not run it there.
INSIDE = "LEDGER_INSIDE_TRAINER"
# Bytes of a dead child's last standard error that are stored with the attempt.
_STDERR_KEPT = 4096


class Trainer:
    """Handle of the trainer process, which starts with the first job, and again after its death.

    Parameters
    ----------
    allowed : collection of str
        Packages that a user's objective may be loaded from.
    threads : int
        Threads of one training, at least 1.
    memory_limit : int, optional
        Bytes of data that the child may allocate; a larger allocation fails in the child.
    environment : mapping, optional
        Variables that the child gets besides those of this process.

    Attributes
    ----------
    training_since : float or None
        Value of time.monotonic() at which the job in training started, late by at most the time between two calls of
        `wait`, and never early. None while its objective loads: imports and a dataset do not count as training.
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
        # descriptor of the dataset that the child inherited
        self._data: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: SupervisorChannel | None = None
        self._stderr: _StderrReader | None = None
        # On Linux, a descriptor that becomes readable when the child ends. The channel may stay open after that, in a
        # process that the objective started.
        self._pidfd: int | None = None
        # numbers of the first job that has not ended, of the end of the current jobs, and of the next job to be sent
        self._first = self._end = self._next = 0
        # time.monotonic() since when the first of them is waited for
        self._since = 0.0
        # the objective that the child has loaded, and the one sent last
        self._loaded: str | None = None
        self._sent = ""
        self.training_since: float | None = None

    @property
    def jobs(self) -> int:
        """Number of jobs that have neither ended nor been withdrawn."""
        return self._end - self._first

    def start(
        self,
        objective: Mapping[str, Any],
        jobs: Sequence[tuple[Mapping[str, Any], Context]],
        data: int | None = None,
    ) -> None:
        """Start attempts of one objective, one after the other; `wait` returns their outcomes.

        Parameters
        ----------
        objective : mapping
            As in the study's spec.
        jobs : sequence of (params, context)
            The attempts. No earlier job may be left.
        data : int, optional
            File descriptor of the dataset that the objective names. The child inherits it and reads it when it loads
            the objective, so that no message carries the dataset.
        """
        if self._process is not None and data is not None and data != self._data:
            self._kill()
        self._data = self._data if data is None else data
        self._send(objective, [{"params": params, "context": vars(context)} for params, context in jobs])

    def check(self, objective: Mapping[str, Any]) -> None:
        """Raise a LedgerError if the objective cannot be loaded on this machine."""
        self._send(objective, [{}])
        while self.jobs:
            for outcome in self.wait(timeout=None):
                if outcome.error is not None:
                    raise LedgerError(outcome.error)

    def wait(self, timeout: float | None, *descriptors: int) -> list[Outcome]:
        """Wait until a job ends, until a descriptor becomes readable, or for `timeout` seconds.

        Returns
        -------
        list of Outcome
            One for each job that has ended, in their order. Where the trainer ended, the last one says so, and no jobs
            are left.
        """
        assert self._channel is not None
        own = [self._channel.fileno(), *([] if self._pidfd is None else [self._pidfd])]
        ready = wait([*own, *descriptors], timeout)
        has_ended = self._pidfd in ready
        outcomes: list[Outcome] = []
        try:
            answers, is_closed = self._channel.read()
            has_ended = has_ended or is_closed
            for answer in answers:
                job = answer.pop("job")
                # any other number comes late, from a copy of the child that an objective forked
                if job == self._first < self._end:
                    if answer == LOADED:
                        self._loaded, self.training_since = self._sent, time.monotonic()
                    else:
                        outcomes.append(Outcome(**answer))
                        self._first += 1
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            has_ended = True
        if outcomes:
            self._since = time.monotonic()
            # the next job has the same objective, and started before now
            self.training_since = self._since if self._loaded == self._sent else None
        if self.jobs and has_ended:
            outcomes.append(Outcome("failed", time.monotonic() - self._since, error=self._describe_death()))
        return outcomes

    def withdraw(self) -> int:
        """Withdraw the jobs that have not started, but keep at least one. Returns the number of withdrawn jobs."""
        assert self._channel is not None
        count = self._channel.take_tokens()
        if count == self.jobs:
            # the trainer starts, or is between two jobs
            self._channel.add_tokens([self._first])
            count -= 1
        self._end -= count
        return count

    def kill(self) -> None:
        """End the child and every process that it started."""
        if self._process is not None:
            self._kill()

    def _send(self, objective: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> None:
        assert not self.jobs, "earlier jobs have neither ended nor been withdrawn"
        if self._channel is not None and self._pidfd is not None and wait([self._pidfd], 0):
            # the child died between two jobs, so no attempt is charged with it
            self._kill()
        channel = self._channel or self._spawn()
        self._sent = json.dumps(objective)
        self._first, self._next = self._next, self._next + len(jobs)
        self._end = self._next
        self._since = time.monotonic()
        self.training_since = self._since if self._sent == self._loaded else None
        # a child that died while it started is noticed by `wait`
        with suppress(OSError):
            channel.send({"objective": self._sent, "first": self._first, "jobs": jobs}, range(self._first, self._end))

    def _spawn(self) -> SupervisorChannel:
        channel = SupervisorChannel()
        options = {**self._options, "parent": os.getpid(), "data": self._data}
        descriptors = channel.trainer_descriptors
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ledger.worker.trainer_process", json.dumps(options), *map(str, descriptors)],
                pass_fds=[*descriptors, *([] if self._data is None else [self._data])],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    # an objective gets no access to the ledger
                    **{name: value for name, value in os.environ.items() if name not in _SECRETS},
                    **dict.fromkeys(_THREAD_VARIABLES, str(self._options["threads"])),
                    **self._environment,
                    INSIDE: "1",
                },
                # a process group of its own, to end the processes that an objective starts too
                start_new_session=True,
            )
        finally:
            channel.close_trainer_end()
        assert self._process.stderr is not None
        self._stderr = _StderrReader(self._process.stderr)
        self._pidfd = os.pidfd_open(self._process.pid) if sys.platform == "linux" else None
        self._channel = channel
        return channel

    def _describe_death(self) -> str:
        assert self._stderr is not None
        # The child has closed its socket and is about to end. Wait, to learn its exit code before it is killed.
        self._stderr.wait(1)
        code, stderr = self._kill()
        cause = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            cause += ", which the kernel sends when memory runs out"
        return f"{stderr}\nthe trainer process died while it trained: {cause}".lstrip()

    def _kill(self) -> tuple[int, str]:
        """End the child and its process group. Returns its exit code and the end of its standard error."""
        assert self._process is not None
        assert self._channel is not None
        assert self._stderr is not None
        # before wait(), after which the group's id may belong to another process
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        stderr = self._stderr.last_output()
        self._channel.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._process = self._channel = self._stderr = self._pidfd = self._loaded = None
        self._end = self._first
        return code, stderr


class _StderrReader:
    """Copies the child's standard error to this process's, and keeps the end of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._kept = pipe, b""
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until every process that writes to it has ended."""
        self._thread.join(seconds)

    def last_output(self) -> str:
        self.wait(1)
        return self._kept.decode(errors="replace").strip()

    def _copy(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _STDERR_KEPT):
                self._kept = (self._kept + chunk)[-_STDERR_KEPT:]
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), chunk)


def _signal_name(number: int) -> str:
    # a real-time signal has no name
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)
