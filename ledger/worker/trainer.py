"""The supervisor's handle of the trainer. The trainer is a child process of the supervisor.

The trainer calls the objective. The trainer keeps imports and the dataset in memory between trials. The trainer is a
separate process, so a crash in an objective ends one attempt, but does not end the worker.
"""

import json
import math
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import Context
from ledger.objectives.command import remove_folder
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.orphans import LONGEST_WAIT, OrphanReaper
from ledger.objectives.reporting import ReportTotals
from ledger.text import last_line, signal_name
from ledger.worker import interpreter
from ledger.worker.artifact_messages import REPLY, ArtifactMessage
from ledger.worker.cgroup import TrainerCgroup
from ledger.worker.channel import VERDICT, SupervisorChannel
from ledger.worker.outcome import (
    AttemptOutcome,
    LoadedCode,
    MalformedAnswerError,
    Report,
    TrainedModel,
    TrainerAnswer,
    parse_answer,
)
from ledger.worker.output import ByteRateLimiter, TrainerOutputReader, draw_token
from ledger.worker.system_user import SystemUser
from ledger.worker.trainer_environment import trainer_environment

_POLL_SECONDS = 0.002


class TrainerHandle:
    """An object through which the supervisor starts the trainer process, sends jobs to the trainer, and reads the
    outcomes.

    Each objective gets its own trainer process. The first job of an objective and the first job after the death of the
    trainer process start a new one.

    Parameters
    ----------
    allowed : collection of str
        Packages from which the trainer may load a user's objective.
    threads : int
        Number of threads that one training uses. The minimum is 1.
    memory_limit : int, optional
        Number of bytes of data that the trainer process may allocate. If the trainer process tries to allocate more
        bytes, the allocation fails.
    environment : mapping, optional
        Environment variables that the trainer process gets in addition to the supervisor's environment variables.
    account : SystemUser, optional
        User that runs the trainer process. By default, the trainer process runs as the supervisor's user.
    adopts : bool
        Whether the supervisor adopts and ends the processes that an objective detaches from the trainer. If `adopts` is
        True, the caller must not start any other process while the trainer exists. If `adopts` is True and this process
        can create a cgroup, the trainer also gets its own cgroup.
    commands : collection of str
        Patterns that describe the commands that the trainer may run. `command_template.pattern_words` describes the
        form of a pattern.

    Attributes
    ----------
    training_since : float or None
        Time at which the training of the current job began, as a value of `time.monotonic`. `training_since` can be
        later than the real beginning. The difference is at most the time between two calls of `wait`. `training_since`
        is None while the trainer loads the objective, because loading is not a part of the training.
    code : ObjectiveCode or None
        The code of the objective that the trainer process has loaded. Before the trainer has loaded an objective,
        `code` is None. For a built-in model, `code` is always None.
    """

    def __init__(
        self,
        allowed: Collection[str],
        threads: int,
        memory_limit: int | None = None,
        environment: Mapping[str, str] | None = None,
        account: SystemUser | None = None,
        *,
        adopts: bool = False,
        commands: Collection[str] = (),
    ) -> None:
        # The trainer process creates the folder for the files of the trials, so this folder belongs to the user of the
        # trainer process.
        self._folder = os.path.join(tempfile.gettempdir(), f"ledger-{secrets.token_hex(8)}")  # noqa: PTH118
        self._options = {
            "allowed": sorted(allowed),
            "commands": sorted(commands),
            "threads": threads,
            "memory_limit": memory_limit,
            "folder": self._folder,
        }
        self._threads, self._environment, self._account = threads, environment or {}, account
        self._orphans = OrphanReaper() if adopts else None
        self._cgroup = TrainerCgroup() if adopts else None
        # Functions that open data files. The data files belong to the last objective that the supervisor has sent.
        self._open_data: Sequence[Callable[[], int]] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: SupervisorChannel | None = None
        self._output: TrainerOutputReader | None = None
        self._limit = ByteRateLimiter()
        # Number of the first job whose output this object has not yet returned.
        self._untaken = 0
        # On Linux, the file descriptor `_pidfd` becomes readable when the child process exits. The channel may stay
        # open after the child has exited, because a process that the objective has started may keep the channel open.
        self._pidfd: int | None = None
        # `_reports` contains the unread reports of the first unfinished job. `_report_totals` counts all reports of the
        # first unfinished job.
        self._reports: list[Report] = []
        self._report_totals = ReportTotals()
        # Result of the running job, if the training has ended and the child saves the model.
        self._trained: AttemptOutcome | None = None
        # The unfinished jobs have numbers from `_first` to `_end` - 1, and the next new job gets the number `_next`.
        self._first = self._end = self._next = 0
        # Values of `time.monotonic` when the supervisor began to wait for the first unfinished job, and when it sent
        # the jobs. `_seconds` is the total duration of the ended jobs, in seconds.
        self._since = self._sent_at = self._seconds = 0.0
        self._trains = True  # False if the jobs only load or check the objective
        # Reason why the supervisor no longer trusts the answers of this trainer, or None.
        self._fault: str | None = None
        # `_loaded` is the objective that the child has loaded. `_sent` is the last objective that the supervisor has
        # sent.
        self._loaded: str | None = None
        self._sent = ""
        # SHA-256 of the recorded code. The trainer process has compared the loaded code with this recorded code.
        self._compared: str | None = None
        # One line that lists the differences between the values of the loaded objective and the recorded values.
        self._differing: str | None = None
        self._messages: list[ArtifactMessage] = []  # the unread messages of the running job
        self.training_since: float | None = None
        self.code: ObjectiveCode | None = None

    @property
    def jobs(self) -> int:
        """Number of unfinished jobs, without the withdrawn jobs."""
        return self._end - self._first

    def start(
        self,
        objective: Mapping[str, Any],
        jobs: Sequence[tuple[Mapping[str, Any], Context]],
        open_data: Sequence[Callable[[], int]] = (),
        tuples: Sequence[Mapping[str, Any]] = (),
        recorded: Mapping[str, Any] | None = None,
        stopping: Sequence[Mapping[str, Any] | None] = (),
        best: tuple[float, int] | None = None,
    ) -> None:
        """Start attempts of one objective. The trainer runs one attempt after the other. `wait` returns the outcomes.

        Parameters
        ----------
        objective : mapping
            The objective in the study's spec.
        jobs : sequence of (params, context)
            Parameters and context of each attempt. When the caller calls `start`, all earlier jobs must have ended.
        open_data : sequence of callable
            One function for each data file of the objective. Each function returns a new read-only descriptor of the
            file. The child process inherits the descriptors, so the child process gets only the data files of its own
            objective.
        tuples : sequence of mapping
            The dimensions of the search space that have tuples as choices. A job contains a list instead of a tuple.
        recorded : mapping, optional
            The recorded code of the objective. The mapping has the keys "sha256" and "parts". If the objective's code
            on this machine differs from the recorded code, the outcome of the first attempt is a refusal.
        stopping : sequence of mapping or None
            The parameter `given` of `TrialStopping` for each attempt. By default, the study stops no trial early.
        best : (float, int), optional
            The loss and the number of a complete trial. The trainer keeps no model of a trial with a higher loss.
        """
        self._open_data = open_data
        shared = {**({"tuples": tuples} if tuples else {}), **({"best": best} if best else {})}
        sent = [{"params": params, "context": vars(context), **shared} for params, context in jobs]
        for job, rungs in zip(sent, stopping, strict=False):
            job |= {} if rungs is None else {"stopping": rungs}
        self._send(objective, sent, recorded)

    def load(self, objective: Mapping[str, Any], open_data: Sequence[Callable[[], int]] = ()) -> None:
        """Start a job that only loads the objective. After the job has ended, `code` is the objective's code."""
        self._open_data = open_data
        self._send(objective, [{}], trains=False)

    def check(
        self,
        objective: Mapping[str, Any],
        space: Sequence[Mapping[str, Any]],
        seed: int,
        open_data: Sequence[Callable[[], int]] = (),
    ) -> ObjectiveCode | None:
        """Load and check the objective.

        Return the objective's code, or None if the objective contains no code of a user.

        Parameters
        ----------
        objective : mapping
            The objective in the study's spec.
        space : sequence of mapping
            The dimensions of the search space in the study's spec.
        seed : int
            The study's seed.
        open_data : sequence of callable
            The docstring of the method `start` describes `open_data`.

        Raises
        ------
        UsageError
            The estimator of the objective is not compatible with the space or with the data.
        LedgerError
            This machine cannot load the objective.
        """
        self._open_data = open_data
        self._send(objective, [{"space": space, "seed": seed}], trains=False)
        while self.jobs:
            for outcome in self.wait(timeout=None):
                if outcome.kind == "failed" and outcome.error is not None:
                    raise UsageError(last_line(outcome.error))
                if outcome.error is not None:
                    raise LedgerError(outcome.error)
        return self.code

    def take_differing(self) -> str | None:
        """Return the differences between the values of the loaded objective and the recorded values.

        For each trainer process, only the first call returns the differences, and later calls return None.
        """
        differing, self._differing = self._differing, None
        return differing

    def wait(self, timeout: float | None, *descriptors: int) -> list[AttemptOutcome]:
        """Wait at most `timeout` seconds until a job ends or one of `descriptors` becomes readable.

        Returns
        -------
        list of AttemptOutcome
            The outcomes of the ended jobs, in the same order as the jobs. If the trainer process has died during a job,
            the last outcome is a failure with the cause of the death. After the death of the trainer process, the
            trainer has no unfinished jobs.
        """
        assert self._channel is not None
        poll = select.poll()
        for descriptor in (self._channel.fileno(), *descriptors, *([] if self._pidfd is None else [self._pidfd])):
            poll.register(descriptor, select.POLLIN)
        if self._channel.has_unsent:
            poll.register(self._channel.input_fileno(), select.POLLOUT)
        if self._channel.has_more or self._fault is not None:
            timeout = 0.0
        ready = poll.poll(None if timeout is None else math.ceil(1000 * timeout))
        has_ended = any(descriptor == self._pidfd for descriptor, _ in ready)
        outcomes: list[AttemptOutcome] = []
        try:
            lines, is_closed = self._channel.read()
            has_ended = has_ended or is_closed
            for line in lines:
                outcomes += self._accept(parse_answer(line, trains=self._trains))
        except MalformedAnswerError as error:
            self._fault = str(error)
        except OSError:
            has_ended = True
        if outcomes:
            self._since = time.monotonic()
            # When a job ends, the trainer immediately starts the next job of the same objective.
            self.training_since = self._since if self._loaded == self._sent else None
        if self._fault is not None:
            outcomes += self._end_first("failed", self._describe_fault)
        elif has_ended and self.jobs:
            outcomes += map(self._result_or, self._end_first("crashed", self._describe_death))
        elif self._orphans is not None and self._process is not None:
            if self.jobs:
                self._orphans.collect([self._process.pid])
            # No trial is running, so the supervisor can end the processes that objectives have detached from the
            # trainer.
            elif not self._orphans.end([self._process.pid]) and self._cgroup is not None and self._cgroup.exists:
                # The detached processes fork faster than the supervisor can end them. Only a kill of the whole cgroup
                # of the trainer ends all detached processes.
                self._kill()
        return self._with_outputs(outcomes)

    def end(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """End the child, and return the outcome of the running job with the job's output.

        If the training had ended before, return the result of the training instead of `outcome`.
        """
        outcome = self._result_or(outcome)
        self.kill()
        return self._with_outputs([outcome])[0]

    def take_reports(self) -> list[Report]:
        """Return the reports of the running job that have arrived since the last call of `take_reports`."""
        reports, self._reports = self._reports, []
        return reports

    def take_messages(self) -> list[ArtifactMessage]:
        """Return the new messages of the running job about artifacts and checkpoints."""
        messages, self._messages = self._messages, []
        return messages

    def reply(self, content: Mapping[str, Any]) -> None:
        """Send a reply to a message of the running job."""
        self._tell(REPLY, content)

    def tell_verdict(self, step: int | None, *, is_stopped: bool, leaves: bool) -> None:
        """Send the verdict of the database to the running job. `channel.VERDICT` describes the parameters."""
        self._tell(VERDICT, {"job": self._first, "step": step, "is_stopped": is_stopped, "leaves": leaves})

    def _tell(self, key: str, content: object) -> None:
        if self._channel is not None:
            try:
                self._channel.tell(key, content)
            except MalformedAnswerError as error:
                self._fault = str(error)

    def ask_to_leave(self) -> None:
        """Tell the running job that the worker has received a request to stop."""
        if self._channel is not None:
            self._channel.ask_to_leave()

    def withdraw(self) -> int:
        """Withdraw the jobs that have not started, and return the number of withdrawn jobs.

        Even if the first unfinished job has not started, the method withdraws only the later jobs.
        """
        assert self._channel is not None
        try:
            numbers = self._channel.take_tokens()
            if numbers != list(range(self._end - len(numbers), self._end)) or len(numbers) > self.jobs:
                raise MalformedAnswerError("the objective has read or written tokens in the socket for job tokens")
            if numbers and len(numbers) == self.jobs:
                # No job is running, because the trainer is still starting or is between two jobs.
                self._channel.add_tokens([numbers.pop(0)])
        except MalformedAnswerError as error:
            self._fault = str(error)
            return 0
        self._end -= len(numbers)
        return len(numbers)

    def kill(self) -> None:
        """End the child and the child's process group.

        If `adopts` is True, also end the processes that have left the process group.
        """
        if self._process is not None:
            self._kill()

    def close(self) -> None:
        """Call `kill`, and remove the folder for the files of the trials. After `close`, the caller must not start
        another job.
        """
        self.kill()
        remove_folder(self._folder)

    def _with_outputs(self, outcomes: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Add the output of each job to the job's outcome, and return the outcomes."""
        if not outcomes:
            return []
        assert self._output is not None
        first, self._untaken = self._untaken, self._untaken + len(outcomes)
        outputs = self._output.take(range(first, self._untaken), rest=not self.jobs)
        return [
            replace(outcome, output=output + outcome.output) if output else outcome
            for outcome, output in zip(outcomes, outputs, strict=True)
        ]

    def _send(
        self,
        objective: Mapping[str, Any],
        jobs: Sequence[Mapping[str, Any]],
        recorded: Mapping[str, Any] | None = None,
        *,
        trains: bool = True,
    ) -> None:
        assert not self.jobs, "earlier jobs are unfinished"
        text = json.dumps(objective)
        if self._channel is not None and self._pidfd is not None and wait([self._pidfd], 0):
            # The child has died between two jobs. Therefore the ledger does not count the child's death as a failed
            # attempt.
            self._kill()
        elif self._channel is not None and (
            text != self._sent or self._channel.has_unsent or not self._has_compared(recorded)
        ):
            # Each objective gets its own process. If two objectives shared a process, one objective could change a
            # module that the other objective also uses. If the supervisor has unsent data after the end of all jobs,
            # the child has answered a job that the child has not received. The supervisor ends the child, so that the
            # unsent data do not grow without limit. If the recorded code has changed after the child's comparison, a
            # new child must import the modules of the objective again.
            self._kill()
        channel = self._channel or self._spawn()
        self._sent = text
        self._first = self._untaken = self._next
        self._next += len(jobs)
        self._end = self._next
        assert self._output is not None
        self._output.expect(range(self._first, self._end))
        self._trains, self._trained = trains, None
        self._since = self._sent_at = time.monotonic()
        self._seconds = 0.0
        self.training_since = self._since if self._sent == self._loaded else None
        batch = {"objective": self._sent, "first": self._first, "jobs": jobs, "recorded": None, "recordable": False}
        if self._loaded is None:
            # The child compares its code with the recorded code only once, during the loading of the objective.
            batch |= {"recorded": recorded, "recordable": not self._trains}
            self._compared = None if recorded is None else recorded["sha256"]
        try:
            channel.send(batch, range(self._first, self._end))
        except MalformedAnswerError as error:
            self._fault = str(error)

    def _has_compared(self, recorded: Mapping[str, Any] | None) -> bool:
        """Return True if the child has compared its code with the recorded code.

        The method also returns True if the child's code is equal to the recorded code.
        """
        if recorded is None or self._loaded is None:
            return True
        return recorded["sha256"] in (self._compared, None if self.code is None else self.code.sha256)

    def _accept(self, answer: TrainerAnswer) -> list[AttemptOutcome]:
        """Return a list that contains the outcome in `answer`.

        The list is empty if `answer` does not contain the outcome of the first unfinished job.
        """
        # An objective can create a copy of the child by a fork. If an answer is not about the first unfinished job, the
        # answer comes from a copy of the child.
        if not answer.job == self._first < self._end:
            return []
        outcome = answer.content
        if isinstance(outcome, Report):
            if (excess := self._report_totals.add(outcome.metrics)) is not None:
                raise MalformedAnswerError(f"the attempt has reported {excess}")
            self._reports.append(outcome)
            return []
        if isinstance(outcome, TrainedModel):
            self._trained = outcome.outcome
            return []
        if isinstance(outcome, ArtifactMessage):
            if self.training_since is None:
                raise MalformedAnswerError("the message about an artifact came before the objective was loaded")
            self._messages.append(outcome)
            return []
        # A second `LoadedCode` message would extend the trial's time limit. An outcome "refused" after the loading
        # could end the worker. Therefore the supervisor treats both answers as malformed.
        is_loading = isinstance(outcome, LoadedCode) or outcome.kind == "refused"
        if is_loading and self.training_since is not None:
            raise MalformedAnswerError(
                "the answer reports the loading of the objective, but the objective was already loaded"
            )
        if isinstance(outcome, LoadedCode):
            self._loaded, self.training_since = self._sent, time.monotonic()
            self.code, self._differing = outcome.code, outcome.differing
            return []
        self._first += 1
        self._messages = []
        self._trained = None
        # Jobs run one after the other, so the total duration of the ended jobs is at most the time since the supervisor
        # sent the jobs. An objective can replace the clock of the trainer process, so `outcome.seconds` can be wrong.
        longest = max(0.0, time.monotonic() - self._sent_at - self._seconds)
        seconds = min(max(0.0, outcome.seconds), longest)
        self._seconds += seconds
        return [replace(outcome, seconds=seconds, reports=self._end_reports())]

    def _result_or(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """Return `outcome`, or the result of the training if an error has ended the saving of the model."""
        if self._trained is None or outcome.error is None:
            return outcome
        line = f"the model is not kept: {last_line(outcome.error)}\n"
        return replace(self._trained, seconds=outcome.seconds, output=line, reports=outcome.reports)

    def _end_reports(self) -> tuple[Report, ...]:
        """Return the unread reports of the first unfinished job. Call this method when the job has ended."""
        self._report_totals = ReportTotals()
        return tuple(self.take_reports())

    def _end_first(self, kind: str, describe: Callable[[], str]) -> list[AttemptOutcome]:
        """End the child, and return the outcome of the running job."""
        seconds, has_job = time.monotonic() - self._since, self.jobs > 0
        error = describe()
        reports = self._end_reports()
        return [AttemptOutcome(kind, seconds, error=error, reports=reports)] if has_job else []

    def _spawn(self) -> SupervisorChannel:
        channel = SupervisorChannel()
        token = draw_token()
        data = [open_file() for open_file in self._open_data]
        options = {**self._options, "parent": os.getpid(), "data": data, "token": token}
        descriptors = channel.trainer_descriptors
        program = interpreter.command("ledger.worker.trainer_process")
        if self._orphans is not None:
            self._orphans.begin()
        try:
            self._process = subprocess.Popen(
                [*program, json.dumps(options), *map(str, descriptors)],
                pass_fds=[*descriptors, *data],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=trainer_environment(self._threads, self._environment, self._account),
                **({} if self._account is None else self._account.process_options),
                # The child gets its own process group. The method `_kill` ends the whole process group. By default, the
                # processes that an objective starts belong to the same process group.
                start_new_session=True,
            )
        finally:
            channel.close_trainer_end()
            for descriptor in data:
                os.close(descriptor)
        # The child has no job yet, so the child has started no process outside the cgroup.
        if self._cgroup is not None:
            self._cgroup.contain(self._process.pid)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._account is not None:
            self._account.own(self._process.stdout, self._process.stderr)
        self._output = TrainerOutputReader([self._process.stdout, self._process.stderr], token, self._limit)
        self._pidfd = os.pidfd_open(self._process.pid) if sys.platform == "linux" else None
        self._channel = channel
        return channel

    def _describe_death(self) -> str:
        assert self._output is not None
        # The child process can close the channel before the child process exits. An immediate SIGKILL would hide the
        # child's exit code. Therefore the supervisor first waits at most one second for the exit of the child.
        self._output.last_error(1)
        code, stderr = self._kill()
        cause = f"signal {signal_name(-code)}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            cause += " (the kernel sends SIGKILL when memory runs out)"
        return f"{stderr}\nthe trainer process died during the training: {cause}".lstrip()

    def _describe_fault(self) -> str:
        fault = self._fault
        _, stderr = self._kill()
        text = (
            f"the trainer process wrote a malformed answer ({fault}): an objective must write only to its output"
            " streams and to descriptors that it has opened"
        )
        return f"{stderr}\n{text}".lstrip()

    def _kill(self) -> tuple[int, str]:
        """End the child, its cgroup, its process group and all adopted processes.

        Return the child's exit code and the last part of the child's standard error.
        """
        assert self._process is not None
        assert self._channel is not None
        assert self._output is not None
        # The kernel kills all processes of the cgroup in one step, so no process can escape by a fork. killpg() and
        # `_orphans` also end the processes that have left the cgroup, or that never had a cgroup.
        if self._cgroup is not None:
            self._cgroup.kill()
        # The code calls killpg() before wait(), because the kernel may reuse the id of the process group after wait().
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._wait_for_end()
        if self._orphans is not None:
            self._orphans.stop()
        if self._cgroup is not None:
            self._cgroup.remove()
        stderr = self._output.last_error(1)
        self._channel.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._report_totals = ReportTotals()
        self._process = self._channel = self._pidfd = self._loaded = self._fault = None
        self.code = self._compared = self._differing = None
        self._end = self._first
        self._messages = []
        return code, stderr

    def _wait_for_end(self) -> int:
        """Wait until the killed child has ended, and return the child's exit code.

        If the child has not ended after `LONGEST_WAIT` seconds, stop waiting.
        """
        assert self._process is not None
        deadline = time.monotonic() + LONGEST_WAIT
        if self._pidfd is not None:
            wait([self._pidfd], LONGEST_WAIT)
        while (code := self._process.poll()) is None and time.monotonic() < deadline:
            # If another process traces the child, the kernel first reports the child's exit code to the tracer. The
            # tracer may be a process that the objective has detached from the child.
            if self._orphans is not None:
                self._orphans.end([self._process.pid])
            time.sleep(_POLL_SECONDS)
        return -signal.SIGKILL if code is None else code
