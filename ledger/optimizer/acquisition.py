"""Acquisition functions of a posterior's mean and standard deviation, and the derivatives of the acquisition functions.

The optimizer maximises an acquisition function. Each acquisition function has the same maxima as skopt's acquisition
function of the same name. For EI and PI, this module returns the logarithm of the acquisition function. Where an
improvement is improbable, EI and PI are flat and round to zero. The logarithms of EI and PI are not flat (Ament and
others 2023, *Unexpected Improvements to Expected Improvement*).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

# The names of the acquisition functions that have derivatives.
GRADIENTS = ("EI", "LCB", "PI")
# The default values of `xi` and `kappa`. In skopt, the default value of `xi` is 0.01, in the unit of the losses. In
# some studies, no point improves the loss by 0.01. However, skopt explores the space only if `xi` is positive. The
# optimizer maximises the logarithm of EI, and therefore explores the space even if `xi` is 0.
XI, KAPPA = 0.0, 1.96
_SMALLEST_DEVIATION = 1e-12
# For `u` below `_FAR`, the function `_log_improvement` computes `share` by the formula 1 / u^2. For `u` below `_FAR`,
# the relative error of the formula 1 / u^2 is at most 3e-8.
_FAR = -1e4
# The code clips `u` to the range from -`_FARTHEST` to `_FARTHEST`, so that the squares of all derivatives are finite.
_FARTHEST = 1e50
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)
# The value of MES is an average over 50 quantiles of the optimum's distribution. The probabilities of the quantiles are
# the centres of 50 equal parts of the range from 0 to 1.
_OPTIMA = (np.arange(50) + 0.5) / 50


@dataclass(frozen=True)
class AcquisitionValues:
    """The values of an acquisition function at n points, and a function that returns the derivatives of the values.

    Attributes
    ----------
    value : array of shape (n,)
        The value of the acquisition function at each point.
    derivatives : callable
        A function that returns the derivatives of `value` as two arrays of shape (n,). The first array contains the
        derivatives with respect to the mean. The second array contains the derivatives with respect to the standard
        deviation. `derivatives` is a function, because some callers need only `value`.
    """

    value: Array
    derivatives: Callable[[], tuple[Array, Array]]


def utility(name: str, mean: Array, deviation: Array, best: float, xi: float, kappa: float | str) -> AcquisitionValues:
    """Compute the values of an acquisition function that has derivatives.

    Parameters
    ----------
    name : str
        "EI", "PI" or "LCB".
    mean, deviation : array of shape (n,)
        The posterior's mean and standard deviation. The observed values must be scaled to a standard deviation of about
        1.
    best : float
        The lowest observed value, on the same scale as `mean`.
    xi : float
        The smallest improvement on `best` that EI and PI include. EI and PI ignore an improvement that is smaller than
        `xi`.
    kappa : float or str
        The weight of the standard deviation in LCB. If `kappa` is "inf", LCB uses only the posterior's standard
        deviation, and not the mean.

    Returns
    -------
    AcquisitionValues

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
    """Return the value of max-value entropy search (MES) at n points (Wang and Jegelka 2017, equation 6).

    Like skopt, the function approximates the distribution of the optimum by a Gumbel distribution. The function fits
    the Gumbel distribution to three quantiles of the minimum of all n values. The fit assumes that the posterior's
    values at different points are independent. For MES, skopt averages over 1,000 random values from the distribution
    of the optimum. `mes` averages over quantiles of the optimum's distribution. Therefore two calls of `mes` with equal
    arguments return equal results.

    Parameters
    ----------
    mean, deviation : array of shape (n,)
        The posterior's mean and standard deviation.

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
        """Return the logarithm of the probability that the values at all points are at least `value`."""
        return float(log_ndtr((mean - value) / deviation).sum())

    # `brentq` needs a sign change between its two bounds. At the lower bound, the probability exp(`log_probability`) is
    # larger than 0.75. At the upper bound, the probability exp(`log_probability`) is smaller than 0.25.
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


def _lower_confidence_bound(mean: Array, deviation: Array, kappa: float | str) -> AcquisitionValues:
    if kappa == "inf":
        return AcquisitionValues(deviation, lambda: (np.zeros_like(mean), np.ones_like(mean)))
    weight = float(kappa)
    return AcquisitionValues(weight * deviation - mean, lambda: (np.full_like(mean, -1.0), np.full_like(mean, weight)))


def _log_probability(u: Array, deviation: Array) -> AcquisitionValues:
    def derivatives() -> tuple[Array, Array]:
        # P is the standard normal distribution function, and p is the density of P. The derivative of log P(u) with
        # respect to u is p(u) / P(u). The variable u is (best - xi - mean) / s, where s is the standard deviation.
        # Therefore the derivative of u with respect to the mean is -1 / s, and the derivative of u with respect to s is
        # -u / s.
        ratio = _density_over_probability(u)
        return -ratio / deviation, -ratio * u / deviation

    return AcquisitionValues(log_ndtr(u), derivatives)


def _log_improvement(u: Array, deviation: Array) -> AcquisitionValues:
    # P is the standard normal distribution function, and p is the density of P. The expected improvement is s (u P(u) +
    # p(u)), where s is the standard deviation. For negative u, the code computes the sum u P(u) + p(u) as the product
    # p(u) (1 + u P(u) / p(u)). `share` is the factor 1 + u P(u) / p(u). The code computes `share` without p(u), because
    # p(u) may round to zero.
    below, above = np.minimum(u, 0.0), np.maximum(u, 0.0)
    near, far = np.maximum(below, _FAR), np.minimum(below, _FAR)
    share = np.where(u > _FAR, 1.0 + near / _density_over_probability(near), 1.0 / far**2)
    density = np.exp(-0.5 * above**2 - _LOG_ROOT_2_PI)
    probability = ndtr(above)
    total = above * probability + density
    log_sum = np.where(u < 0, -0.5 * below**2 - _LOG_ROOT_2_PI + np.log(share), np.log(total))

    def derivatives() -> tuple[Array, Array]:
        # P is the standard normal distribution function, and p is the density of P. The derivative of u P(u) + p(u)
        # with respect to u is P(u). The derivative of the expected improvement with respect to the standard deviation
        # is the normal density p(u).
        by_u = np.where(u < 0, 1.0 / (_density_over_probability(below) * share), probability / total)
        by_deviation = np.where(u < 0, 1.0 / share, density / total) / deviation
        return -by_u / deviation, by_deviation

    return AcquisitionValues(np.log(deviation) + log_sum, derivatives)


def _deviations_below(mean: Array, deviation: Array, value: float) -> Array:
    with np.errstate(over="ignore"):
        return np.clip((value - mean) / deviation, -_FARTHEST, _FARTHEST)


def _density_over_probability(u: Array) -> Array:
    """Return the standard normal density at `u`, divided by the distribution function at `u`.

    The quotient is accurate even if the density and the distribution function round to zero.
    """
    with np.errstate(over="ignore"):
        return np.asarray(math.sqrt(2 / math.pi) / erfcx(-u / math.sqrt(2)))
