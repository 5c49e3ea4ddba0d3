"""A callback that reports a metric of a Keras training to the ledger after each epoch, and keeps checkpoints."""

import json
from collections.abc import Mapping
from typing import Any

from ledger.errors import TrialPruned
from ledger.integrations.epochs import checked_period, epoch_seed, is_checkpoint_due
from ledger.integrations.metric import value_of
from ledger.objectives import Context

try:
    import keras
except ModuleNotFoundError as error:
    # Keras may be installed without the package of its backend.
    if error.name != "keras":
        raise
    raise ModuleNotFoundError(
        "ledger.integrations.keras needs Keras, which is not installed: pip install keras", name="keras"
    ) from None

# The two files of a checkpoint. The first file contains the weights and the state of the optimizer. The second file
# contains the states of the layers' random generators, because Keras does not save these states with the weights.
_WEIGHTS = "model.weights.h5"
_GENERATORS = "generators.json"


class ReportCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """A Keras callback that reports a metric to the ledger after each epoch, and can keep checkpoints.

    If `context.should_prune` returns True, the callback raises `ledger.TrialPruned`. The step of a report is the number
    of the epoch, counted from 0.

    Parameters
    ----------
    context : Context
        The context of the trial.
    metric : str
        The name of the metric in the logs of Keras, such as ``"val_loss"`` or ``"accuracy"``. The ledger records the
        value of the metric unchanged. If a low value of the metric is better, the study must minimise the metric. If a
        high value of the metric is better, the study must maximise the metric. In an epoch without validation
        (``validation_freq``), a metric of the validation has no value, and the callback reports nothing.
    checkpoint_every : int, optional
        The number of epochs from one checkpoint to the next. The callback also keeps a checkpoint after an epoch in
        which the worker has received a request to stop. The checkpoint contains the weights, the state of the optimizer
        and the states of the random generators of the layers. The callback keeps no checkpoint after the last epoch.
        Before each epoch, the callback sets the seed of Keras (`keras.utils.set_random_seed`). The seed of an epoch
        depends on the seed of the trial and on the number of the epoch. Use the method `restore` to continue from a
        checkpoint. By default, the callback keeps no checkpoints.

    Raises
    ------
    ValueError
        `checkpoint_every` is not an integer, or is less than 1.

    Examples
    --------
    >>> import keras
    >>> import ledger
    >>> from ledger.integrations.keras import ReportCallback
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> def loss(params, context):
    ...     keras.utils.set_random_seed(context.seed)
    ...     split = train_test_split(*load_iris(return_X_y=True), random_state=context.study_seed)
    ...     X_train, X_test, y_train, y_test = split
    ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    ...     model.compile(keras.optimizers.Adam(params["rate"]), "sparse_categorical_crossentropy")
    ...     report = ReportCallback(context, "val_loss", checkpoint_every=2)
    ...     history = model.fit(
    ...         *(X_train, y_train),
    ...         validation_data=(X_test, y_test),
    ...         initial_epoch=report.restore(model),
    ...         epochs=3,
    ...         verbose=0,
    ...         callbacks=[report],
    ...     )
    ...     return history.history["val_loss"][-1]
    >>> loss({"rate": 0.01}, ledger.Context("s", 0, 1, 7, 42)) < 9
    True
    """

    def __init__(self, context: Context, metric: str, *, checkpoint_every: int | None = None) -> None:
        super().__init__()
        self._context, self._metric = context, metric
        self._period = checked_period(checkpoint_every)
        self._has_validated = self._has_metric = False

    def restore(self, model: Any) -> int:
        """Load the last checkpoint of the trial into a model, and return the number of the next epoch.

        Pass the number to the argument ``initial_epoch`` of ``fit``. If the trial has no readable checkpoint, the
        number is 0. For example, the first attempt of a trial has no checkpoint.

        Parameters
        ----------
        model : keras.Model
            A compiled model whose layers have their weights. A model has its weights if the model begins with
            `keras.Input`, or if its method `build` was called.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            The model is not compiled, or has no weights yet.
        LedgerError
            The disk of the worker is full.
        """
        # The method checks the model even if the trial has no checkpoint. Therefore an unsuitable model fails in the
        # first attempt of a trial.
        if not model.compiled:
            raise ValueError("restore: the model is not compiled: call model.compile before restore")
        if not model.built:
            raise ValueError(
                "restore: the model has no weights yet: begin the model with keras.Input, or call model.build before"
                " restore"
            )
        last = self._context.restore()
        if last is None:
            return 0
        # The variables of the optimizer must exist before Keras loads them.
        model.optimizer.build(model.trainable_variables)
        model.load_weights(last.folder / _WEIGHTS)
        states = json.loads((last.folder / _GENERATORS).read_text())
        for variable, state in zip(_generators(model), states, strict=True):
            variable.assign(state)
        # An earlier attempt of the trial has already checked the name of the metric.
        self._has_metric = True
        return last.step + 1

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Set the seed of the epoch if the callback keeps checkpoints. Keras calls this method."""
        self._has_validated = False
        if self._period is not None:
            keras.utils.set_random_seed(epoch_seed(self._context, epoch))

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Record that the current epoch has a validation. Keras calls this method."""
        self._has_validated = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the value of the metric after an epoch, and keep a checkpoint. Keras calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        LedgerError
            The callback cannot keep the checkpoint. The docstring of `Context.checkpoint` lists the causes.
        TrialPruned
            The rule of early stopping has stopped the trial.
        """
        found = logs or {}
        if self._metric in found or self._has_validated or not self._metric.startswith("val_"):
            self._context.report(value_of(self._metric, found, "metric in its logs"), epoch)
            self._has_metric = True
        is_last = epoch + 1 >= self.params["epochs"] or self.model.stop_training
        if not is_last and is_checkpoint_due(self._context, epoch, self._period):
            with self._context.checkpoint(epoch) as folder:
                self.model.save_weights(folder / _WEIGHTS)
                states = [keras.ops.convert_to_numpy(variable).tolist() for variable in _generators(self.model)]
                (folder / _GENERATORS).write_text(json.dumps(states))
        if self._context.should_prune():
            raise TrialPruned

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Raise a ValueError if the metric is a metric of the validation, but the training had no validation. Keras
        calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        """
        if not self._has_metric:
            value_of(self._metric, logs or {}, "metric in its logs")


def _generators(model: Any) -> list[Any]:
    """Return the model's variables for random generators. For example, each dropout layer has such a variable."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]
