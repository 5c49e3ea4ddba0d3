"""A function that finds the value of a metric by the metric's name."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def value_of(metric: str, found: Mapping[str, Value], source: str) -> Value:
    """Return the value of the metric with the given name.

    Parameters
    ----------
    metric : str
        The name of the metric.
    found : mapping
        The value of each metric of the training.
    source : str
        The kind of data set for which the training computes metrics, such as "validation set".

    Raises
    ------
    ValueError
        The training has no metric with the given name. The message is one line.

    Examples
    --------
    >>> value_of("valid_0-auc", {"valid_0-auc": 0.75}, "validation set")
    0.75
    """
    if metric not in found:
        known = ", ".join(sorted(found)) or f"the training has no metrics, because the training has no {source}"
        raise ValueError(f"the training has no metric {metric!r}: choose one of the training's metrics ({known})")
    return found[metric]
