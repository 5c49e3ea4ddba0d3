"""The callbacks for Keras and Lightning, with real trainings in this process."""

import doctest
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import ledger
from ledger.integrations.keras import ReportCallback as KerasCallback
from ledger.integrations.lightning import ReportCallback as LightningCallback
from tests import examples
from tests.frameworks import keras_network, lightning_network
from tests.frameworks.keras_network import EPOCHS

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class RecordingContext(ledger.Context):
    """A context that records the reports, and keeps the checkpoints in a folder."""

    folder: Path
    reports: dict[int, float] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    prunes_after: int = EPOCHS
    leaves: bool = False

    def report(self, value: float, step: int, metrics: Mapping[str, float] | None = None) -> None:
        assert step not in self.reports
        super().report(value, step, metrics)
        self.reports[step] = value
        self.calls.append(f"report {step}")

    def should_prune(self) -> bool:
        self.calls.append("ask")
        return len(self.reports) > self.prunes_after

    def should_leave(self) -> bool:
        return self.leaves

    @contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        self.calls.append(f"checkpoint {step}")
        folder = self.folder / str(step)
        folder.mkdir(parents=True)
        yield folder

    def restore(self) -> ledger.Checkpoint | None:
        step = max(self.kept, default=None)
        return None if step is None else ledger.Checkpoint(step, self.folder / str(step))

    @property
    def kept(self) -> list[int]:
        return sorted(int(folder.name) for folder in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture(params=[keras_network, lightning_network], ids=["keras", "lightning"])
def train(request: pytest.FixtureRequest) -> Any:
    return request.param.train


@pytest.fixture
def begin(tmp_path: Path) -> Any:
    """Return a function that begins an attempt of a trial, whose checkpoints are in a folder with this name."""

    def begin(trial: str = "trial", **facts: Any) -> RecordingContext:
        return RecordingContext("s", 0, 1, 7, 42, tmp_path / trial, **facts)

    return begin


def test_each_epoch_reports_its_metric(train, begin):
    context = begin()
    curve, _ = train(context)
    assert len(curve) == EPOCHS
    assert context.reports == dict(enumerate(curve))
    assert context.kept == []


def test_an_epoch_without_validation_reports_nothing(train, begin):
    context = begin()
    train(context, validation_every=3)
    assert list(context.reports) == [2, 5]


def test_a_metric_of_the_training_needs_no_validation(train, begin):
    context = begin()
    curve, _ = train(context, metric="loss", validation_every=None)
    assert context.reports == dict(enumerate(curve))


def test_an_unknown_metric_is_refused_with_the_known_names(train, begin):
    with pytest.raises(ValueError, match=r"no metric 'accuracy': .* \(loss, .*val_loss.*\)"):
        train(begin(), metric="accuracy")
    with pytest.raises(ValueError, match=r"no metric 'val_los': .* \(loss, .*val_loss.*\)"):
        train(begin(), metric="val_los")


def test_a_metric_of_a_missing_validation_is_refused(train, begin):
    context = begin()
    with pytest.raises(ValueError, match=r"no metric 'val_loss': .* \(loss.*\)"):
        train(context, validation_every=None)
    assert context.reports == {}


def test_a_stopped_training_ends_after_its_report_and_checkpoint(train, begin):
    context = begin(prunes_after=1)
    with pytest.raises(ledger.TrialPruned):
        train(context, checkpoint_every=1)
    assert context.calls == ["report 0", "checkpoint 0", "ask", "report 1", "checkpoint 1", "ask"]


@pytest.mark.parametrize(("period", "kept"), [(1, [*range(EPOCHS - 1)]), (3, [2, 5]), (4, [3]), (EPOCHS, [])])
def test_a_training_keeps_no_checkpoint_after_its_last_epoch(train, begin, period, kept):
    context = begin()
    train(context, checkpoint_every=period)
    assert context.kept == kept


def test_a_training_that_must_leave_keeps_a_checkpoint_after_the_epoch(train, begin):
    context = begin(leaves=True)
    train(context, checkpoint_every=EPOCHS)
    assert context.kept == [*range(EPOCHS - 1)]
    without = begin("without", leaves=True)
    train(without)
    assert without.kept == []


def fails(epoch: int) -> None:
    if epoch == 4:
        raise RuntimeError("the machine fails")


@pytest.mark.parametrize(
    ("train", "options"),
    [(keras_network.train, {}), (lightning_network.train, {}), (lightning_network.train, {"loader_workers": 1})],
    ids=["keras", "lightning", "lightning with a process that loads data"],
)
def test_a_continued_training_ends_as_the_undisturbed_one(train, options, begin):
    calm = begin("calm")
    curve, weights = train(calm, checkpoint_every=2, **options)
    with pytest.raises(RuntimeError, match="the machine fails"):
        train(begin(), checkpoint_every=2, at_epoch_end=fails, **options)
    context = begin()
    assert context.kept == [1, 3]
    continued, same = train(context, checkpoint_every=2, **options)
    assert continued == curve[4:]
    assert context.reports == {epoch: calm.reports[epoch] for epoch in range(4, EPOCHS)}
    assert all(np.array_equal(*pair) for pair in zip(weights, same, strict=True))


def test_a_training_continues_after_an_epoch_without_validation(train, begin):
    calm, context = begin("calm"), begin()
    train(calm, checkpoint_every=4, validation_every=7)
    with pytest.raises(RuntimeError, match="the machine fails"):
        train(begin(), checkpoint_every=4, validation_every=7, at_epoch_end=fails)
    train(context, checkpoint_every=4, validation_every=7)
    assert context.reports == calm.reports
    assert list(context.reports) == [6]


@pytest.mark.parametrize("callback", [KerasCallback, LightningCallback])
@pytest.mark.parametrize("period", [0, -1, 1.5, True, "2"])
def test_a_wrong_period_of_checkpoints_is_refused(callback, period, begin):
    with pytest.raises(ValueError, match=r"^checkpoint_every is .*: give at least 1 epoch, or None"):
        callback(begin(), "val_loss", checkpoint_every=period)


def test_a_model_that_cannot_load_a_checkpoint_is_refused_at_once(begin):
    report = KerasCallback(begin(), "val_loss", checkpoint_every=1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="^restore: the model is not compiled: call model.compile before restore$"):
        report.restore(model)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"^restore: the model has no weights yet: begin the model with keras.Input"):
        report.restore(model)


def test_a_signal_that_the_worker_handles_does_not_end_the_training(train, begin):
    context, received = begin(), []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        train(context, at_epoch_end=lambda epoch: os.kill(os.getpid(), signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(context.reports) == len(received) == EPOCHS


def test_a_training_on_several_devices_is_refused(begin):
    with pytest.raises(ValueError, match="^the training runs on 2 devices, but only .*devices=1"):
        LightningCallback(begin(), "val_loss").setup(SimpleNamespace(world_size=2), None, "fit")


@pytest.mark.parametrize("test", examples.collect_of(*examples.FRAMEWORKS), ids=lambda test: test.name)
def test_example_in_docstring(test: doctest.DocTest) -> None:
    examples.run(test)
