"""A published problem, and the regret of a point."""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.space import Space

# The number of random points that estimate the median loss and, where it is not known, the lowest loss.
REFERENCE = 2_000
# log10 of the lowest regret that counts, if the lowest loss is known exactly, and otherwise. A table has noise, and the
# lowest loss of a surrogate is only that of the best search. There, a regret below 1 % is a tie.
FLOOR, COARSE_FLOOR = -4.0, -2.0


@dataclass(frozen=True)
class Problem:
    """A published problem.

    Attributes
    ----------
    name : str
    space : Space
    observe : callable
        Returns a loss from the parameters of a point. If the problem is noisy, the losses of a point differ.
    expected : callable
        Returns the loss of a point without noise.
    lowest : float
        The lowest expected loss. If it is not known, the lowest of `REFERENCE` random points.
    median : float
        The median expected loss of random points.
    is_noisy : bool
    floor : float
        log10 of the lowest regret that counts.
    """

    name: str
    space: Space
    observe: Callable[[Mapping[str, Any]], float]
    expected: Callable[[Mapping[str, Any]], float]
    lowest: float
    median: float
    is_noisy: bool = False
    floor: float = FLOOR


def log_regret(loss: float, lowest: float, median: float, floor: float) -> float:
    """Return log10 of the regret, in units of the median regret of random points, and at least `floor`."""
    regret = (loss - lowest) / (median - lowest)
    return max(floor, math.log10(regret)) if regret > 0 else floor


def reference(space: Space, expected: Callable[[Mapping[str, Any]], float]) -> tuple[float, float]:
    """Return the lowest and the median expected loss of random points."""
    losses = [expected(params) for params in SpaceConverter(space).random(REFERENCE, seed=0)]
    return min(losses), statistics.median(losses)
