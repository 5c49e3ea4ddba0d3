"""A sparkline of the best loss so far: one character a cell, the higher the loss the higher the bar."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"
# Where the highest is so many times the lowest, each above 0, the bars are of the logarithm.
_LOGARITHMIC = 10.0


def sparkline(improvements: Sequence[tuple[int, float]], last: int, width: int, *, ascii_only: bool = False) -> str:
    """Return the convergence from trial 0 to trial `last`.

    Parameters
    ----------
    improvements : sequence of (int, float)
        Trials by number, each with a loss below all before it.
    last : int
        Number of the last complete trial.
    width : int
        The most cells; there are no more than trials.

    Returns
    -------
    str
        Each cell shows the best loss at the last of its trials; a space where none was complete yet.
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
    """Return each loss between 0, the lowest, and 1."""
    lowest, highest = min(losses), max(losses)
    if lowest == highest:
        return [0.0] * len(losses)
    if lowest > 0 and highest / lowest >= _LOGARITHMIC:
        losses = [math.log(loss) for loss in losses]
        lowest, highest = min(losses), max(losses)
    # halved, since a range of two floats may overflow
    return [(loss / 2 - lowest / 2) / (highest / 2 - lowest / 2) for loss in losses]
