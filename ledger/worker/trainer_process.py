"""The trainer process. The trainer process receives jobs, calls the objective and sends outcomes.

The trainer process has no connection to the database.
"""

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

from ledger.database.bounds import shortened
from ledger.errors import LedgerError, TrialPruned
from ledger.objectives import (
    Context,
    ObjectiveResult,
    ValueScale,
    artifact_saving,
    load,
    runs_users_code,
    search_path,
    value_scale,
)
from ledger.objectives.command import CommandFailedError, CommandPermissions, RemainingProcessesError
from ledger.objectives.loading import LoadedObjective
from ledger.objectives.objective_code import code_of, title_of, worker_changes
from ledger.objectives.reporting import receive_reports
from ledger.objectives.training_resource import resource_of_trial
from ledger.study.python_values import python_params
from ledger.study.space import Space
from ledger.text import one_line
from ledger.without_pandas import without_pandas
from ledger.worker.artifact_messages import ArtifactSender
from ledger.worker.channel import TrainerChannel
from ledger.worker.outcome import AttemptOutcome, LoadedCode, TrainedModel, to_answer
from ledger.worker.output import OutputMarker
from ledger.worker.trial_stopping import TrialStopping

_PR_SET_PDEATHSIG = 1
# Folder of the package `ledger`.
_PACKAGE = Path(__file__).parents[1]
# A service manager may send a signal to all processes of a service. After a signal to the whole service, the running
# command may receive the signal first. This process usually receives the same signal less than `_SIGNAL_SECONDS`
# seconds later. The supervisor also receives the signal of the service manager, and ends this process after the grace
# time. If the supervisor has not ended this process after `_INTERRUPTION_SECONDS` seconds, the attempt fails.
_SIGNAL_SECONDS = 0.5
_INTERRUPTION_SECONDS = 60.0
# After a report at a rung, the objective waits for the database's verdict for at most this time in seconds. The
# supervisor usually answers within some milliseconds. In a study with groups, the objective waits without a limit.
_VERDICT_SECONDS = 1.0


