"""Acquisition functions of a posterior's mean and deviation, to be maximised, with their derivatives.

They have the maxima of skopt's, but EI and PI are their logarithms: where an improvement is improbable the functions
themselves are zero to rounding, and flat (Ament et al. 2023, *Unexpected Improvements to Expected Improvement*).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

GRADIENTS = ("EI", "LCB", "PI")
# Defaults. skopt's xi is 0.01, in the losses' unit, which is all that there is to win in some searches; it serves there
# to explore, which the logarithm sees to.
XI, KAPPA = 0.0, 1.96
_SMALLEST_DEVIATION = 1e-12
# Beyond so many deviations the improvement's ratio to the density is rounded away, and is 1 / u ** 2 to rounding.
_FAR = -1e4
# So far that nothing is told apart any more, and the squares of all derivatives are still floats.
_FARTHEST = 1e50
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)
# Quantiles of the optimum that MES averages over, in the middles of as many equal shares.
_OPTIMA = (np.arange(50) + 0.5) / 50


@dataclass(frozen=True)
class Utility:
    """Values, and what computes their derivatives by the mean and by the deviation; arrays of one shape."""

    value: Array
    derivatives: Callable[[], tuple[Array, Array]]


def utility(name: str, mean: Array, deviation: Array, best: float, xi: float, kappa: float | str) -> Utility:
    """Return what an acquisition function with gradients is worth; most points are only compared, without them.

    Parameters
    ----------
    name : str
        "EI", "PI" or "LCB".
    mean, deviation : array
        Of the posterior, in units in which the values' deviation is about 1.
    best : float
        The lowest value so far.
    xi : float
        Improvement that is asked for beyond it.
    kappa : float or str
        Deviations that LCB believes in; "inf" for the deviation alone.
    """
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    if name == "LCB":
        if kappa == "inf":
            return Utility(deviation, lambda: (np.zeros_like(mean), np.ones_like(mean)))
        weight = float(kappa)
        return Utility(weight * deviation - mean, lambda: (np.full_like(mean, -1.0), np.full_like(mean, weight)))
    u = _deviations_below(mean, deviation, best - xi)
    if name == "PI":

        def of_probability() -> tuple[Array, Array]:
            ratio = _density_over_probability(u)
            return -ratio / deviation, -ratio * u / deviation

        return Utility(log_ndtr(u), of_probability)
    # improvement = deviation * (u * probability + density), the sum in shares of the density where u is negative
    below, above = np.minimum(u, 0.0), np.maximum(u, 0.0)
    near, far = np.maximum(below, _FAR), np.minimum(below, _FAR)
    share = np.where(u > _FAR, 1.0 + near / _density_over_probability(near), 1.0 / far**2)
    density = np.exp(-0.5 * above**2 - _LOG_ROOT_2_PI)
    probability = ndtr(above)
    total = above * probability + density
    log_sum = np.where(u < 0, -0.5 * below**2 - _LOG_ROOT_2_PI + np.log(share), np.log(total))

    def of_improvement() -> tuple[Array, Array]:
        by_u = np.where(u < 0, 1.0 / (_density_over_probability(below) * share), probability / total)
        by_deviation = np.where(u < 0, 1.0 / share, density / total) / deviation
        return -by_u / deviation, by_deviation

    return Utility(np.log(deviation) + log_sum, of_improvement)


def mes(mean: Array, deviation: Array) -> Array:
    """Return max-value entropy search (Wang and Jegelka 2017, equation 6) of all points together, without gradients.

    As in skopt, the optimum's distribution is a Gumbel one through three quantiles of the minimum of independent
    points. skopt averages over 1,000 random optima, this over the Gumbel's quantiles, and so the same in every run.
    """
    deviation = np.maximum(deviation, 1e-10)
    low, high = float((mean - 5 * deviation).min()), float((mean + 5 * deviation).max())

    def log_probability(value: float) -> float:
        """That no point is below a value."""
        return float(log_ndtr((mean - value) / deviation).sum())

    # between `low`, where it is that of one point and so surely larger, and `high`, where it is surely smaller
    quarter, median, three = (
        brentq(lambda value, share=share: log_probability(value) - math.log(share), low - (high - low) * 10, high)
        for share in (0.25, 0.5, 0.75)
    )
    spread = (quarter - three) / (math.log(math.log(4.0)) - math.log(math.log(4.0 / 3.0)))
    location = -median + spread * math.log(math.log(2.0))
    optima = location - spread * np.log(-np.log(_OPTIMA))
    gain = np.zeros_like(mean)
    for optimum in optima:
        gamma = (optimum + mean) / deviation
        gain += 0.5 * gamma * _density_over_probability(gamma) - log_ndtr(gamma)
    return gain / len(optima)


def _deviations_below(mean: Array, deviation: Array, value: float) -> Array:
    with np.errstate(over="ignore"):
        return np.clip((value - mean) / deviation, -_FARTHEST, _FARTHEST)


def _density_over_probability(u: Array) -> Array:
    """Return the standard normal density over the distribution function, also where both are zero to rounding."""
    with np.errstate(over="ignore"):
        return np.asarray(math.sqrt(2 / math.pi) / erfcx(-u / math.sqrt(2)))
