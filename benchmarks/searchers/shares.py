"""Numbers as shares of their ranges, in [0, 1]: the scale that other tools search."""

import math

from ledger.study.dimensions import Integer, Real

Number = Real | Integer


def from_share(dimension: Number, share: float) -> float | int:
    """Return the value at a share of the range. A share of a log-uniform dimension is one of its logarithms."""
    if dimension.prior == "log-uniform":
        low, high = math.log(dimension.low), math.log(dimension.high)
        value = math.exp(low + share * (high - low))
    else:
        value = dimension.low + share * (dimension.high - dimension.low)
    value = min(max(value, dimension.low), dimension.high)
    return round(value) if isinstance(dimension, Integer) else value


def to_share(dimension: Number, value: float) -> float:
    """Return the share of the range at a value."""
    if dimension.prior == "log-uniform":
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)
