"""Objectives that run a program once for each trial. The program is a child process of this process."""

import errno
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ledger.errors import LedgerError, TrialPruned, UsageError
from ledger.objectives.checkpointing import keep_folder
from ledger.objectives.command_result import LARGEST_RESULT, ReportParser, from_file, from_output
from ledger.objectives.command_template import FACTS, PARAMS_AS, CommandTemplate, fixed_arguments
from ledger.objectives.context import Context
from ledger.objectives.orphans import LONGEST_WAIT, OrphanReaper
from ledger.objectives.reporting import checked_step
from ledger.objectives.result import InvalidResultError
from ledger.objectives.value_scale import DIRECTIONS
from ledger.text import last_line, one_line, show, signal_name

# The error text of an attempt contains at most the last `_ERROR_KEPT` bytes of the command's standard error.
_ERROR_KEPT = 4096
_READ_SIZE = 1 << 16
# When the command has ended, this process reads the rest of each pipe's content, up to a limit of about `_LARGEST_REST`
# bytes. The buffer of a pipe is smaller than `_LARGEST_REST` bytes. Therefore, if more than `_LARGEST_REST` bytes
# arrive, a process of the command is still running.
_LARGEST_REST = 1 << 20
# Interval in milliseconds at which this process removes ended processes from the kernel's process table. On systems
# other than Linux, `_POLL_MILLISECONDS` is also the longest time until this process notices that the command has ended.
_POLL_MILLISECONDS = 1_000 if sys.platform == "linux" else 50
# Name of a folder that is a complete checkpoint.
_STEP = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


