"""The trainer process, which receives jobs, calls the objective and sends outcomes.

The trainer process has no connection to the database.
"""

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from ledger.database.bounds import shortened
from ledger.errors import LedgerError
from ledger.objectives import Context, ObjectiveResult, load, search_path
from ledger.study.python_values import python_params
from ledger.text import one_line
from ledger.without_pandas import without_pandas
from ledger.worker.channel import TrainerChannel
from ledger.worker.outcome import LOADED, AttemptOutcome, to_answer
from ledger.worker.output import OutputMarker

_PR_SET_PDEATHSIG = 1
# Folder of the package `ledger`.
_PACKAGE = Path(__file__).parents[1]


def main(options: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Run jobs until the supervisor ends.

    Parameters
    ----------
    options : mapping
        Options with six keys. The value of "parent" is the supervisor's process id. The value of "data" is the number
        of the file descriptor from which the process reads the dataset, or None. The value of "token" is the parameter
        `token` of `OutputMarker`. The values of "allowed", "threads" and "memory_limit" are the values of the
        parameters of `TrainerHandle` with the same names.
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
    # signal handlers are empty functions, and not SIG_IGN, because the programs that an objective starts would inherit
    # SIG_IGN.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    # The process reads the path of the current folder before the first job, because an objective may change the current
    # folder.
    folder = search_path.current_folder()
    channel = TrainerChannel(descriptors)
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
                evaluate = _load(json.loads(job["objective"]), options, folder)
                loaded = job["objective"]
                channel.answer({"job": job["job"], **LOADED}, urgent=True)
        except LedgerError as error:
            outcome = AttemptOutcome("refused", 0.0, error=_sendable(str(error)))
        else:
            outcome = _train(evaluate, job, options["memory_limit"])
        if os.getpid() != process_id:
            # The objective has forked the trainer process. This copy of the trainer process has returned from the
            # objective, and must end.
            os._exit(0)
        marks.end(job["job"])
        channel.answer(to_answer(job["job"], outcome))


def _load(
    objective: Mapping[str, Any], options: Mapping[str, Any], folder: str | None
) -> Callable[[dict[str, Any], Context], ObjectiveResult]:
    content = None
    if "data" in objective and options["data"] is not None:
        # Trainers that read the same temporary file share one file position. Therefore the trainer reads with pread(),
        # which does not use the shared file position.
        content = os.pread(options["data"], os.fstat(options["data"]).st_size, 0)
    with nullcontext() if "function" in objective else without_pandas():
        try:
            return load(objective, options["allowed"], threads=options["threads"], content=content, folder=folder)
        except (LedgerError, MemoryError):
            raise
        except Exception as error:
            # A role that can create studies can write any JSON value as an objective.
            raise LedgerError(
                f"the study's objective cannot be loaded ({type(error).__name__}: {one_line(str(error))}): correct the"
                " objective in a new study"
            ) from error


def _die_with_parent(parent: int) -> None:
    """On Linux, make the kernel end this process when the supervisor ends.

    The kernel ends this process even while the process is in a C loop that holds the GIL.

    This process also becomes the preferred target of the kernel's OOM killer.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent:
        sys.exit("the worker ended during the start of its trainer")


def _train(
    evaluate: Callable[[dict[str, Any], Context], ObjectiveResult], job: Mapping[str, Any], memory_limit: int | None
) -> AttemptOutcome:
    if "params" not in job:
        return AttemptOutcome("result", 0.0)
    # This module imports the function `perf_counter` itself, because a library for tests may replace
    # `time.perf_counter`.
    started = perf_counter()
    try:
        params = python_params(job["params"], job.get("tuples", ()))
        result = evaluate(params, Context(**job["context"]))
    except (Exception, SystemExit) as error:
        # Another machine may have more memory, so a lack of memory counts as a crash.
        kind = "crashed" if isinstance(error, MemoryError) else "failed"
        if isinstance(error, MemoryError) and memory_limit is not None:
            error.add_note(f"MemoryError: a trial may use at most {memory_limit} bytes (--memory-limit)")
        text = str(error) if isinstance(error, LedgerError) else _traceback(error)
        return AttemptOutcome(kind, perf_counter() - started, error=_sendable(text))
    return AttemptOutcome("result", perf_counter() - started, loss=result.loss, metrics=result.metrics)


def _traceback(error: BaseException) -> str:
    """Return the traceback of an objective's exception, without the frames of the ledger that called the objective."""
    inner = error.__traceback__
    while inner is not None and Path(inner.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE):
        inner = inner.tb_next
    # Without any frame of the objective, the ledger's frames are all that the traceback has.
    return "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))


def _sendable(text: str) -> str:
    """Shorten an error text and escape its lone surrogates, because an answer cannot contain a lone surrogate."""
    return shortened(text.encode(errors="backslashreplace").decode())


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]), [int(descriptor) for descriptor in sys.argv[2:]])
    except SystemExit as error:
        sys.stderr.write(f"{error}\n")
    except BaseException:
        traceback.print_exc()
    # Without `os._exit`, Python would wait for the threads that an objective has started. If Python waited for these
    # threads, the supervisor would notice the end of the trainer process only at the time limit of the trial.
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(1)
