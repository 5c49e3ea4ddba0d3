"""A callback that reports a metric of a Lightning training to the ledger after each epoch, and keeps checkpoints."""

import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ledger.errors import TrialPruned
from ledger.integrations.epochs import checked_period, epoch_seed, is_checkpoint_due
from ledger.integrations.metric import value_of
from ledger.objectives import Context

try:
    import lightning.pytorch as pl
except ModuleNotFoundError as error:
    # Lightning may be installed without a package that Lightning needs.
    if error.name != "lightning":
        raise
    raise ModuleNotFoundError(
        "ledger.integrations.lightning needs Lightning, which is not installed: pip install lightning",
        name="lightning",
    ) from None
import torch

# The file of a checkpoint.
_FILE = "trainer.ckpt"


class ReportCallback(pl.Callback):  # type: ignore[misc]
    """A Lightning callback that reports a metric to the ledger after each epoch, and can keep checkpoints.

    If `context.should_prune` returns True, the callback raises `ledger.TrialPruned`. The step of a report is the number
    of the epoch, counted from 0. If only some epochs have a validation (``check_val_every_n_epoch``), the callback
    reports nothing after the other epochs. Before the training, Lightning runs a short validation to check the code.
    The callback does not report this validation.

    The training must run in the process of the objective, on one device.

    Parameters
    ----------
    context : Context
        The context of the trial.
    metric : str
        The name of a metric that the module logs in `training_step` or in `validation_step`, such as ``"val_loss"``.
        The callback reports the metric's value at the end of the epoch. Therefore a metric of `training_step` needs
        ``on_epoch=True``. The ledger records the value of the metric unchanged. If a low value of the metric is better,
        the study must minimise the metric. If a high value of the metric is better, the study must maximise the metric.
    checkpoint_every : int, optional
        The number of epochs from one checkpoint to the next. The callback also keeps a checkpoint after an epoch in
        which the worker has received a request to stop. The method `Trainer.save_checkpoint` writes the checkpoint,
        which contains the states of the module, the optimizers, the schedulers and the other callbacks. The callback
        keeps no checkpoint after the last epoch. Before each epoch, the callback sets the seeds of Python, NumPy and
        PyTorch. The seed of an epoch depends on the seed of the trial and on the number of the epoch. Use the method
        `restore` to continue from a checkpoint. By default, the callback keeps no checkpoints.

    Raises
    ------
    ValueError
        `checkpoint_every` is not an integer, or is less than 1.

    Examples
    --------
    >>> import ledger
    >>> import lightning.pytorch as pl
    >>> import torch
    >>> from ledger.integrations.lightning import ReportCallback
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> class Line(pl.LightningModule):
    ...     def __init__(self, rate):
    ...         super().__init__()
    ...         self.layer, self.rate = torch.nn.Linear(1, 1), rate
    ...     def training_step(self, batch):
    ...         x, y = batch
    ...         loss = torch.nn.functional.mse_loss(self.layer(x), y)
    ...         self.log("loss", loss, on_step=False, on_epoch=True)
    ...         return loss
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), self.rate)
    >>> def loss(params, context):
    ...     pl.seed_everything(context.seed, verbose=False)
    ...     x = torch.linspace(0, 1, 64).reshape(-1, 1)
    ...     data = DataLoader(TensorDataset(x, 2 * x), batch_size=8, shuffle=True)
    ...     report = ReportCallback(context, "loss", checkpoint_every=2)
    ...     trainer = pl.Trainer(
    ...         max_epochs=3,
    ...         callbacks=[report],
    ...         accelerator="cpu",
    ...         logger=False,
    ...         enable_checkpointing=False,
    ...         enable_progress_bar=False,
    ...         enable_model_summary=False,
    ...     )
    ...     trainer.fit(Line(params["rate"]), data, ckpt_path=report.restore())
    ...     return float(trainer.callback_metrics["loss"])
    >>> loss({"rate": 0.1}, ledger.Context("s", 0, 1, 7, 42)) < 9
    True
    """

    def __init__(self, context: Context, metric: str, *, checkpoint_every: int | None = None) -> None:
        super().__init__()
        self._context, self._metric = context, metric
        self._period = checked_period(checkpoint_every)
        self._first_epoch = 0
        self._has_validated = self._has_metric = False
        self._handler: Any = None

    def restore(self) -> Path | None:
        """Return the path of the last checkpoint of the trial, for the argument ``ckpt_path`` of ``Trainer.fit``.

        Returns
        -------
        Path or None
            None if the trial has no readable checkpoint. For example, the first attempt of a trial has no checkpoint.

        Raises
        ------
        LedgerError
            The disk of the worker is full.
        """
        last = self._context.restore()
        if last is None:
            return None
        self._first_epoch = last.step + 1
        # An earlier attempt of the trial has already checked the name of the metric.
        self._has_metric = True
        return last.folder / _FILE

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Refuse a training on several devices. Lightning calls this method.

        Raises
        ------
        ValueError
            The training runs on several devices.
        """
        # Only the process of the objective can report values. With several devices, the process would report the same
        # step several times.
        if trainer.world_size > 1:
            raise ValueError(
                f"the training runs on {trainer.world_size} devices, but only the process of the objective can report:"
                " use lightning.pytorch.Trainer(devices=1, num_nodes=1)"
            )
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Set the seed of the first epoch if the callback keeps checkpoints. Lightning calls this method."""
        self._set_seed(self._first_epoch)

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Restore the signal handler of the worker. Lightning calls this method."""
        self._restore_handler()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Restore the signal handler of the worker. Lightning calls this method."""
        self._restore_handler()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Record that the new epoch has no validation yet. Lightning calls this method."""
        self._has_validated = False

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Record that the current epoch has a validation. Lightning calls this method."""
        self._has_validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Report the value of the metric after an epoch, and keep a checkpoint. Lightning calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        LedgerError
            The callback cannot keep the checkpoint. The docstring of `Context.checkpoint` lists the causes.
        TrialPruned
            The rule of early stopping has stopped the trial.
        """
        epoch = trainer.current_epoch
        # After an epoch without validation, Lightning still has the metrics of the last validation.
        if self._has_validated or not trainer.enable_validation:
            self._context.report(float(value_of(self._metric, trainer.callback_metrics, "call of self.log")), epoch)
            self._has_metric = True
        is_last = trainer.should_stop or trainer.max_epochs == epoch + 1 or trainer.max_steps == trainer.global_step
        if not is_last and is_checkpoint_due(self._context, epoch, self._period):
            with self._context.checkpoint(epoch) as folder:
                trainer.save_checkpoint(folder / _FILE)
        if self._context.should_prune():
            raise TrialPruned
        self._set_seed(epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Raise a ValueError if the metric is a metric of the validation, but the training had no validation. Lightning
        calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        """
        if not self._has_metric:
            value_of(self._metric, trainer.callback_metrics, "call of self.log")

    def _restore_handler(self) -> None:
        # A service manager may send SIGTERM to all processes of a worker. The handler of Lightning would then raise an
        # exception, and the trial would fail. Only the worker may end the trainer process.
        if callable(self._handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)

    def _set_seed(self, epoch: int) -> None:
        """Set the seeds before Lightning draws the order of the rows for an epoch."""
        if self._period is not None:
            seed = epoch_seed(self._context, epoch)
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
