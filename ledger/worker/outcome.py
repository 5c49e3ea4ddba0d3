"""The outcome of one attempt, and the parser of the answers that the trainer process sends.

An objective runs in the trainer process, so an objective can write any data to the pipe of answers. Therefore the
supervisor does not trust the answers, and checks every answer.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ledger.database.bounds import LARGEST_JSON, LARGEST_STEP, LONGEST_ERROR
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.result import InvalidResultError, checked_metrics, to_result
from ledger.text import one_line, show
from ledger.worker import artifact_messages
from ledger.worker.artifact_messages import ArtifactMessage

# Largest number of bytes in an answer. JSON escapes control characters. Therefore each character of the error text
# needs at most 6 bytes in JSON. Without the metrics and the error text, an answer needs at most 10,000 bytes. An answer
# with the code of an objective contains no metrics. The code of an objective consists of source texts and a list of
# parts. The code has at most `LARGEST_JSON` bytes.
LARGEST_ANSWER = LARGEST_JSON + 6 * LONGEST_ERROR + 10_000


@dataclass(frozen=True)
class Report:
    """An intermediate value that the objective reported during the training.

    Attributes
    ----------
    step : int
        The number of the training step. The first step is 0.
    loss : float or None
        The loss at the step. The loss is None if the objective reported NaN or an infinity.
    metrics : mapping or None
        The metrics at the step, or None if the objective reported no metrics at the step.
    """

    step: int
    loss: float | None
    metrics: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt: a result, an early stop, an early end without a verdict, a failure, a crash, a timeout
    or a refusal.

    Attributes
    ----------
    kind : str
        "result", "pruned", "left", "failed", "crashed", "timeout" or "refused". The kind "pruned" means that the rule
        of early stopping has stopped the trial, and that the training has ended early. The kind "left" means that the
        objective has returned a result after the worker had asked it to end without a verdict. The kind "failed" means
        that the objective raised an exception or returned no finite loss. The kind "crashed" means that the trainer
        process ended or ran out of memory. The kind "timeout" means that the supervisor ended the attempt at the time
        limit. The kind "refused" means that this machine cannot load the objective.
    seconds : float
        Duration of the attempt in the trainer, in wall-clock seconds.
    loss : float or None
        The finite loss if `kind` is "result" or "left", or None if `kind` has another value.
    metrics : dict or None
        The metrics if `kind` is "result" or "left", or None if `kind` has another value.
    error : str or None
        The error text, or None if `kind` is "result", "left" or "pruned". In lists of trials and in log lines, only the
        last line of the error text appears.
    output : str
        The last part of the attempt's output. The output is the text that the attempt wrote to standard output and
        standard error. The supervisor sets the attribute `output`, because an answer does not contain the output.
    reports : sequence of Report
        The unread reports of the attempt, from the oldest to the newest.
    """

    kind: str
    seconds: float
    loss: float | None = None
    metrics: Mapping[str, Any] | None = None
    error: str | None = None
    output: str = ""
    reports: Sequence[Report] = ()


# An answer does not contain the attempt's output, because the supervisor reads the output from the trainer's streams.
# The trainer sends each report in a separate answer.
_FIELDS = {field.name for field in fields(AttemptOutcome)} - {"output", "reports"}
_LOADED_FIELDS = {"loaded", "code", "differing"}
_TRAINED = "trained"
_REPORT_FIELDS = {"step", "loss"}


def to_answer(job: int, outcome: AttemptOutcome) -> dict[str, Any]:
    """Return the answer that contains the outcome of a job. `parse_answer` parses the returned answer."""
    return {"job": job, **{name: getattr(outcome, name) for name in _FIELDS}}


@dataclass(frozen=True)
class LoadedCode:
    """A message from the trainer process to the supervisor. The message states that the trainer has loaded an
    objective, and contains the code of the objective.

    The trainer sends the `LoadedCode` message before the first call of the objective.

    Attributes
    ----------
    code : ObjectiveCode or None
        The code of the objective, or None for a built-in model.
    differing : str or None
        One line that describes how the code's values on this machine differ from the recorded values.
    """

    code: ObjectiveCode | None = None
    differing: str | None = None

    def to_answer(self, job: int) -> dict[str, Any]:
        """Return the answer that contains this message. `parse_answer` parses the returned answer."""
        code = None if self.code is None else self.code.to_json()
        return {"job": job, "loaded": True, "code": code, "differing": self.differing}


@dataclass(frozen=True)
class TrainedModel:
    """A message from the trainer process to the supervisor. The training has ended, and the trainer saves the model.

    If the trainer process ends before the model is saved, the result of the training is the outcome of the attempt.
    """

    outcome: AttemptOutcome

    def to_answer(self, job: int) -> dict[str, Any]:
        """Return the answer that contains this message. `parse_answer` parses the returned answer."""
        return {**to_answer(job, self.outcome), _TRAINED: True}


class MalformedAnswerError(Exception):
    """An exception that reports an invalid answer of the trainer process.

    The message is one line.
    """


@dataclass(frozen=True)
class TrainerAnswer:
    """A valid answer that the supervisor has received from the trainer process about one job.

    Attributes
    ----------
    job : int
        Number of the job.
    content : AttemptOutcome, LoadedCode, TrainedModel, Report or ArtifactMessage
        The content is the outcome of the job, the code of the loaded objective, the result of a training whose model is
        being saved, a report of the objective, or a message about an artifact or a checkpoint. The job has ended only
        if the content is an outcome.
    """

    job: int
    content: AttemptOutcome | LoadedCode | TrainedModel | Report | ArtifactMessage


