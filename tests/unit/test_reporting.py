"""Reports of an objective: the checks of their values, and their way to the supervisor."""

import decimal
import fractions
import json
import math
import os
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import ledger
from ledger.database import bounds
from ledger.objectives import ValueScale, reporting
from ledger.objectives.reporting import INSIDE, receive_reports
from ledger.objectives.result import InvalidResultError
from ledger.worker.channel import SupervisorChannel, TrainerChannel
from ledger.worker.outcome import MalformedAnswerError, Report, TrainerAnswer, parse_answer

CONTEXT = ledger.Context("s", 0, 1, 7, 42)


@pytest.fixture
def sent():
    """Yield the list of the steps and losses that the supervisor receives while the trial is in training.

    A report with metrics also has the metrics.
    """
    received: list[tuple[Any, ...]] = []

    def send(step, loss, metrics):
        received.append((step, loss) if metrics is None else (step, loss, metrics))

    with receive_reports(CONTEXT, ValueScale("maximize", 1.0), send):
        yield received


def test_a_report_is_sent_with_the_loss_of_its_value(sent):
    values: list[Any] = [0.75, 1, np.float32(0.5), np.int64(2), fractions.Fraction(1, 4)]
    for step, value in enumerate(values):
        CONTEXT.report(value, step)
    last: Any = np.int32(9)
    CONTEXT.report(0.0, last)
    assert sent == [(0, 0.25), (1, 0.0), (2, 0.5), (3, -1.0), (4, 0.75), (9, 1.0)]
    assert [type(value) for report in sent[:5] for value in report] == [int, float] * 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), 10**400])
def test_a_value_that_is_not_finite_is_a_missing_loss(sent, value):
    CONTEXT.report(value, 0)
    assert sent == [(0, None)]


@pytest.mark.parametrize(
    ("value", "step", "error", "message"),
    [
        ("0.5", 0, TypeError, 'the reported value is "0.5", which is not a number: report a real number'),
        (None, 0, TypeError, "the reported value is null"),
        (True, 0, TypeError, "the reported value is true"),
        (decimal.Decimal("0.5"), 0, TypeError, "which is not a number"),
        (np.array([0.5]), 0, TypeError, "which is not a number"),
        (0.5, 1.0, TypeError, "the step of the report is 1.0, which is not an integer: give an integer from 0"),
        (0.5, True, TypeError, "the step of the report is true"),
        (0.5, "3", TypeError, 'the step of the report is "3"'),
        (0.5, -1, ValueError, "the step of the report is -1: give an integer from 0 to 1000000000000000"),
        (0.5, bounds.LARGEST_STEP + 1, ValueError, "the step of the report is 1000000000000001"),
        pytest.param(0.5, 10**5000, ValueError, "the step of the report is a value of type int", id="too long to show"),
    ],
)
@pytest.mark.parametrize("in_trial", [True, False])
def test_a_wrong_report_raises_in_the_objective(request, value, step, error, message, in_trial):
    if in_trial:
        request.getfixturevalue("sent")
    with pytest.raises(error) as caught:
        CONTEXT.report(value, step)
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)


class Raising(dict[str, float]):
    """Metrics whose items cannot be read."""

    def __iter__(self):
        raise LookupError("no items")

    keys = items = __iter__


class Changing(dict[str, Any]):
    """Metrics that are numbers only when they are read the first time."""

    is_read = False

    def __getitem__(self, name):
        self.is_read, was_read = True, self.is_read
        return "text" if was_read else 0.5

    def __iter__(self):
        return iter(["a"])

    def items(self):
        return [(name, self[name]) for name in self]


def test_metrics_are_read_once(sent):
    CONTEXT.report(0.5, 0, Changing(a=None))
    assert sent == [(0, 0.5, {"a": 0.5})]