class CommandFailedError(LedgerError):
    """An exception for a command that did not start, failed, was killed, or wrote no valid result.

    Attributes
    ----------
    code : int or None
        The exit code of the command, or the negated number of the signal that ended the command. `code` is None if the
        command did not start or reported too many values.
    detail : str
        The last part of the text that the command has written to standard error. An error report shows `detail` before
        the message. `detail` is empty if the standard error has at most one line.
    """

    def __init__(self, message: str, code: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.code, self.detail = code, detail


class RemainingProcessesError(LedgerError):
    """An exception that this process raises if it could not end all processes of a command."""


@dataclass(frozen=True)
class CommandPermissions:
    """The commands that a process may run, the folder for the commands' files, and the reaper that ends remaining
    processes.

    Attributes
    ----------
    patterns : sequence of str
        The patterns of the allowed commands, in the format that `pattern_words` accepts.
    folder : str or None
        Path of the folder for the files of the trials. If the folder does not exist, the first trial creates the
        folder. If `folder` is None, the trials use the system's folder for temporary files.
    orphans : OrphanReaper
        The reaper that kills the remaining processes of a command.
    """

    patterns: Sequence[str] = ()
    folder: str | None = None
    orphans: OrphanReaper = field(default_factory=OrphanReaper)

    @contextmanager
    def trial_folder(self) -> Iterator[str]:
        """Create a private folder, yield the folder's path, and remove the folder at the end of the ``with`` block."""
        try:
            if self.folder is not None:
                with suppress(FileExistsError):
                    os.mkdir(self.folder, 0o700)  # noqa: PTH102 (no method of Path creates a folder only if it is new)
                if os.lstat(self.folder).st_uid != os.geteuid():
                    raise PermissionError(0, "the folder belongs to another user")
            folder = tempfile.mkdtemp(prefix="trial-", dir=self.folder)
        except OSError as error:
            raise LedgerError(
                f"the folder for the files of the trial cannot be created ({error.strerror}:"
                f" {self.folder or tempfile.gettempdir()}): set TMPDIR to a folder in which this user may write"
            ) from None
        try:
            yield folder
        finally:
            remove_folder(folder)

    def remove_leftovers(self) -> None:
        """Remove the folders that killed trials have left behind. Call this method only while no command is running."""
        if self.folder is not None:
            with suppress(OSError):
                for folder in list(Path(self.folder).iterdir()):
                    remove_folder(str(folder))


def load_command(objective: Mapping[str, Any], permissions: CommandPermissions) -> "CommandObjective":
    """Load the command of an objective.

    Parameters
    ----------
    objective : mapping
        A mapping that contains the key "command". The keys "params_as", "direction" and "record_source" are optional.
        The values may be any JSON values, because a database role that can create studies can write any JSON value as
        an objective.
    permissions : CommandPermissions
        The commands that this process may run, the folder for the files of the trials, and the reaper.

    Raises
    ------
    LedgerError
        The objective is malformed, no pattern allows the command, or the program does not exist on this machine. The
        message is one line.
    """
    params_as, direction = objective.get("params_as", PARAMS_AS[0]), objective.get("direction", DIRECTIONS[0])
    keys = {"command", "params_as", "direction", "record_source"}
    if not set(objective) <= keys or params_as not in PARAMS_AS or direction not in DIRECTIONS:
        raise LedgerError(f"the study's objective is malformed ({show(objective)}): delete the study")
    try:
        template = CommandTemplate(objective["command"])
    except UsageError as error:
        raise LedgerError(f"the study's objective is malformed ({error}): delete the study") from None
    fixed_arguments(template.arguments, permissions.patterns)
    if shutil.which(template.program) is None:
        raise LedgerError(
            f"this machine has no program {show(template.program)} for the command of the study: install the program"
            " or add its folder to PATH; if the command has a relative path, start the worker in the folder that"
            " contains the path"
        )
    return CommandObjective(template, params_as, permissions)


class CommandObjective:
    """An objective that runs a command for each trial.

    Parameters
    ----------
    template : CommandTemplate
        The program and its arguments.
    params_as : str
        The way in which the command receives the parameters. The value is one of `PARAMS_AS`.
    permissions : CommandPermissions
        The commands that this process may run, the folder for the files of the trials, and the reaper.
    """

    def __init__(self, template: CommandTemplate, params_as: str, permissions: CommandPermissions) -> None:
        self._template, self._params_as, self._permissions = template, params_as, permissions

    def __call__(self, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Run the command, end all processes of the command, and return the command's result.

        Returns
        -------
        dict
            A dict that contains the value under the key "value", and each metric under its name. Each entry may be any
            JSON value.

        Raises
        ------
        CommandFailedError
            The command did not start, had an exit code other than 0, was killed by a signal, or wrote no valid result.
        RemainingProcessesError
            A process of the command is still running `LONGEST_WAIT` seconds after the end of the command.
        TrialPruned
            The rule of early stopping has stopped the trial, so this process has ended the command.
        """
        # The first attempt of a trial has no checkpoint, so this process asks the worker for a checkpoint only in later
        # attempts.
        last = context.restore() if context.attempt > 1 else None
        with self._permissions.trial_folder() as folder, self._permissions.trial_folder() as checkpoint_folder:
            facts = {
                "study": context.study,
                "study_seed": str(context.study_seed),
                "number": str(context.trial),
                "attempt": str(context.attempt),
                "seed": str(context.seed),
                "result_file": os.path.join(folder, "result"),  # noqa: PTH118 (the variables are texts)
                "folder": folder,
                "checkpoint_folder": checkpoint_folder,
                "restored_folder": "" if last is None else str(last.folder),
            }
            as_json = json.dumps(params, ensure_ascii=False)
            if self._params_as == "file":
                facts["params_file"] = _write(Path(folder, "params.json"), as_json)
            else:
                facts["params"] = as_json
            output = self._run(self._template.render(params, facts), facts, context)
            try:
                result = from_file(facts["result_file"])
                return from_output(bytes(output.tail), output.size) if result is None else result
            except InvalidResultError as error:
                raise CommandFailedError(str(error), 0) from None

    def _run(self, arguments: Sequence[str], facts: Mapping[str, str], context: Context) -> "_OutputReader":
        """Run the command, pass the command's reports to the context, and return the command's standard output."""
        reports, checkpoints = _ReportReader(context), _CheckpointKeeper(context, facts["checkpoint_folder"])
        # The command of another trial may have started this worker. Therefore this process's environment may contain
        # the variables of another trial.
        names = {fact: f"LEDGER_TRIAL_{fact.upper()}".encode() for fact in FACTS}
        variables = {name: value for name, value in os.environb.items() if name not in names.values()}
        variables |= {names[fact]: _encode(text) for fact, text in facts.items()}
        orphans = self._permissions.orphans
        orphans.begin()
        try:
            process = subprocess.Popen(
                [_encode(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # The command stays in the process group of this process, because the supervisor ends all processes of
                # the group.
                env=variables,
            )
        except (OSError, ValueError) as error:
            orphans.stop()
            raise CommandFailedError(self._describe_start(error)) from None
        try:
            output, error_output = self._read(process, reports, checkpoints)
        finally:
            # Processes that the command has started may still run, and may keep the command's pipes open.
            has_ended = orphans.end(())
        if not has_ended:
            raise RemainingProcessesError(
                f"some processes of the command still ran {LONGEST_WAIT:g} s after the command had ended: change the"
                " program so that it ends all its processes"
            )
        orphans.stop()
        for stream in (output, error_output):
            stream.read(_LARGEST_REST)
            stream.pipe.close()
        reports.read(b"\n")  # The last line may lack its newline.
        if (fault := reports.fault or checkpoints.fault) is not None:
            process.poll()
            raise CommandFailedError(fault)
        if reports.is_stopped:
            process.poll()
            raise TrialPruned
        if process.returncode != 0:
            text = error_output.tail[-_ERROR_KEPT:].decode(errors="replace").strip()
            detail = f"{text}\n" if "\n" in text else ""
            raise CommandFailedError(_describe_end(process.returncode, text), process.returncode, detail)
        return output

    def _read(
        self, process: "subprocess.Popen[bytes]", reports: "_ReportReader", checkpoints: "_CheckpointKeeper"
    ) -> "tuple[_OutputReader, _OutputReader]":
        """Copy the output of the command to the streams of this process until the command ends.

        The method also returns when the command has reported too many values, when a checkpoint cannot be kept, or when
        the rule of early stopping has stopped the trial. A command cannot ask whether the trial is stopped.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        streams = (
            _OutputReader(process.stdout, sys.stdout, LARGEST_RESULT, reports.read),
            _OutputReader(process.stderr, sys.stderr, _ERROR_KEPT),
        )
        poll = select.poll()
        is_open = {stream.pipe.fileno(): stream for stream in streams}
        exit_descriptor = os.pidfd_open(process.pid) if sys.platform == "linux" else None
        for descriptor in (*is_open, *([] if exit_descriptor is None else [exit_descriptor])):
            poll.register(descriptor, select.POLLIN)
        try:
            # An end-of-file in the pipes does not show that the command has ended. The command can close its pipes
            # before the command ends. Background processes can keep the pipes open after the command has ended.
            has_ended = False
            while not (has_ended or reports.check() or checkpoints.fault is not None):
                for descriptor, _event in poll.poll(_POLL_MILLISECONDS):
                    if descriptor != exit_descriptor and not is_open[descriptor].read(_READ_SIZE):
                        poll.unregister(descriptor)
                self._permissions.orphans.collect([process.pid])
                has_ended = process.poll() is not None
                if not has_ended:
                    checkpoints.look()
        finally:
            if exit_descriptor is not None:
                os.close(exit_descriptor)
        return streams

    def _describe_start(self, error: OSError | ValueError) -> str:
        reason = getattr(error, "strerror", None) or str(error)
        program = show(self._template.program)
        if isinstance(error, OSError) and error.errno == errno.E2BIG:
            return (
                f"the command {program} cannot start ({reason}): pass fewer or shorter parameters, or set params_as ="
                ' "file"'
            )
        return (
            f"the command {program} cannot start ({one_line(reason)}): make the file a program that this user can run"
        )


class _ReportReader:
    """A reader that finds the reports in the output of a command, and passes the reports to the context of the trial.

    Attributes
    ----------
    fault : str or None
        A text of one line with the reason why the context refused a report.
    is_stopped : bool
        Whether the rule of early stopping has stopped the trial.
    """

    def __init__(self, context: Context) -> None:
        self._context, self._lines = context, ReportParser()
        self.fault: str | None = None
        self.is_stopped = False

    def read(self, data: bytes) -> None:
        """Read the next part of the output. If `data` contains the end of a report, pass the report to the context."""
        for step, value, metrics in self._lines.read(data):
            if self.check():
                return
            try:
                self._context.report(value, step, metrics)
            except (ValueError, InvalidResultError) as error:
                self.fault = str(error)
        self.check()

    def check(self) -> bool:
        """Return whether this process must end the command because of a fault, or because the trial is stopped."""
        self.is_stopped = self.is_stopped or self._context.should_prune()
        return self.is_stopped or self.fault is not None


class _CheckpointKeeper:
    """Keeps the checkpoints that a command writes into a folder.

    The command writes a checkpoint into a new folder, and then renames this folder to the number of the step. Therefore
    each folder whose name is a number contains a complete checkpoint.

    Attributes
    ----------
    fault : str or None
        A text of one line with the reason why a checkpoint was not kept.
    """

    def __init__(self, context: Context, folder: str) -> None:
        self._context, self._folder = context, Path(folder)
        self.fault: str | None = None

    def look(self) -> None:
        """Let the ledger save the checkpoint with the largest step, and then remove all complete checkpoints from the
        folder.
        """
        try:
            complete = [path for path in self._folder.iterdir() if _STEP.fullmatch(path.name) and not path.is_symlink()]
        except OSError:  # The command may remove the folder.
            return
        if not complete:
            return
        last = max(complete, key=lambda path: int(path.name))
        try:
            keep_folder(self._context, checked_step("checkpoint", int(last.name)), last)
        except (LedgerError, ValueError) as error:
            self.fault = str(error)
        for path in complete:
            remove_folder(str(path))


class _OutputReader:
    """A reader of the output that a command writes to one pipe.

    Parameters
    ----------
    pipe : binary file
        The end of the pipe from which this process reads the command's output.
    stream : text file
        The stream of this process to which `read` copies the output.
    kept : int
        `tail` contains at least the last `kept` bytes of the output.
    handle : callable
        Function that `read` calls with each part of the output.

    Attributes
    ----------
    tail : bytearray
        The last bytes of the output.
    size : int
        The number of bytes in the whole output.
    """

    def __init__(
        self, pipe: IO[bytes], stream: Any, kept: int, handle: Callable[[bytes], object] = lambda _data: None
    ) -> None:
        self.pipe, self.tail, self.size = pipe, bytearray(), 0
        self._stream, self._kept, self._handle = stream, kept, handle
        os.set_blocking(pipe.fileno(), False)

    def read(self, most: int) -> bool:
        """Read the available bytes without waiting. Stop after about `most` bytes.

        Return False at the end-of-file of the pipe.
        """
        while most > 0:
            try:
                data = os.read(self.pipe.fileno(), _READ_SIZE)
            except BlockingIOError:
                return True
            if not data:
                return False
            most -= len(data)
            self.size += len(data)
            self.tail += data
            # The code shortens `tail` only if `tail` has more than 2 * `_kept` bytes, because each shortening copies
            # `tail`.
            if len(self.tail) > 2 * self._kept:
                del self.tail[: -self._kept]
            self._stream.buffer.write(data)
            self._stream.flush()
            self._handle(data)
        return True


def remove_folder(folder: str) -> None:
    """Remove a folder and all content of the folder. Skip content that this process has no permission to remove."""
    with suppress(RecursionError):  # Before Python 3.13, shutil.rmtree() calls itself for each level of folders.
        shutil.rmtree(folder, ignore_errors=True)


def _encode(text: str) -> bytes:
    """Return the bytes of an argument or of an environment variable.

    The encoding does not depend on the locale of the worker.
    """
    return text.encode(errors="surrogateescape")


def _write(file: Path, as_json: str) -> str:
    """Write a text to a new file, and return the path of the file."""
    try:
        file.write_text(as_json + "\n", encoding="utf-8")
    except OSError as error:
        raise LedgerError(
            f"the file of the parameters cannot be written ({error.strerror}: {file}): free space in this folder"
        ) from None
    return str(file)


def _describe_end(code: int, error_output: str) -> str:
    if code < 0:
        cause = f"signal {signal_name(-code)} ended the command"
        if code == -signal.SIGKILL:
            cause += " (the kernel sends SIGKILL when memory runs out)"
    else:
        cause = f"the command ended with exit code {code}"
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if limit != resource.RLIM_INFINITY:
        cause += f" (--memory-limit allows each process of the command at most {limit} bytes)"
    return f"{cause}: {last_line(error_output)}" if error_output else cause
