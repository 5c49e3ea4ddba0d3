"""The trainer: a child process that turns parameters into losses and knows nothing of the database.

The supervisor and its trainer talk in JSON over a socket pair. The trainer stays warm: imports and datasets are
loaded once. It is a process of its own so that whatever an objective does to it costs one attempt, never the worker.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ledger.errors import LedgerError
from ledger.objectives import Context, load

# Set before the child's libraries are loaded: some size their thread pools once, at import.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


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
    """The supervisor's handle of its child, which is started at the first job and again after its death."""

    def __init__(self, allowed: Collection[str], threads: int) -> None:
        self._allowed, self._threads = allowed, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._started = 0.0

    def start(self, objective: Mapping[str, Any], params: Mapping[str, Any], context: Context) -> None:
        """Begin one attempt; its end is told by `wait`."""
        self._send({"objective": objective, "params": params, "context": asdict(context)})

    def check(self, objective: Mapping[str, Any]) -> None:
        """Raise a LedgerError where the objective cannot be loaded here."""
        self._send({"objective": objective})
        trained = None
        while trained is None:
            trained = self.wait(timeout=None)
        if trained.error is not None:
            raise LedgerError(trained.error)

    def wait(self, timeout: float | None, *also: int) -> Trained | None:
        """Wait for the attempt's end, for `timeout` seconds, or until a file descriptor of `also` can be read."""
        assert self._connection is not None
        if self._connection not in wait([self._connection, *also], timeout):
            return None
        try:
            return Trained(**json.loads(self._connection.recv_bytes()))
        except (EOFError, ConnectionError):
            return Trained("failed", time.monotonic() - self._started, error=self._death())

    def kill(self) -> None:
        """End the child, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def _send(self, job: Mapping[str, Any]) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._forget()
        if self._process is None:
            self._spawn()
        assert self._connection is not None
        self._started = time.monotonic()
        self._connection.send_bytes(json.dumps(job).encode())

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ledger.worker.trainer",
                    str(theirs.fileno()),
                    str(self._threads),
                    *sorted(self._allowed),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(self._threads))},
            )
        self._connection = Connection(ours.detach())

    def _death(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self._forget()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the trainer process died while it trained: {how}"

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def main(descriptor: int, threads: int, allowed: Collection[str]) -> None:
    """Serve jobs from the socket until its other end is closed."""
    # Ctrl-C reaches the whole foreground group; what follows from it is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                jobs.put(json.loads(connection.recv_bytes()))
        except (EOFError, ConnectionError):
            # The supervisor is gone, so nobody wants the result.
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        connection.send_bytes(json.dumps(asdict(_train(jobs.get(), threads, allowed))).encode())


def _train(job: dict[str, Any], threads: int, allowed: Collection[str]) -> Trained:
    try:
        objective = load(job["objective"], allowed, threads=threads)
    except LedgerError as error:
        return Trained("refused", 0.0, error=str(error))
    if "params" not in job:
        return Trained("result", 0.0)
    started = time.perf_counter()
    try:
        result = objective(job["params"], Context(**job["context"]))
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, LedgerError) else traceback.format_exc()
        return Trained("failed", time.perf_counter() - started, error=text)
    return Trained("result", time.perf_counter() - started, loss=result.loss, metrics=result.metrics)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
