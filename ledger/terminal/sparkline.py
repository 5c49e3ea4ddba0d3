"""A sparkline of the best value so far. Each cell is one character, and a higher bar means a higher value."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"
# The scale of the bars is logarithmic if all values are positive and the highest value is at least `_LOGARITHMIC`
# times the lowest value.
_LOGARITHMIC = 10.0


def sparkline(improvements: Sequence[tuple[int, float]], last: int, width: int, *, ascii_only: bool = False) -> str:
    """Return a sparkline of the best value so far, from trial 0 to trial `last`.

    Parameters
    ----------
    improvements : sequence of (int, float)
        Pairs of a trial's number and the trial's value, in the order of the numbers. Each value is better than all
        earlier values.
    last : int
        Number of the last complete trial.
    width : int
        Largest number of cells. A cell stands for one or more trials.
    ascii_only : bool
        Whether to use only ASCII characters.

    Returns
    -------
    str
        The sparkline. Each cell shows the best value up to the last trial of the cell. A cell before the first complete
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
    values: list[float | None] = []
    index, best = 0, None
    for end in ends:
        while index < len(improvements) and improvements[index][0] <= end:
            best = improvements[index][1]
            index += 1
        values.append(best)
    bars = ASCII_BARS if ascii_only else BARS
    heights = _heights([value for value in values if value is not None])
    empty = len(values) - len(heights)
    return " " * empty + "".join(bars[round(height * (len(bars) - 1))] for height in heights)


def _heights(values: Sequence[float]) -> list[float]:
    """Return the height of the bar for each value, from 0 to 1. The lowest value has the height 0."""
    lowest, highest = min(values), max(values)
    if lowest == highest:
        return [0.0] * len(values)
    if lowest > 0 and highest / lowest >= _LOGARITHMIC:
        values = [math.log(value) for value in values]
        lowest, highest = min(values), max(values)
    # The function halves all values before the subtraction, because the difference of two large values could exceed the
    # largest float. `length` can be 0, because a division by 2 rounds the smallest positive float to 0.
    length = highest / 2 - lowest / 2
    return [(value / 2 - lowest / 2) / length if length else 0.0 for value in values]
