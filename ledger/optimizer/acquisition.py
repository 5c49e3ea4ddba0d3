"""Acquisition functions of a posterior's mean and deviation, to be maximised, with their derivatives.

They have the maxima of skopt's, but EI and PI are logarithms. Where an improvement is improbable the functions
themselves are flat, and zero to rounding (Ament et al. 2023, *Unexpected Improvements to Expected Improvement*).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

# The functions that have derivatives.
GRADIENTS = ("EI", "LCB", "PI")
# Defaults. skopt's xi is 0.01 in the losses' unit, which in some searches is more than the best improvement left. It is
# there to explore, and the logarithm does that.
XI, KAPPA = 0.0, 1.96
_SMALLEST_DEVIATION = 1e-12
# Where u is below this, the improvement over the density is 1 / u ** 2 to rounding, and computed as that.
_FAR = -1e4
# u is kept within this, so that the squares of all derivatives are finite.
_FARTHEST = 1e50
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)
# Quantiles of the optimum that MES averages over, in the middles of as many equal shares.
_OPTIMA = (np.arange(50) + 0.5) / 50


@dataclass(frozen=True)
class Utility:
    """The values of an acquisition function at n points.

    Attributes
    ----------
    value : array of shape (n,)
    derivatives : callable
        Computes the derivatives by the mean and by the deviation, each of shape (n,). Most points are only compared,
        and need none.
    """

    value: Array
    derivatives: Callable[[], tuple[Array, Array]]


def utility(name: str, mean: Array, deviation: Array, best: float, xi: float, kappa: float | str) -> Utility:
    """Evaluate an acquisition function that has derivatives.

    Parameters
    ----------
    name : str
        "EI", "PI" or "LCB".
    mean, deviation : array of shape (n,)
        Of the posterior, in units in which the values' deviation is about 1.
    best : float
        The lowest value so far, in the same unit.
    xi : float
        The improvement beyond `best` that EI and PI ask for.
    kappa : float or str
        The number of deviations below the mean that LCB expects; "inf" for the deviation alone.

    Returns
    -------
    Utility

    Examples
    --------
    >>> import numpy as np
    >>> mean, deviation = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])
    >>> np.exp(utility("EI", mean, deviation, best=0.0, xi=0.0, kappa=1.96).value).round(3)
    array([0.399, 0.798, 0.083])
    """
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    if name == "LCB":
        return _lower_confidence_bound(mean, deviation, kappa)
    u = _deviations_below(mean, deviation, best - xi)
    return _log_probability(u, deviation) if name == "PI" else _log_improvement(u, deviation)


def mes(mean: Array, deviation: Array) -> Array:
    """Return the max-value entropy search (Wang and Jegelka 2017, equation 6) of n points together.

    As in skopt, the optimum's distribution is a Gumbel one through three quantiles of the minimum of independent
    points. skopt averages over 1,000 random optima; this averages over quantiles, and so is the same in every run.

    Parameters
    ----------
    mean, deviation : array of shape (n,)
        Of the posterior.

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> mes(np.array([0.0, 1.0, 3.0]), np.ones(3)).round(2)
    array([0.6 , 0.29, 0.02])
    """
    deviation = np.maximum(deviation, 1e-10)
    low, high = float((mean - 5 * deviation).min()), float((mean + 5 * deviation).max())

    def log_probability(value: float) -> float:
        """Return the logarithm of the probability that no point is below a value."""
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


def _lower_confidence_bound(mean: Array, deviation: Array, kappa: float | str) -> Utility:
    if kappa == "inf":
        return Utility(deviation, lambda: (np.zeros_like(mean), np.ones_like(mean)))
    weight = float(kappa)
    return Utility(weight * deviation - mean, lambda: (np.full_like(mean, -1.0), np.full_like(mean, weight)))


def _log_probability(u: Array, deviation: Array) -> Utility:
    def derivatives() -> tuple[Array, Array]:
        # of log P(u): p / P, and u' = -1 / s by the mean, -u / s by the deviation
        ratio = _density_over_probability(u)
        return -ratio / deviation, -ratio * u / deviation

    return Utility(log_ndtr(u), derivatives)


def _log_improvement(u: Array, deviation: Array) -> Utility:
    # improvement = s (u P(u) + p(u)); where u is negative the sum is p(u) (1 + u P(u) / p(u)), and the second factor,
    # the share, is computed without the first, which may be zero to rounding
    below, above = np.minimum(u, 0.0), np.maximum(u, 0.0)
    near, far = np.maximum(below, _FAR), np.minimum(below, _FAR)
    share = np.where(u > _FAR, 1.0 + near / _density_over_probability(near), 1.0 / far**2)
    density = np.exp(-0.5 * above**2 - _LOG_ROOT_2_PI)
    probability = ndtr(above)
    total = above * probability + density
    log_sum = np.where(u < 0, -0.5 * below**2 - _LOG_ROOT_2_PI + np.log(share), np.log(total))

    def derivatives() -> tuple[Array, Array]:
        # the sum's derivative by u is P(u), and the improvement's by s is p(u)
        by_u = np.where(u < 0, 1.0 / (_density_over_probability(below) * share), probability / total)
        by_deviation = np.where(u < 0, 1.0 / share, density / total) / deviation
        return -by_u / deviation, by_deviation

    return Utility(np.log(deviation) + log_sum, derivatives)


def _deviations_below(mean: Array, deviation: Array, value: float) -> Array:
    with np.errstate(over="ignore"):
        return np.clip((value - mean) / deviation, -_FARTHEST, _FARTHEST)


def _density_over_probability(u: Array) -> Array:
    """Return the standard normal density over the distribution function, also where both are zero to rounding."""
    with np.errstate(over="ignore"):
        return np.asarray(math.sqrt(2 / math.pi) / erfcx(-u / math.sqrt(2)))
