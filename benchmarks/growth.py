"""Extrapolation by a power of the size, of what is too slow to be measured."""

import math
from collections.abc import Mapping


def exponent(seconds: Mapping[int, float]) -> float:
    """Return the power of the size by which the time grows from the smallest to the largest of at least two sizes."""
    low, high = min(seconds), max(seconds)
    return math.log(seconds[high] / seconds[low]) / math.log(high / low)


def extrapolated(seconds: Mapping[int, float], size: int) -> float:
    """Return the seconds that the same growth gives at another size, counted from the largest one."""
    high = max(seconds)
    return seconds[high] * float((size / high) ** exponent(seconds))
