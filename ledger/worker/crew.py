"""A crew: workers started on this machine, for as long as one command runs."""

import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from types import TracebackType

from ledger.errors import LedgerError

# What a worker may take to release its trial and say goodbye.
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
    """

    def __init__(self, size: int, url: str, study: str, allowed: Collection[str], options: Sequence[str] = ()) -> None:
        self._size = size
        self._command = [sys.executable, "-m", "ledger", "worker", "--study", study, "--until-complete", "--leash"]
        for package in allowed:
            self._command += ["--allow", package]
        self._command += options
        self._environment = {**os.environ, "DATABASE_URL": url}
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
            self._processes.append(subprocess.Popen(self._command, stdin=subprocess.PIPE, env=self._environment))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for process in self._processes:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()