def main(options: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Run jobs until the supervisor ends.

    Parameters
    ----------
    options : mapping
        Options with eight keys. The value of "parent" is the supervisor's process id. The value of "data" is a list of
        file descriptors. The process reads the data files from the file descriptors. The value of "token" is the
        parameter `token` of `OutputMarker`. The value of "folder" is the attribute `folder` of `CommandPermissions`.
        The docstring of `TrainerHandle` describes the keys "allowed", "commands", "threads" and "memory_limit" as
        parameters.
    descriptors : sequence of int
        The value of `SupervisorChannel.trainer_descriptors`.
    """
    _die_with_parent(options["parent"])
    marks = OutputMarker(options["token"])
    # After the call of faulthandler.enable(), Python writes a traceback to standard error if C code crashes.
    faulthandler.enable()
    refusal = None
    if options["memory_limit"] is not None:
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (options["memory_limit"],) * 2)
        except (OSError, ValueError, OverflowError) as error:
            refusal = f"--memory-limit {options['memory_limit']} cannot be set on this machine: {error}"
    # A service manager may send SIGTERM to every process of a service, but only the supervisor may end the trainer. The
    # signal handlers are empty functions. The code does not use SIG_IGN, because an objective's child processes would
    # inherit SIG_IGN.
    received: set[int] = set()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: received.add(number))
    # An objective may change the current folder. Therefore the process reads the path of the current folder before the
    # first job.
    folder = search_path.current_folder()
    permissions = CommandPermissions(options["commands"], options["folder"])
    channel = TrainerChannel(descriptors)
    # If an earlier trainer process of this worker was killed, the folders of its trials may still exist.
    permissions.remove_leftovers()
    sender = ArtifactSender(
        lambda message: channel.answer(message, urgent=True),
        channel.replies,
        permissions.trial_folder,
        channel.should_leave.is_set,
    )
    artifact_saving.use(sender)
    process_id = os.getpid()
    loaded = ""
    while True:
        if (job := channel.next_job()) is None:
            channel.wait()
            continue
        try:
            if refusal is not None:
                raise LedgerError(refusal)
            if job["objective"] != loaded:
                objective = json.loads(job["objective"])
                evaluate, scale = _load(objective, options, folder, permissions), value_scale(objective)
                message = _checked_code(objective, job, options, folder)
                if "command" in objective:
                    channel.at_end = lambda: _end_command(permissions)
                    _set_death_signal(0)
                loaded = job["objective"]
                channel.answer(message.to_answer(job["job"]), urgent=True)
        except LedgerError as error:
            outcome = AttemptOutcome("refused", 0.0, error=_sendable(str(error)))
        else:
            received.clear()
            if "params" in job:
                sender.begin(job["job"], Context(**job["context"]))
                outcome = _train(evaluate, job, options["memory_limit"], received, scale, channel)
            elif "space" in job:
                outcome = _check(evaluate, job)
            else:
                outcome = AttemptOutcome("result", 0.0)
        if os.getpid() != process_id:
            # The objective has called fork(), and this process is the new copy of the trainer process. The new copy
            # must end, because the objective has returned in both processes.
            os._exit(0)
        sender.end()
        marks.end(job["job"])
        channel.answer(to_answer(job["job"], outcome))


def _load(
    objective: Mapping[str, Any], options: Mapping[str, Any], folder: str | None, permissions: CommandPermissions
) -> LoadedObjective:
    # If several trainers read the same temporary file, the trainers share one file position. Therefore the trainer
    # reads the file with pread(), because pread() does not use the file position.
    contents = [os.pread(descriptor, os.fstat(descriptor).st_size, 0) for descriptor in options["data"]]
    with nullcontext() if runs_users_code(objective) else without_pandas():
        try:
            return load(
                objective,
                options["allowed"],
                threads=options["threads"],
                contents=contents,
                folder=folder,
                permissions=permissions,
            )
        except (LedgerError, MemoryError):
            raise
        except Exception as error:
            # A database role that can create studies can write any JSON value as an objective.
            raise LedgerError(
                f"the study's objective cannot be loaded ({type(error).__name__}: {one_line(str(error))}): correct"
                " the objective, and start a new study"
            ) from error


def _checked_code(
    objective: Mapping[str, Any], job: Mapping[str, Any], options: Mapping[str, Any], folder: str | None
) -> LoadedCode:
    """Compare the code of the loaded objective with the recorded code that the job contains.

    Raises
    ------
    LedgerError
        The loaded code differs from the recorded code, so this machine must not train the objective.
    """
    code = code_of(objective, options["allowed"], folder, commands=options["commands"], recordable=job["recordable"])
    if code is None or job["recorded"] is None:
        return LoadedCode(code)
    try:
        refused, differing = worker_changes(objective, job["recorded"], code)
    except ValueError as error:
        raise LedgerError(f"the recorded code of the study cannot be read ({error}): delete the study") from None
    if refused:
        raise LedgerError(
            f"the code of objective {one_line(title_of(objective))!r} on this machine differs from the recorded code"
            f" ({'; '.join(refused)}): install the recorded code, which `ledger study source` prints, or record this"
            " machine's code by `ledger study accept`"
        )
    return LoadedCode(code, "; ".join(differing) or None)


def _die_with_parent(parent: int) -> None:
    """Ask the Linux kernel to kill this process when the supervisor dies.

    The kernel can end this process even if C code holds the GIL in an endless loop.

    This process also becomes the preferred target of the kernel's OOM killer.
    """
    _set_death_signal(signal.SIGKILL)
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent:
        sys.exit("the worker ended during the start of its trainer")


def _set_death_signal(number: int) -> None:
    """On Linux, make the kernel send a signal to this process when the supervisor ends.

    If `number` is 0, the kernel sends no signal. Otherwise, `number` is the number of the signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _end_command(permissions: CommandPermissions) -> None:
    """End all processes of the running command, and end this process, because the supervisor has ended.

    The kernel's death signal would end only this process, and not the processes of the command. Therefore, if the
    objective is a command, this process does not use the kernel's death signal. This process runs no Python code of a
    user, so no code of a user can prevent the end of the command.
    """
    permissions.orphans.end(())
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _check(evaluate: LoadedObjective, job: Mapping[str, Any]) -> AttemptOutcome:
    try:
        evaluate.check(list(Space.from_json(job["space"]).extreme_points()), job["seed"])
    except LedgerError as error:
        return AttemptOutcome("failed", 0.0, error=_sendable(str(error)))
    except Exception as error:  # The methods of a user's estimator may raise any exception.
        text = (
            f"the objective cannot be checked ({type(error).__name__}: {one_line(str(error))}): correct the objective"
        )
        return AttemptOutcome("failed", 0.0, error=_sendable(text))
    return AttemptOutcome("result", 0.0)


def _train(
    evaluate: LoadedObjective,
    job: Mapping[str, Any],
    memory_limit: int | None,
    received: Collection[int],
    scale: ValueScale,
    channel: TrainerChannel,
) -> AttemptOutcome:
    context, stopping = Context(**job["context"]), TrialStopping(job.get("stopping"))
    awaited: threading.Event | None = None
    waited = 0.0
    # Whether the objective has learned that it must end, and the trial has no verdict yet.
    leaves = False

    def send(step: int, loss: float | None, metrics: Mapping[str, Any] | None) -> None:
        nonlocal awaited
        if stopping.waits and stopping.enforces:
            # The objective may never ask for the verdict. If the training went on, the step at which the worker ends
            # the training would depend on the speed of other workers.
            is_stopped()
        has_reached_rung = stopping.observe(step, loss)
        if has_reached_rung and stopping.asks_database and channel.stopped_job != job["job"]:
            awaited = channel.expect_verdict(job["job"], step)
        with_metrics = {"metrics": metrics} if metrics else {}
        channel.report({"job": job["job"], "step": step, "loss": loss, **with_metrics}, urgent=has_reached_rung)

    def is_stopped() -> bool:
        nonlocal awaited, waited, leaves
        if awaited is not None:
            began = perf_counter()
            awaited.wait(None if stopping.waits else _VERDICT_SECONDS)
            awaited, waited = None, waited + (perf_counter() - began if stopping.waits else 0.0)
        leaves = leaves or channel.leaving_job == job["job"]
        return stopping.is_stopped or channel.stopped_job == job["job"]

    # The code does not call `time.perf_counter`, because a library for tests may replace the attribute
    # `time.perf_counter`.
    started = perf_counter()
    try:
        params = python_params(job["params"], job.get("tuples", ()))
        with receive_reports(context, scale, send, is_stopped, resource_of_trial(job.get("stopping"))):
            result = evaluate(params, context)
    except TrialPruned:
        return AttemptOutcome("pruned", perf_counter() - started - waited)
    except RemainingProcessesError as error:
        # After this process has ended, the supervisor ends all processes in the cgroup of this process.
        sys.exit(str(error))
    except CommandFailedError as error:
        seconds = perf_counter() - started - waited
        _wait_if_interrupted(error, received)
        kind = "crashed" if error.code is not None and error.code < 0 else "failed"
        return AttemptOutcome(kind, seconds, error=_sendable(f"{error.detail}{error}"))
    except (Exception, SystemExit) as error:
        # If an attempt runs out of memory, the outcome is a crash, because another machine may have more memory.
        kind = "crashed" if isinstance(error, MemoryError) else "failed"
        if isinstance(error, MemoryError) and memory_limit is not None:
            error.add_note(f"MemoryError: a trial may use at most {memory_limit} bytes (--memory-limit)")
        text = str(error) if isinstance(error, LedgerError) else _traceback(error)
        return AttemptOutcome(kind, perf_counter() - started - waited, error=_sendable(text))
    kind = "left" if leaves else "result"
    outcome = AttemptOutcome(kind, perf_counter() - started - waited, loss=result.loss, metrics=result.metrics)
    if evaluate.keeps_models and (result.loss, context.trial) <= tuple(job.get("best", (inf, 0))):
        channel.answer(TrainedModel(outcome).to_answer(job["job"]), urgent=True)
        _keep_model(evaluate, params, context, result)
        outcome = replace(outcome, seconds=perf_counter() - started - waited)
    return outcome


def _keep_model(
    evaluate: LoadedObjective, params: Mapping[str, Any], context: Context, result: ObjectiveResult
) -> None:
    """Save the model of a trial. If the model cannot be saved, the trial keeps its result, and the output contains the
    reason.

    The trial must not fail, because the result of a study must not depend on the worker. It is possible that another
    worker would not save a model of the same trial.
    """
    try:
        evaluate.keep_model(params, context, result)
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"the model of trial {context.trial} is not kept: {one_line(reason, 1_000)}\n")


