"""An objective that trains a network with Keras.

Tests call the objective, and copy this file as a module of a study.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import ledger
from ledger.integrations.keras import ReportCallback

EPOCHS = 8


class AtEpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that calls a function with the number of each epoch, after the other callbacks."""

    def __init__(self, call: Callable[[int], None]) -> None:
        super().__init__()
        self._call = call

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._call(epoch)


def train(
    context: ledger.Context,
    *,
    rate: float = 0.01,
    noise: float = 0.0,
    metric: str = "val_loss",
    checkpoint_every: int | None = None,
    validation_every: int | None = 1,
    at_epoch_end: Callable[[int], None] = lambda epoch: None,
) -> tuple[list[float], list[Any]]:
    """Train a network with random batches and dropout. Returns the curve of the metric, and the weights."""
    keras.utils.set_random_seed(context.seed)
    generator = np.random.default_rng(context.study_seed)
    X = generator.normal(size=(96, 5))
    y = X @ np.arange(5.0) + noise * generator.normal(size=96)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"])
    report = ReportCallback(context, metric, checkpoint_every=checkpoint_every)
    history = model.fit(
        *(X[:64], y[:64]),
        batch_size=8,
        epochs=EPOCHS,
        initial_epoch=report.restore(model),
        validation_data=(X[64:], y[64:]) if validation_every else None,
        validation_freq=validation_every or 1,
        callbacks=[report, AtEpochEnd(at_epoch_end)],
        verbose=0,
    )
    return history.history[metric], model.get_weights()


def network(params: dict[str, Any], context: ledger.Context) -> float:
    """Return the loss of a training whose first attempt is killed in two trials of the study `own`."""

    def at_epoch_end(epoch: int) -> None:
        if (context.study, context.attempt, epoch) == ("own", 1, 4) and context.trial in (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)

    # noise that no surrogate can learn, so that some trials are bad
    noise = 3.0 * (context.seed % 5)
    curve, _ = train(context, rate=params["rate"], noise=noise, checkpoint_every=2, at_epoch_end=at_epoch_end)
    return curve[-1]
