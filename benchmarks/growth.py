"""Extrapolation of a running time as a power of the size, for sizes that are too slow to measure."""

import math
from collections.abc import Mapping


def exponent(seconds: Mapping[int, float]) -> float:
    """Return the exponent of the growth between the smallest and the largest of at least two sizes."""
    low, high = min(seconds), max(seconds)
    return math.log(seconds[high] / seconds[low]) / math.log(high / low)


def extrapolated(seconds: Mapping[int, float], size: int) -> float:
    """Return the seconds at another size, extrapolated from the largest measured size with the same exponent."""
    high = max(seconds)
    return seconds[high] * float((size / high) ** exponent(seconds))
