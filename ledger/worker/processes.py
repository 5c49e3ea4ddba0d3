"""Worker processes on this machine. The workers end when the command that started the workers ends."""

import logging
import os
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.worker import credentials, interpreter

_log = logging.getLogger("ledger.worker")

# A worker must stop when the study has ended, or when the user has pressed Ctrl-C twice. The parent process kills a
# worker that has not stopped after `STOP_SECONDS` seconds.
STOP_SECONDS = 15.0


class WorkerProcesses:
    """A context manager that runs workers as child processes.

    The workers end when this process ends, even if SIGKILL ends this process.

    Each worker's standard input is a pipe from this process. When this process ends, the kernel closes the pipes to the
    workers. A worker stops at the end of its standard input.

    Parameters
    ----------
    count : int
        Number of workers. The minimum is 0.
    url : str
        URL of the database. The workers receive the URL of the database in an unnamed file. The command line of a
        worker does not contain the URL, because other users can read the command line. The environment of a worker does
        not contain the URL, because objectives can read the environment.
    study : str
        Name of the study for which the workers train trials.
    allowed : collection of str
        Packages from which the workers may load a user's objective.
    options : sequence of str
        Additional command-line options for `ledger worker`.
    output : int, optional
        File descriptor for the output and the log lines of the workers. By default, the workers use the standard output
        and the standard error of this process.
    environment : mapping, optional
        Additional environment variables for the workers. The workers also get all environment variables of this process
        except the credentials.
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
        self._command = [*interpreter.command("ledger"), "worker", "--study", study, "--until-complete"]
        self._command.append("--exit-on-eof")
        for package in allowed:
            self._command += ["--allow", package]
        self._command += options
        self._url, self._environment = url, {**credentials.without(os.environ), **(environment or {})}
        self._processes: list[subprocess.Popen[bytes]] = []

    def check(self) -> None:
        """Raise a LedgerError if every worker has ended."""
        if self._processes and all(process.poll() is not None for process in self._processes):
            codes = sorted({process.returncode for process in self._processes})
            raise LedgerError(
                f"all {self._count} workers stopped with exit code {', '.join(map(str, codes))} before the study ended:"
                " see the messages of the workers above"
            )

    def __enter__(self) -> "WorkerProcesses":
        for _ in range(self._count):
            with credentials.handed_over(self._url) as (variables, descriptor):
                self._processes.append(
                    # Each worker runs in its own process group. Therefore Ctrl-C interrupts only the process that
                    # started the workers. After Ctrl-C, this process stops the workers that this process has started.
                    subprocess.Popen(
                        self._command,
                        stdin=subprocess.PIPE,
                        stdout=self._output,
                        stderr=self._output,
                        env={**self._environment, **variables},
                        pass_fds=[descriptor],
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
                    way_out = "press Ctrl-C again to stop the workers immediately"
                    log_event(_log, "stopping", f"the workers finish or release their trials; {way_out}")
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
