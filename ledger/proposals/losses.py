"""The mean of a study's losses, and the scaling of losses for a surrogate."""

import math
from collections.abc import Sequence


def mean_loss(losses: Sequence[float]) -> float:
    """Return the mean of losses, even if the sum of the losses is larger than the largest float.

    Parameters
    ----------
    losses : sequence of float
        At least one loss.

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
    """Scale losses to [0, 1], with 0 for the best loss, and 1 for the worst loss and for failed trials.

    If the optimizer receives scaled losses, the optimizer's option `xi` is a share of the range of the unscaled losses.
    The square of a scaled loss is always finite.

    Parameters
    ----------
    losses : sequence of float or None
        The losses, of which at least one is a number. None means a failed trial.

    Returns
    -------
    list of float
        The scaled losses, in [0, 1]. If all losses are equal, all scaled losses are 0.

    Examples
    --------
    >>> scaled_losses([0.5, None, 0.25, 0.75])
    [0.5, 1.0, 0.0, 1.0]
    """
    # The code halves each loss, because the difference of two losses may be too large for a float.
    halves = [loss / 2 for loss in losses if loss is not None]
    best, worst = min(halves), max(halves)
    span = (worst - best) or 1.0
    return [((worst if loss is None else loss / 2) - best) / span for loss in losses]
