"""Processes of the study: workers and a manager, which are replaced when they exit, as by an orchestrator."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.system.programs import Program, alive, children_of, wait_until

# An orchestrator restarts a killed container at once, and a container that exited by itself after a delay.
AFTER_LEAVING = 1.0
# Seconds after the death of a worker; a trainer that is still alive then has outlived its worker.
OUTLIVED = 10.0
# Seconds that a worker has to stop.
LEAVE = 60.0


class Member:
    """One process with its log file."""

    def __init__(self, program: Program, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self._process = program.start(*command, log=file)
        self.pid = self._process.pid
        self.is_stopped = self.was_ended = self.was_killed = False
        self._stopped: list[int] = []

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    @property
    def trainers(self) -> list[int]:
        return list(children_of(self.pid))

    def stop(self, *, with_children: bool = False) -> None:
        """Stop the process with SIGSTOP, like a machine that swaps or migrates."""
        self._stopped = [self.pid, *(self.trainers if with_children else [])]
        self.is_stopped = True
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        self.is_stopped = False
        if self.runs:
            for pid in self._stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        self.was_ended = self.was_killed = True
        self._process.kill()
        self._process.wait()

    def ask_to_leave(self) -> None:
        """Send SIGTERM, like a machine that is taken away."""
        self.was_ended = True
        self._process.terminate()

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, or None if the process is still alive after the time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class _Place:
    """A place for one process at a time."""

    def __init__(self) -> None:
        self.member: Member | None = None
        self.again = 0.0


class Fleet:
    """A number of workers and one manager of the study.

    Attributes
    ----------
    iterations : int
        The budget of the next manager.
    everybody : list of Member
        All processes, including those that have exited.
    left : list of str
        Processes that exited before the end of the study without being asked, with exit code and last log line.
    outlived : int
        Number of trainers that outlived their killed worker.
    """

    def __init__(
        self, program: Program, size: int, worker: Sequence[str], manager: Sequence[str], iterations: int, logs: Path
    ) -> None:
        self._program, self._worker, self._manager, self._logs = program, worker, manager, logs
        self._places, self._head = [_Place() for _ in range(size)], _Place()
        self._orphans: dict[int, float] = {}
        self.iterations = iterations
        self.everybody: list[Member] = []
        self.left: list[str] = []
        self.outlived = 0
        self._asked: list[Member] = []

    def __enter__(self) -> "Fleet":
        self._logs.mkdir(parents=True)
        self.keep()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.everybody:
            if member.runs:
                member.go_on()
                member.kill()

    @property
    def workers(self) -> list[Member]:
        """The workers that run and are not stopped."""
        return [member for place in self._places if (member := place.member) and member.runs and not member.is_stopped]

    @property
    def manager(self) -> Member | None:
        """The manager, or None if none runs."""
        member = self._head.member
        return member if member and member.runs else None

    @property
    def is_finished(self) -> bool:
        """Whether the manager has exited because the study is complete."""
        return self._head.member is not None and self._head.member.exit_code == 0

    def extend(self, iterations: int) -> None:
        """Give the next manager a larger budget, also after the end of the study."""
        if self.is_finished:
            self._head.member = None
        self.iterations = iterations

    def keep(self) -> None:
        """Replace processes that have exited, and check the trainers of killed workers."""
        for place in self._places:
            self._keep(place, "worker", self._worker)
        if not self.is_finished:
            self._keep(self._head, "manager", [*self._manager, "--iterations", str(self.iterations)])
        for pid, since in list(self._orphans.items()):
            outlived = alive(pid) and time.monotonic() - since > OUTLIVED
            self.outlived += outlived
            if outlived or not alive(pid):
                del self._orphans[pid]

    def keep_until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Replace processes until the condition is true."""

        def kept() -> object:
            self.keep()
            return condition()

        wait_until(kept, seconds)

    def kill_worker(self, member: Member) -> None:
        """Kill a worker. Its trainers must exit too."""
        trainers = member.trainers
        member.kill()
        self._orphans |= dict.fromkeys(trainers, time.monotonic())

    def ask_worker_to_leave(self, member: Member) -> None:
        """Send SIGTERM to a worker in the middle of a trial, and continue the worker."""
        self._asked.append(member)
        member.ask_to_leave()
        member.go_on()

    def wrong_exits(self) -> list[str]:
        """Return the workers that exited with another code than 0 after `ask_worker_to_leave`.

        A worker that a later fault killed, or that still runs, is not among them.
        """
        return [
            f"{member.log.stem}: exit code {member.exit_code} after SIGTERM: {member.last_words}"
            for member in self._asked
            if not member.was_killed and member.exit_code not in (0, None)
        ]

    def dismiss(self) -> list[str]:
        """Ask the workers to stop. Returns the errors."""
        workers = self.workers
        for member in workers:
            member.ask_to_leave()
        wrong = [
            f"{member.log.stem}: exit code {member.exit_code} after SIGTERM: {member.last_words}"
            for member in workers
            if member.wait(LEAVE) != 0
        ]
        for place in self._places:
            place.member, place.again = None, float("inf")
        self.keep_until(lambda: not self._orphans, 2 * OUTLIVED)
        return wrong

    def tracebacks(self) -> list[str]:
        """Return the logs that contain a traceback."""
        return [member.log.name for member in self.everybody if "Traceback" in member.log.read_text(errors="replace")]

    def _keep(self, place: _Place, what: str, command: Sequence[str]) -> None:
        member, now = place.member, time.monotonic()
        if member is not None and not member.runs:
            place.member = None
            if not member.was_ended:
                self.left.append(f"{member.log.stem}: exit code {member.exit_code}: {member.last_words}")
                place.again = now + AFTER_LEAVING
        if place.member is None and now >= place.again:
            place.member = Member(self._program, command, self._logs / f"{what}-{len(self.everybody):04}.log")
            self.everybody.append(place.member)