def parse_answer(line: bytes, *, trains: bool) -> TrainerAnswer:
    """Parse one line from the pipe of answers.

    Parameters
    ----------
    line : bytes
        The line without its newline character.
    trains : bool
        Whether the job trains a trial. If the job only loads the objective, the job's result has no loss and no
        metrics.

    Raises
    ------
    MalformedAnswerError
        The line is not an answer, or a field of the answer has an invalid value.

    Examples
    --------
    >>> parse_answer(b'{"job": 3, "loaded": true, "code": null, "differing": null}', trains=True)
    TrainerAnswer(job=3, content=LoadedCode(code=None, differing=None))
    >>> parse_answer(b'{"job": 3, "loss": NaN}', trains=True)
    Traceback (most recent call last):
    ledger.worker.outcome.MalformedAnswerError: NaN is not a JSON number
    >>> parse_answer(b'{"job": 3, "step": 1, "loss": 0.5}', trains=True)
    TrainerAnswer(job=3, content=Report(step=1, loss=0.5, metrics=None))
    """
    try:
        content = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise MalformedAnswerError(f"the answer is not JSON: {one_line(f'{type(error).__name__}: {error}')}") from None
    if not isinstance(content, dict):
        raise MalformedAnswerError("the answer is not a JSON object")
    job = content.pop("job", None)
    if type(job) is not int:
        raise MalformedAnswerError("the number of the job is not an integer")
    if content.get("loaded") is True and set(content) == _LOADED_FIELDS:
        return TrainerAnswer(job, _loaded(content["code"], content["differing"]))
    if set(content) - {"metrics"} == _REPORT_FIELDS and trains:
        return TrainerAnswer(job, _report(content["step"], content["loss"], content.get("metrics")))
    if trains and content.keys() == {artifact_messages.KEY}:
        try:
            return TrainerAnswer(job, artifact_messages.parse(content[artifact_messages.KEY]))
        except ValueError as error:
            raise MalformedAnswerError(str(error)) from None
    if trains and content.get(_TRAINED) is True and set(content) == _FIELDS | {_TRAINED}:
        return TrainerAnswer(job, TrainedModel(_result(content)))
    if set(content) != _FIELDS:
        raise MalformedAnswerError(f"the answer has a wrong set of fields: {one_line(', '.join(content))}")
    return TrainerAnswer(job, _outcome(content, trains=trains))


def _loaded(code: object, differing: object) -> LoadedCode:
    if not isinstance(differing, str | None) or (differing is not None and len(differing) > LONGEST_ERROR):
        raise MalformedAnswerError(f'the field "differing" is not a text of at most {LONGEST_ERROR:,} characters')
    if code is None:
        return LoadedCode(None, differing)
    try:
        return LoadedCode(ObjectiveCode.from_json(code), differing)
    except ValueError as error:
        raise MalformedAnswerError(str(error)) from None


def _report(step: object, loss: object, metrics: object) -> Report:
    if type(step) is not int or not 0 <= step <= LARGEST_STEP:
        raise MalformedAnswerError(f"step {show(step)} is not an integer from 0 to {LARGEST_STEP}")
    try:
        known = None if metrics is None else checked_metrics(metrics)
    except InvalidResultError as refusal:
        raise MalformedAnswerError(str(refusal)) from None
    return Report(step, None if loss is None else _finite("loss", loss), known)


def _outcome(content: Mapping[str, Any], *, trains: bool) -> AttemptOutcome:
    kind, loss, metrics, error = content["kind"], content["loss"], content["metrics"], content["error"]
    seconds = _finite("seconds", content["seconds"])
    if kind in ("result", "left") and trains:
        return _result(content)
    if loss is not None or metrics is not None:
        raise MalformedAnswerError("the answer has a loss or metrics, but does not report the result of a trial")
    if error is None and (kind == "result" or (kind == "pruned" and trains)):
        return AttemptOutcome(kind, seconds)
    if kind not in ("failed", "crashed", "refused"):
        raise MalformedAnswerError(f"the answer has the unknown kind {one_line(repr(kind))}")
    if not isinstance(error, str) or len(error) > LONGEST_ERROR:
        raise MalformedAnswerError(f"the error in the answer is not a text of at most {LONGEST_ERROR:,} characters")
    return AttemptOutcome(kind, seconds, error=error)


def _result(content: Mapping[str, Any]) -> AttemptOutcome:
    """Return the result of a trial, of the kind "result" or "left"."""
    loss, metrics = _finite("loss", content["loss"]), content["metrics"]
    if (
        content["kind"] not in ("result", "left")
        or content["error"] is not None
        or not isinstance(metrics, dict)
        or not metrics.keys().isdisjoint(("loss", "value"))
    ):
        raise MalformedAnswerError("the answer reports a result, but contains an error or invalid metrics")
    try:
        metrics = to_result({**metrics, "loss": loss}).metrics
    except InvalidResultError as refusal:
        raise MalformedAnswerError(str(refusal)) from None
    return AttemptOutcome(content["kind"], _finite("seconds", content["seconds"]), loss, metrics)


def _finite(name: str, value: Any) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(number := float(value)):
            return number
    except OverflowError:  # The integer is outside the range of a float.
        pass
    raise MalformedAnswerError(f"{name} {show(value)} is not a finite number")


def _refuse_constant(name: str) -> None:
    raise MalformedAnswerError(f"{name} is not a JSON number")
