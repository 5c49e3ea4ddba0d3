"""A transform of the losses before the fit of a Gaussian process (GP).

A GP assumes that losses have a normal distribution. The losses of many objectives have a long tail of bad losses. The
Yeo-Johnson transform (Yeo and Johnson 2000, *A new family of power transformations to improve normality or symmetry*)
shortens such a tail, and keeps the order of the losses. The proposals use the transform only if the transformed losses
have a larger likelihood under the GP.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import yeojohnson, yeojohnson_llf

Array = NDArray[np.float64]

# With fewer than `FEWEST` different losses, the estimate of the exponent is too uncertain.
FEWEST = 8
# The range of the exponent. With the exponent 1, the transform is the identity. The range is symmetric around 1.
LOWEST, HIGHEST = -4.0, 6.0
# The interquartile range of normally distributed losses, in standard deviations.
NORMAL_RANGE = 1.349
# If more than half of the losses are equal, the interquartile range can be zero. Therefore the divisor of the losses is
# at least their standard deviation, multiplied by `NARROWEST`. With this divisor, all powers are finite.
NARROWEST = 1e-9
# `inverse` returns scaled losses from -`BEYOND` to 1 + `BEYOND`. A scaled loss outside this range is farther from the
# observed losses than the width of the range of the observed losses.
BEYOND = 1.0


class YeoJohnson:
    """The Yeo-Johnson transform of scaled losses. The transformed losses of the observations are in [0, 1].

    The shape of the transform depends on the unit of the losses. Therefore the class first subtracts the median of the
    losses, and divides by the interquartile range. A few very bad losses change neither the median nor the
    interquartile range, but would change the mean and the standard deviation.

    Parameters
    ----------
    losses : sequence of float or array
        The scaled losses of the observations, in [0, 1]. `is_transformable` must be true for the losses.
    exponent : float, optional
        The exponent of the transform, from -4 to 6. By default, the exponent is the maximum-likelihood estimate for
        normally distributed losses.

    Attributes
    ----------
    exponent : float
        The exponent of the transform. An exponent below 1 shortens the tail of bad losses. An exponent above 1 shortens
        the tail of good losses.

    Examples
    --------
    >>> transform = YeoJohnson([0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0])
    >>> transform.exponent < 1
    True
    >>> transform.transform([0.0, 0.02, 1.0]).round(2)
    array([0.  , 0.15, 1.  ])
    >>> transform.inverse(transform.transform([0.02])).round(6)
    array([0.02])
    """

    def __init__(self, losses: Sequence[float] | Array, exponent: float | None = None) -> None:
        known = np.asarray(losses, dtype=float)
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
        self._middle, self._width = float(middle), max(float(high - low) / NORMAL_RANGE, NARROWEST * float(known.std()))
        standardised = self._standardised(known)
        self.exponent = _most_likely(standardised) if exponent is None else float(exponent)
        ends = yeojohnson(np.array([standardised.min(), standardised.max()]), self.exponent)
        self._lowest, self._span = float(ends[0]), float(ends[1] - ends[0])

    def transform(self, losses: Sequence[float] | Array) -> Array:
        """Transform scaled losses. Returns an array of the same shape."""
        standardised = self._standardised(np.asarray(losses, dtype=float))
        return np.asarray((yeojohnson(standardised, self.exponent) - self._lowest) / self._span)

    def inverse(self, values: Sequence[float] | Array) -> Array:
        """Return the scaled losses of transformed values. Returns an array of the same shape.

        The scaled losses are in [-1, 2]. Some values are outside the range of the transform, for example if the
        exponent is negative. Such values get the loss -1 or 2.
        """
        within = np.clip(np.asarray(values, dtype=float), *self.transform([-BEYOND, 1.0 + BEYOND]))
        standardised = _inverse(self._lowest + self._span * within, self.exponent)
        return np.clip(self._middle + self._width * standardised, -BEYOND, 1.0 + BEYOND)

    def log_derivatives(self, losses: Sequence[float] | Array) -> Array:
        """Return the natural logarithms of the transform's derivatives at scaled losses.

        The sum converts the log-likelihood of the transformed losses into a log-likelihood of the losses.
        """
        standardised = self._standardised(np.asarray(losses, dtype=float))
        slopes = (self.exponent - 1) * np.sign(standardised) * np.log1p(np.abs(standardised))
        return np.asarray(slopes - np.log(self._width * self._span))

    def _standardised(self, losses: Array) -> Array:
        return (losses - self._middle) / self._width


def is_transformable(losses: Sequence[float] | Array) -> bool:
    """Return whether enough losses are different for an estimate of the exponent."""
    return len(np.unique(losses)) >= FEWEST


def record(transform: YeoJohnson | None, gain: float) -> dict[str, Any]:
    """Return the part of a recorded surrogate that describes the transform. None means no transform."""
    if transform is None:
        return {"name": "none", "gain": gain}
    return {"name": "yeo-johnson", "exponent": transform.exponent, "gain": gain}


def recorded_exponent(surrogate: Mapping[str, Any]) -> float | None:
    """Return the exponent of a recorded surrogate. None if the surrogate models the losses themselves.

    A record from a file can contain any value. The function treats a value outside the range of the exponent as None.
    """
    exponent = _recorded(surrogate, "exponent")
    return exponent if exponent is not None and LOWEST <= exponent <= HIGHEST else None


def recorded_gain(surrogate: Mapping[str, Any]) -> float | None:
    """Return the gain of a recorded surrogate. None if no gain is recorded."""
    return _recorded(surrogate, "gain")


def _recorded(surrogate: Mapping[str, Any], name: str) -> float | None:
    transform = surrogate.get("transform")
    value = transform.get(name) if isinstance(transform, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _most_likely(standardised: Array) -> float:
    found = minimize_scalar(
        lambda exponent: -yeojohnson_llf(exponent, standardised), bounds=(LOWEST, HIGHEST), method="bounded"
    )
    return float(found.x)


def _inverse(values: Array, exponent: float) -> Array:
    """Return the inverse of scipy's Yeo-Johnson transform. scipy has no inverse."""
    above, below = np.maximum(values, 0.0), -np.minimum(values, 0.0)
    return np.where(values >= 0, _inverse_of_half(above, exponent), -_inverse_of_half(below, 2.0 - exponent))


def _inverse_of_half(values: Array, exponent: float) -> Array:
    if abs(exponent) < np.spacing(1.0):
        return np.expm1(values)
    # `values` can exceed the range of the transform by a rounding error.
    return np.expm1(np.log1p(np.maximum(exponent * values, -1.0 + np.finfo(float).eps)) / exponent)
