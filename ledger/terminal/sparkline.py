"""A sparkline of the best loss so far. Each cell is one character with a bar, and a higher bar means a higher loss."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"
# The scale of the bars is logarithmic if all losses are positive and the highest loss is at least `_LOGARITHMIC` times
# the lowest loss.
_LOGARITHMIC = 10.0


def sparkline(improvements: Sequence[tuple[int, float]], last: int, width: int, *, ascii_only: bool = False) -> str:
    """Return a sparkline of the best loss so far, from trial 0 to trial `last`.

    Parameters
    ----------
    improvements : sequence of (int, float)
        Pairs of a trial's number and the trial's loss, in the order of the numbers. Each loss is below all earlier
        losses.
    last : int
        Number of the last complete trial.
    width : int
        Largest number of cells. A cell stands for one or more trials.
    ascii_only : bool
        Whether to use only ASCII characters.

    Returns
    -------
    str
        The sparkline. Each cell shows the best loss up to the last trial of the cell. A cell before the first complete
        trial is a space character.

    Examples
    --------
    >>> sparkline([(0, 3.0), (2, 2.0), (3, 1.0)], last=3, width=10)
    '██▅▁'
    """
    if not improvements or width < 1:
        return ""
    cells = min(width, last + 1)
    ends = [(cell + 1) * (last + 1) // cells - 1 for cell in range(cells)]
    losses: list[float | None] = []
    index, best = 0, None
    for end in ends:
        while index < len(improvements) and improvements[index][0] <= end:
            best = improvements[index][1]
            index += 1
        losses.append(best)
    bars = ASCII_BARS if ascii_only else BARS
    heights = _heights([loss for loss in losses if loss is not None])
    empty = len(losses) - len(heights)
    return " " * empty + "".join(bars[round(height * (len(bars) - 1))] for height in heights)


def _heights(losses: Sequence[float]) -> list[float]:
    """Return the height of the bar for each loss, from 0 to 1. The lowest loss has the height 0."""
    lowest, highest = min(losses), max(losses)
    if lowest == highest:
        return [0.0] * len(losses)
    if lowest > 0 and highest / lowest >= _LOGARITHMIC:
        losses = [math.log(loss) for loss in losses]
        lowest, highest = min(losses), max(losses)
    # The function halves all losses, because the difference of two large losses could exceed the largest float.
    return [(loss / 2 - lowest / 2) / (highest / 2 - lowest / 2) for loss in losses]