def test_metrics_are_sent_as_python_numbers(sent):
    metrics: dict[str, Any] = {"accuracy": np.float32(0.75), "rows": np.int64(40), "rate": fractions.Fraction(1, 4)}
    CONTEXT.report(0.5, 0, metrics)
    CONTEXT.report(0.5, 1, {})
    assert sent == [(0, 0.5, {"accuracy": 0.75, "rows": 40, "rate": 0.25}), (1, 0.5)]
    assert [type(value) for value in sent[0][2].values()] == [float, int, float]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([0.5], "the objective reported the metrics [0.5]; give a dict with numbers"),
        ({"a": "0.5"}, "the objective reported a metric 'a' that is not a number: '0.5'"),
        ({"a": True}, "the objective reported a metric 'a' that is not a number: True"),
        ({"a": math.nan}, "the objective reported a metric 'a' that is not a finite number: nan"),
        (
            {"a": np.float32("-inf")},
            "the objective reported a metric 'a' that is not a finite number: np.float32(-inf)",
        ),
        ({"a": 10**400}, "the objective reported a metric 'a' that is not valid JSON: "),
        ({3: 0.5}, "the objective reported a metric named 3; the name must be a string"),
        ({"a" * (bounds.LONGEST_NAME + 1): 0.5}, "that is not valid JSON"),
        ({"a\0": 0.5}, "that is not valid JSON"),
        ({"a\ud800": 0.5}, "a metric 'a\\ud800' that is not valid JSON: 0.5 (an unpaired UTF-16 surrogate is not"),
        ({"a": {"b": 0.5}}, "the objective reported a metric 'a' that is not a number: {'b': 0.5}"),
        ({"a": 10**5_000}, "the objective reported a metric 'a' that is not valid JSON: a value of type int ("),
        (Raising(a=0.5), "the objective reported the metrics {'a': 0.5}, and the check of these metrics raised "),
        (
            {f"{number:099d}": 0.5 for number in range(100)},
            "the objective reported metrics of more than 10,000 bytes as JSON (the metric '0",
        ),
    ],
)
@pytest.mark.parametrize("in_trial", [True, False])
def test_wrong_metrics_raise_in_the_objective(request, metrics, message, in_trial):
    if in_trial:
        request.getfixturevalue("sent")
    with pytest.raises(InvalidResultError) as caught:
        CONTEXT.report(0.5, 0, metrics)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_metrics_of_an_attempt_are_bounded(sent, monkeypatch):
    monkeypatch.setattr(reporting, "LARGEST_METRICS", 30)
    CONTEXT.report(0.5, 0, {"accuracy": 0.5})
    with pytest.raises(ValueError, match="reports metrics of more than 30 bytes: report fewer steps"):
        CONTEXT.report(0.5, 1, {"accuracy": 0.5})
    assert len(sent) == 1


def test_a_report_without_a_worker_is_only_checked():
    CONTEXT.report(0.5, 0)
    assert not CONTEXT.should_prune()
    assert pickle.loads(pickle.dumps(CONTEXT)) == CONTEXT


def test_a_report_of_another_trial_or_process_raises(monkeypatch):
    with receive_reports(CONTEXT, ValueScale(), lambda step, loss, metrics: None):
        with pytest.raises(RuntimeError, match="does not belong to the running trial"):
            ledger.Context("s", 1, 1, 7, 42).report(0.5, 0)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="call context.report in the process that calls the objective"):
            CONTEXT.report(0.5, 0)
    monkeypatch.setenv(INSIDE, "1")
    with pytest.raises(RuntimeError, match="before the objective returns"):
        CONTEXT.report(0.5, 0)


def test_the_number_of_reports_of_an_attempt_is_bounded(sent, monkeypatch):
    monkeypatch.setattr(reporting, "MOST_REPORTS", 3)
    for step in range(3):
        CONTEXT.report(0.5, step)
    with pytest.raises(ValueError, match="reports more than 3 values: report fewer steps, such as every tenth step"):
        CONTEXT.report(0.5, 3)
    assert len(sent) == 3


