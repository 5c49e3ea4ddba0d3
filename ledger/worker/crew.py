"""A crew: workers started on this machine, for as long as one command runs."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

from ledger.errors import LedgerError
from ledger.logs import say

_log = logging.getLogger("ledger.worker")

# What a worker may take to notice that its study has ended, or to go when it is told to go at once.
LEAVE_SECONDS = 15.0


class Crew:
    """Workers as child processes, which leave with this process, whatever its end.

    Each has the reading end of a pipe as its standard input: it closes when this process ends, even by SIGKILL.

    Parameters
    ----------
    size : int
        How many.
    url : str
        The database; passed in the environment, never on a command line, where others could read a password.
    study : str
        Whom they work for.
    allowed : collection of str
        Packages that an own objective may be loaded from.
    options : sequence of str
        More options of `ledger worker`.
    output : int, optional
        A file descriptor for all that they say. Default: this process's standard output and error.
    environment : mapping, optional
        More of their environment.
    """

    def __init__(
        self,
        size: int,
        url: str,
        study: str,
        allowed: Collection[str],
        options: Sequence[str] = (),
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._size, self._output = size, output
        self._command = [sys.executable, "-m", "ledger", "worker", "--study", study, "--until-complete", "--leash"]
        for package in allowed:
            self._command += ["--allow", package]
        self._command += options
        self._environment = {**os.environ, **(environment or {}), "DATABASE_URL": url}
        self._processes: list[subprocess.Popen[bytes]] = []

    def check(self) -> None:
        """Raise a LedgerError where no worker is left."""
        if self._processes and all(process.poll() is not None for process in self._processes):
            codes = sorted({process.returncode for process in self._processes})
            raise LedgerError(
                f"all {self._size} workers have left before the study's end,"
                f" with exit code {', '.join(map(str, codes))}: see their messages above"
            )

    def __enter__(self) -> "Crew":
        for _ in range(self._size):
            self._processes.append(
                # a group of its own: on Ctrl-C this process says what its workers are to do
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
                self._tell_to_leave()
                if any(process.poll() is None for process in self._processes):
                    message = "the workers finish what they have in hand, or give it back; Ctrl-C again: at once"
                    say(_log, "leaving", message)
                self._wait(None)
            self._wait(LEAVE_SECONDS)
        except KeyboardInterrupt:
            self._tell_to_leave()
            self._wait(LEAVE_SECONDS)
        finally:
            for process in self._processes:
                process.kill()
                process.wait()
                assert process.stdin is not None
                process.stdin.close()

    def _tell_to_leave(self) -> None:
        for process in self._processes:
            process.terminate()

    def _wait(self, seconds: float | None) -> None:
        end = None if seconds is None else time.monotonic() + seconds
        for process in self._processes:
            try:
                process.wait(None if end is None else max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return
