"""Functions that the callbacks of Keras and Lightning use for the checkpoints and the seeds of a training."""

import numbers
from typing import Any

from ledger.objectives import Context
from ledger.seeds import derive
from ledger.text import show


def checked_period(checkpoint_every: Any) -> int | None:
    """Return the number of epochs from one checkpoint to the next. None stands for a training without checkpoints.

    Raises
    ------
    ValueError
        The number is not an integer, or is less than 1.

    Examples
    --------
    >>> checked_period(5)
    5
    """
    if checkpoint_every is None:
        return None
    is_integer = isinstance(checkpoint_every, numbers.Integral) and not isinstance(checkpoint_every, bool)
    if not is_integer or checkpoint_every < 1:
        raise ValueError(
            f"checkpoint_every is {show(checkpoint_every)}: give at least 1 epoch, or None for no checkpoints"
        )
    return int(checkpoint_every)


def is_checkpoint_due(context: Context, epoch: int, period: int | None) -> bool:
    """Return whether a callback must keep a checkpoint after an epoch. The last epoch of each period needs a
    checkpoint. If the worker must stop, the epoch always needs a checkpoint.

    Parameters
    ----------
    context : Context
        The context of the trial.
    epoch : int
        The number of the epoch, counted from 0.
    period : int, optional
        The number that `checked_period` has returned.

    Examples
    --------
    >>> context = Context("s", 0, 1, 7, 42)
    >>> [epoch for epoch in range(7) if is_checkpoint_due(context, epoch, 3)]
    [2, 5]
    """
    return period is not None and ((epoch + 1) % period == 0 or context.should_leave())


def epoch_seed(context: Context, epoch: int) -> int:
    """Return the seed of an epoch, which depends only on the seed of the trial and on the number of the epoch.

    Therefore a training that continues from a checkpoint draws the same random numbers as a training without an
    interruption.

    Examples
    --------
    >>> epoch_seed(Context("s", 0, 1, 7, 42), 3) == epoch_seed(Context("s", 0, 2, 7, 42), 3)
    True
    """
    return derive(context.seed, "epoch", epoch)
