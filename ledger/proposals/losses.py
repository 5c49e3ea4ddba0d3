"""Losses of a study: their mean, and their scale for a surrogate."""

import math
from collections.abc import Sequence


def mean_loss(losses: Sequence[float]) -> float:
    """Return the mean of losses, also where their sum is larger than any float.

    Parameters
    ----------
    losses : sequence of float
        At least one.

    Returns
    -------
    float

    Examples
    --------
    >>> mean_loss([0.25, 0.75]), mean_loss([1.5e308, 1.5e308])
    (0.5, 1.5e+308)
    """
    return math.fsum(loss / len(losses) for loss in losses)


def scaled_losses(losses: Sequence[float | None]) -> list[float]:
    """Return losses on a scale from 0, the best one, to 1, the worst one and that of failed trials.

    So `xi` counts in the range of the losses, and no square of a loss is larger than any float.

    Parameters
    ----------
    losses : sequence of float or None
        None for a failed trial; at least one is a number.

    Returns
    -------
    list of float
        In [0, 1]; all 0 where the losses are equal.

    Examples
    --------
    >>> scaled_losses([0.5, None, 0.25, 0.75])
    [0.5, 1.0, 0.0, 1.0]
    """
    # halves, because the difference of two floats may be too large for a float
    halves = [loss / 2 for loss in losses if loss is not None]
    best, worst = min(halves), max(halves)
    span = (worst - best) or 1.0
    return [((worst if loss is None else loss / 2) - best) / span for loss in losses]