@pytest.fixture
def channels():
    """Yield both ends of a channel."""
    supervisor = SupervisorChannel()
    # the trainer's end closes its descriptors itself
    descriptors = [os.dup(descriptor) for descriptor in supervisor.trainer_descriptors]
    trainer = TrainerChannel(descriptors)
    ended = threading.Event()

    def wait_for_ever():  # the thread would end this process
        ended.set()
        threading.Event().wait()

    trainer.at_end = wait_for_ever
    yield supervisor, trainer
    supervisor.close_trainer_end()
    supervisor.close()
    assert ended.wait(60)
    for end in (trainer._socket, trainer._tokens):
        end.close()
    for descriptor in (descriptors[1], descriptors[3]):
        os.close(descriptor)


def lines_of(supervisor):
    lines, _ = supervisor.read()
    return [json.loads(line) for line in lines]


def test_a_report_never_waits_for_the_supervisor(channels):
    supervisor, trainer = channels
    count = 20_000
    for step in range(count):
        trainer.report({"job": 0, "step": step, "loss": 0.5})
    # the answer waits until the supervisor has read the reports
    answering = threading.Thread(target=trainer.answer, args=({"job": 0, "kind": "result"},), kwargs={"urgent": True})
    answering.start()
    received: list[dict[str, Any]] = []
    while len(received) <= count:
        received += lines_of(supervisor)
    answering.join()
    assert [each.get("step") for each in received] == [*range(count), None]


def test_several_threads_can_report(channels):
    supervisor, trainer = channels

    def report(first):
        for step in range(first, first + 1_000):
            trainer.report({"job": 0, "step": step, "loss": None})

    threads = [threading.Thread(target=report, args=(1_000 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    received: list[dict[str, Any]] = []
    while len(received) < 4_000:
        received += lines_of(supervisor)
    for thread in threads:
        thread.join()
    assert sorted(each["step"] for each in received) == list(range(4_000))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"job": 3, "step": -1, "loss": 0.5}, "step -1 is not an integer from 0 to 1000000000000000"),
        ({"job": 3, "step": 10**16, "loss": 0.5}, "is not an integer from 0 to"),
        ({"job": 3, "step": 1.0, "loss": 0.5}, "step 1.0 is not an integer"),
        ({"job": 3, "step": True, "loss": 0.5}, "step true is not an integer"),
        ({"job": 3, "step": None, "loss": 0.5}, "step null is not an integer"),
        ({"job": 3, "step": 1, "loss": "0.5"}, 'loss "0.5" is not a finite number'),
        ({"job": 3, "step": 1, "loss": 10**400}, "is not a finite number"),
        ({"job": 3, "step": 1}, "the answer has a wrong set of fields: step"),
        ({"job": 3, "step": 1, "loss": 1, "more": {}}, "the answer has a wrong set of fields: step, loss, more"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"a": "b"}}, "reported a metric 'a' that is not a number: 'b'"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": [1]}, "reported the metrics [1]"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"a": {"b": 1}}}, "a metric 'a' that is not a number: {'b': 1}"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"a": 10**400}}, "a number beyond the range of a double"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"\ud800": 1}}, "an unpaired UTF-16 surrogate is not allowed"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"\0": 1}}, "a NUL character is not allowed"),
        ({"job": 3, "step": 1, "loss": 1, "metrics": {"a" * 301: 1}}, "a text of 301 characters is too long"),
        ({"step": 1, "loss": 1}, "the number of the job is not an integer"),
    ],
)
def test_a_forged_report_is_malformed(answer, reason):
    with pytest.raises(MalformedAnswerError) as caught:
        parse_answer(json.dumps(answer).encode(), trains=True)
    assert reason in str(caught.value)


def test_a_report_belongs_to_a_job_that_trains():
    line = b'{"job": 3, "step": 1, "loss": null}'
    assert parse_answer(line, trains=True) == TrainerAnswer(3, Report(1, None))
    with pytest.raises(MalformedAnswerError, match="the answer has a wrong set of fields: step, loss"):
        parse_answer(line, trains=False)
    line = b'{"job": 3, "step": 1, "loss": null, "metrics": {"rate": 0.5}}'
    assert parse_answer(line, trains=True) == TrainerAnswer(3, Report(1, None, {"rate": 0.5}))
