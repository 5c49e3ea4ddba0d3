"""Functions that check the reports of an objective during the training, and pass the reports to the trainer."""

import json
import math
import numbers
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.database.bounds import LARGEST_STEP, MOST_REPORTS
from ledger.errors import TrialPruned
from ledger.objectives.result import checked_metrics
from ledger.objectives.value_scale import ValueScale
from ledger.text import show

if TYPE_CHECKING:
    from ledger.objectives.context import Context
    from ledger.objectives.training_resource import TrainingResource

# Environment variable that marks the trainer process. `Study.run` raises an error if the process has the environment
# variable `LEDGER_INSIDE_TRAINER`. Therefore the trainer cannot run a study by mistake when the trainer imports a
# module that calls `Study.run`. If an objective starts a process, the process inherits the environment variable
# `LEDGER_INSIDE_TRAINER`.
INSIDE = "LEDGER_INSIDE_TRAINER"

# The maximum size of all metrics that an attempt reports, in bytes. The worker keeps the reports in memory while the
# database is unavailable.
LARGEST_METRICS = 20_000_000

# Function that sends a step, the loss and the metrics at the step to the supervisor. The loss is None if the reported
# value is not finite. The metrics are None if the objective reported no metrics.
Send = Callable[[int, float | None, Mapping[str, Any] | None], object]
# Function that returns whether the rule of early stopping has stopped the running trial.
IsStopped = Callable[[], bool]


class ReportTotals:
    """The number of an attempt's reports, and the size of their metrics."""

    def __init__(self) -> None:
        self._count = self._size = 0

    def add(self, metrics: Mapping[str, Any] | None) -> str | None:
        """Add a report. Return a description of the bound that the reports exceed, or None if they exceed no bound."""
        self._count += 1
        self._size += len(json.dumps(metrics)) if metrics else 0
        if self._count > MOST_REPORTS:
            return f"more than {MOST_REPORTS:,} values"
        if self._size > LARGEST_METRICS:
            return f"metrics of more than {LARGEST_METRICS:,} bytes"
        return None


@dataclass
class _ReportReceiver:
    """The receiver of the intermediate values that the objective of the running trial reports."""

    context: "Context"
    scale: ValueScale
    send: Send
    is_stopped: IsStopped
    resource: "TrainingResource | None"
    process_id: int
    totals: "ReportTotals"


_receiver: _ReportReceiver | None = None


@contextmanager
def receive_reports(
    context: "Context",
    scale: ValueScale,
    send: Send,
    is_stopped: IsStopped = lambda: False,
    resource: "TrainingResource | None" = None,
) -> Iterator[None]:
    """Pass the reports of a trial to `send` while the ``with`` block runs.

    The objective evaluates the trial in the ``with`` block.

    Parameters
    ----------
    context : Context
        The context of the trial.
    scale : ValueScale
        The relation between the objective's value and the loss.
    send : callable
        Function that receives the step, the loss and the metrics of each report.
    is_stopped : callable
        Function that returns whether the rule of early stopping has stopped the trial.
    resource : TrainingResource, optional
        The description of the scores that a built-in model or an estimator by name must report. By default, a built-in
        model or an estimator by name reports no scores.
    """
    global _receiver
    _receiver = _ReportReceiver(context, scale, send, is_stopped, resource, os.getpid(), ReportTotals())
    try:
        yield
    finally:
        _receiver = None


def report(context: "Context", value: Any, step: Any, metrics: Any = None) -> None:
    """Check a report, and pass the report to the receiver of the trial's reports.

    The docstring of `Context.report` describes the parameters.
    """
    number, at = checked_value(value), checked_step("report", step)
    known = checked_metrics(metrics) if metrics is not None else {}
    receiver = _receiver
    if receiver is None:
        if os.environ.get(INSIDE):
            raise _misplaced()
        return
    if receiver.process_id != os.getpid() or receiver.context != context:
        raise _misplaced()
    excess = receiver.totals.add(known)
    if excess is not None:
        raise ValueError(f"the objective reports {excess}: report fewer steps, such as every tenth step")
    receiver.send(at, finite_loss(receiver.scale, number), known or None)


def report_again(context: "Context", step: int, loss: float | None) -> None:
    """Report the last step before the restored checkpoint for the present attempt.

    The earlier attempt may have ended between this report and its verdict. If this report was the last one of the
    training, the objective would not ask for the verdict again.

    Raises
    ------
    TrialPruned
        The rule of early stopping has stopped the trial.
    """
    receiver = _receiver
    if receiver is not None and receiver.process_id == os.getpid() and receiver.context == context:
        receiver.send(step, loss, None)
        if receiver.is_stopped():
            raise TrialPruned


def should_prune(context: "Context") -> bool:
    """Return whether the rule of early stopping has stopped the trial to which the context belongs."""
    receiver = _receiver
    return receiver is not None and receiver.context == context and receiver.is_stopped()


def training_resource(context: "Context") -> "TrainingResource | None":
    """Return the description of the scores that a built-in model or an estimator by name must report in a trial. Return
    None if the objective need not report scores, or if the context does not belong to the running trial.
    """
    receiver = _receiver
    return receiver.resource if receiver is not None and receiver.context == context else None


def checked_value(value: Any) -> float:
    """Return the value of a report as a float. A number outside the range of a float becomes NaN.

    Raises
    ------
    TypeError
        The value is not a real number.
    """
    # Python treats a bool as a number. However, a reported bool is probably a mistake, such as the result of a
    # comparison.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"the reported value is {show(value)}, which is not a number: report a real number")
    try:
        return float(value)
    except (ArithmeticError, ValueError):  # An integer or a fraction may be outside the range of a float.
        return math.nan


def finite_loss(scale: ValueScale, value: float) -> float | None:
    """Return the loss of a reported value, or None if the loss is not finite."""
    loss = scale.loss(value)
    return loss if math.isfinite(loss) else None


def checked_step(of: str, step: Any) -> int:
    """Return the step of a report or of a checkpoint as an integer. The argument `of` is "report" or "checkpoint".

    Raises
    ------
    TypeError
        The step is not an integer.
    ValueError
        The step is less than 0 or larger than `LARGEST_STEP`.
    """
    if isinstance(step, bool) or not isinstance(step, numbers.Integral):
        raise TypeError(f"the step of the {of} is {show(step)}, which is not an integer: give an integer from 0")
    number = int(step)
    if not 0 <= number <= LARGEST_STEP:
        raise ValueError(f"the step of the {of} is {show(number)}: give an integer from 0 to {LARGEST_STEP}")
    return number


def _misplaced() -> RuntimeError:
    return RuntimeError(
        "the report does not belong to the running trial: call context.report in the process that calls the"
        " objective, before the objective returns"
    )