def _traceback(error: BaseException) -> str:
    """Return the traceback of an objective's exception. Leave out the first frames, because the first frames belong to
    the ledger.
    """
    inner = error.__traceback__
    while inner is not None and Path(inner.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE):
        inner = inner.tb_next
    # If all frames of the traceback belong to the ledger, `_traceback` removes no frame.
    return "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))


def _wait_if_interrupted(error: CommandFailedError, received: Collection[int]) -> None:
    """If a signal to stop the worker has also ended the command, wait until the supervisor ends this process.

    After the end of this process, the supervisor releases the trial, so the ledger does not count the attempt as
    failed.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    if not received and error.code in (*(-number for number in numbers), *(128 + number for number in numbers)):
        time.sleep(_SIGNAL_SECONDS)
    if received:
        time.sleep(_INTERRUPTION_SECONDS)


def _sendable(text: str) -> str:
    """Shorten an error text, and escape each lone surrogate (a half of a UTF-16 pair), because an answer cannot contain
    a lone surrogate.
    """
    return shortened(text.encode(errors="backslashreplace").decode())


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]), [int(descriptor) for descriptor in sys.argv[2:]])
    except SystemExit as error:
        sys.stderr.write(f"{error}\n")
    except BaseException:
        traceback.print_exc()
    # Without `os._exit`, Python would wait for the threads that an objective has started. During the wait, the
    # supervisor would not notice the failure of the trainer process. Therefore the trial would continue until its time
    # limit.
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(1)
