"""Functions that compute the mean of losses, and that scale losses for a surrogate."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_loss(losses: Sequence[float]) -> float:
    """Return the mean of losses.

    Even if the sum of the losses is larger than the largest float, the function returns the correct mean.

    Parameters
    ----------
    losses : sequence of float
        The losses. The sequence must contain at least one loss.

    Returns
    -------
    float

    Examples
    --------
    >>> mean_loss([0.25, 0.75]), mean_loss([1.5e308, 1.5e308])
    (0.5, 1.5e+308)
    """
    return math.fsum(loss / len(losses) for loss in losses)


def scaled_losses(losses: Array) -> Array:
    """Scale losses to [0, 1].

    The scaled loss is 0 for the best loss, 1 for the worst loss, and 1 for a failed trial.

    The optimizer receives scaled losses. Therefore the value of the option `xi` is a share of the range of the losses.
    The square of a scaled loss is always finite.

    Parameters
    ----------
    losses : array of float
        The losses of the trials. The loss of a failed trial is NaN. At least one loss must be a number.

    Returns
    -------
    array of float
        The scaled losses, in [0, 1]. If all losses are equal, all scaled losses are 0.

    Examples
    --------
    >>> scaled_losses(np.array([0.5, np.nan, 0.25, 0.75]))
    array([0.5, 1. , 0. , 1. ])
    """
    # The function halves the losses before the subtraction, because the difference of two losses may be too large for a
    # float.
    halves = losses / 2
    best, worst = float(np.nanmin(halves)), float(np.nanmax(halves))
    return (np.where(np.isnan(halves), worst, halves) - best) / ((worst - best) or 1.0)
