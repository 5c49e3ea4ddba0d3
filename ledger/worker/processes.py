"""Worker processes that one command starts on this machine and ends with itself."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

from ledger.errors import LedgerError
from ledger.logs import log_event

_log = logging.getLogger("ledger.worker")

# Seconds within which a worker notices that its study has ended, or stops after a second request.
STOP_SECONDS = 15.0


class WorkerProcesses:
    """A context manager that runs workers as child processes. They end when this process ends, even by SIGKILL.

    Each worker's standard input is a pipe from this process. The kernel closes the pipe when this process ends, and the
    worker stops at the end of the file.

    Parameters
    ----------
    count : int
        Number of workers, from 0.
    url : str
        The database. It is passed in the environment, because other users can read a command line.
    study : str
        Name of the study that they work for.
    allowed : collection of str
        Packages that a user's objective may be loaded from.
    options : sequence of str
        Further options of `ledger worker`.
    output : int, optional
        File descriptor for their output and log lines. Default: the streams of this process.
    environment : mapping, optional
        Variables that they get besides those of this process.
    """

    def __init__(
        self,
        count: int,
        url: str,
        study: str,
        allowed: Collection[str],
        options: Sequence[str] = (),
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._count, self._output = count, output
        self._command = [sys.executable, "-m", "ledger", "worker", "--study", study, "--until-complete"]
        self._command.append("--exit-on-eof")
        for package in allowed:
            self._command += ["--allow", package]
        self._command += options
        self._environment = {**os.environ, **(environment or {}), "DATABASE_URL": url}
        self._processes: list[subprocess.Popen[bytes]] = []

    def check(self) -> None:
        """Raise a LedgerError if every worker has ended."""
        if self._processes and all(process.poll() is not None for process in self._processes):
            codes = sorted({process.returncode for process in self._processes})
            raise LedgerError(
                f"all {self._count} workers stopped before the study ended,"
                f" with exit code {', '.join(map(str, codes))}: see their messages above"
            )

    def __enter__(self) -> "WorkerProcesses":
        for _ in range(self._count):
            self._processes.append(
                # a process group of its own: Ctrl-C reaches this process alone, which then stops its workers
                subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=self._output,
                    stderr=self._output,
                    env=self._environment,
                    process_group=0,
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._request_stop()
                if any(process.poll() is None for process in self._processes):
                    message = "the workers finish or release their trials; press Ctrl-C again to stop at once"
                    log_event(_log, "stopping", message)
                self._wait(None)
            self._wait(STOP_SECONDS)
        except KeyboardInterrupt:
            self._request_stop()
            self._wait(STOP_SECONDS)
        finally:
            for process in self._processes:
                process.kill()
                process.wait()
                assert process.stdin is not None
                process.stdin.close()

    def _request_stop(self) -> None:
        for process in self._processes:
            process.terminate()

    def _wait(self, seconds: float | None) -> None:
        end = None if seconds is None else time.monotonic() + seconds
        for process in self._processes:
            try:
                process.wait(None if end is None else max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return
