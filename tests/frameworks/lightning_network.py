"""An objective that trains a network with Lightning.

Tests call the objective, and copy this file as a module of a study.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

import ledger
from ledger.integrations.lightning import ReportCallback

EPOCHS = 8


class AtEpochEnd(pl.Callback):  # type: ignore[misc]
    """A callback that calls a function with the number of each epoch, after the other callbacks."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self._call = call

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._call(trainer.current_epoch)


class Network(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
        )

    def training_step(self, batch: Any) -> Any:
        return self.logged("loss", batch)

    def validation_step(self, batch: Any) -> None:
        self.logged("val_loss", batch)

    def logged(self, name: str, batch: Any) -> Any:
        X, y = batch
        loss = torch.nn.functional.mse_loss(self.layers(X).squeeze(1), y)
        self.log(name, loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), self.rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 3)]


def train(
    context: ledger.Context,
    *,
    rate: float = 0.01,
    noise: float = 0.0,
    metric: str = "val_loss",
    checkpoint_every: int | None = None,
    validation_every: int | None = 1,
    at_epoch_end: Callable[[int], None] = lambda epoch: None,
    loader_workers: int = 0,
) -> tuple[list[float], list[Any]]:
    """Train a network with random batches and dropout. Returns the curve of the metric, and the weights."""
    pl.seed_everything(context.seed, verbose=False)
    generator = torch.Generator().manual_seed(context.study_seed)
    X = torch.randn((96, 5), generator=generator)
    y = X @ torch.arange(5.0) + noise * torch.randn(96, generator=generator)
    rows = [TensorDataset(X[:64], y[:64]), TensorDataset(X[64:], y[64:])]
    batches = DataLoader(rows[0], batch_size=8, shuffle=True, num_workers=loader_workers)
    model, curve = Network(rate), []

    def note(epoch: int) -> None:
        curve.append(float(trainer.callback_metrics.get(metric, "nan")))
        at_epoch_end(epoch)

    report = ReportCallback(context, metric, checkpoint_every=checkpoint_every)
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[report, AtEpochEnd(note)],
        check_val_every_n_epoch=validation_every or 1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=False,
        max_epochs=EPOCHS,
    )
    valid = DataLoader(rows[1], batch_size=32) if validation_every else None
    trainer.fit(model, batches, valid, ckpt_path=report.restore())
    return curve, [value.numpy() for value in model.state_dict().values()]


def network(params: dict[str, Any], context: ledger.Context) -> float:
    """Return the loss of a training whose first attempt is killed in two trials of the study `own`."""

    def at_epoch_end(epoch: int) -> None:
        if (context.study, context.attempt, epoch) == ("own", 1, 4) and context.trial in (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)

    # noise that no surrogate can learn, so that some trials are bad
    noise = 3.0 * (context.seed % 5)
    curve, _ = train(context, rate=params["rate"], noise=noise, checkpoint_every=2, at_epoch_end=at_epoch_end)
    return curve[-1]
