"""The kernels of skopt's Gaussian processes, as functions of a scaled squared distance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skopt.learning.gaussian_process.kernels import ConstantKernel, HammingKernel, Matern, Product, Sum, WhiteKernel

Array = NDArray[np.float64]

# The number of rows in one block of a covariance matrix. The code computes a covariance matrix in blocks. Each block
# fits into the processor's cache.
BLOCK = 64


@dataclass(frozen=True)
class Kernel:
    """The covariance kernel of a Gaussian process, with variance 1. The kernel is a function of the scaled squared
    distance `t` between two points.

    `t` is the sum of ``length_scale ** exponent * difference ** 2`` over the dimensions.

    Attributes
    ----------
    value : callable
        Returns the correlation for each element of an array of scaled squared distances. The correlation at the
        distance 0 is 1.
    value_and_slope : callable
        Returns the correlations, and the derivatives of the correlations by `t`.
    exponent : int
        The exponent of the length scales in the scaled squared distance `t`. The exponent is -2 for the Matern kernel.
        The exponent is 1 for the Hamming kernel, because the length scales of the Hamming kernel are weights.
    against_short : float
        The weight of the hyperprior's penalty for short length scales. The docstring of `GaussianProcessRegressor`
        describes the hyperprior.
    """

    value: Callable[[Array], Array]
    value_and_slope: Callable[[Array], tuple[Array, Array]]
    exponent: int
    against_short: float

    def weights(self, length_scales: Array, dimensions: int) -> Array:
        """Return an array of shape (dimensions,) with the weight of each dimension in the scaled squared distance `t`.

        If `length_scales` has only one element, this element is the length scale of all dimensions.
        """
        weights = length_scales.astype(float) ** self.exponent
        return weights if len(weights) == dimensions else np.full(dimensions, weights[0])


def known_kernel(kernel: Any) -> Kernel | None:
    """Convert a kernel of skopt into a `Kernel`, which has the variance 1. The function supports only the two kernels
    that skopt's `Optimizer` uses.

    skopt's `Optimizer` uses an amplitude times a Matern 5/2 kernel, or an amplitude times a Hamming kernel.

    Parameters
    ----------
    kernel : skopt.learning.gaussian_process.kernels.Kernel
        The kernel, with or without an added `WhiteKernel`.

    Returns
    -------
    Kernel or None
        The converted kernel. The result is None if skopt's `Optimizer` does not use the kernel, or if the kernel has a
        fixed parameter.

    Examples
    --------
    >>> from skopt.learning.gaussian_process.kernels import RBF, ConstantKernel, Matern
    >>> known_kernel(ConstantKernel(1.0) * Matern(nu=2.5)).exponent
    -2
    >>> known_kernel(ConstantKernel(1.0) * RBF()) is None
    True
    """
    if isinstance(kernel, Sum) and isinstance(kernel.k2, WhiteKernel):
        if any(parameter.fixed for parameter in kernel.hyperparameters):
            return None
        kernel = kernel.k1
    if not (isinstance(kernel, Product) and isinstance(kernel.k1, ConstantKernel)):
        return None
    if any(parameter.fixed for parameter in kernel.hyperparameters):
        return None
    if isinstance(kernel.k2, Matern) and kernel.k2.nu != 2.5:
        return None
    return _KNOWN.get(type(kernel.k2))


def squared_distances(a: Array, b: Array, weights: Array) -> Array:
    """Return the weighted squared distance between each row of `a` and each row of `b`.

    One matrix product computes all distances.

    Parameters
    ----------
    a : array of shape (n, dimensions)
        The first group of points, with one point in each row.
    b : array of shape (m, dimensions)
        The second group of points, with one point in each row.
    weights : array of shape (dimensions,)
        The weight of each dimension.

    Returns
    -------
    array of shape (n, m)
        The squared distances. No squared distance is negative.
    """
    # The weighted squared distance w @ (a - b)^2 equals -2 (w a) @ b + (w a) @ a + w @ b^2.
    scaled = a * weights
    t = scaled @ b.T
    t *= -2.0
    t += np.einsum("ij,ij->i", scaled, a)[:, None]
    t += ((b**2) @ weights)[None, :]
    return np.maximum(t, 0.0, out=t)


def covariance(kernel: Kernel, weights: Array, amplitude: float, a: Array, b: Array) -> Array:
    """Return the covariance, without noise, between each row of `a` and each row of `b`.

    Parameters
    ----------
    kernel : Kernel
    weights : array of shape (dimensions,)
        The weight of each dimension.
    amplitude : float
        The prior variance of the Gaussian process. The prior variance is the same at all points.
    a : array of shape (n, dimensions)
        The first group of points, with one point in each row.
    b : array of shape (m, dimensions)
        The second group of points, with one point in each row.

    Returns
    -------
    array of shape (n, m)
        The covariances.
    """
    result = np.empty((len(a), len(b)))
    for start in range(0, len(a), BLOCK):
        block = kernel.value(squared_distances(a[start : start + BLOCK], b, weights))
        np.multiply(block, amplitude, out=result[start : start + BLOCK])
    return result


def _matern(t: Array) -> Array:
    # The Matern 5/2 correlation is (1 + r + r^2 / 3) exp(-r) with r^2 = 5 t (Rasmussen and Williams 2006, equation
    # 4.17).
    root = np.sqrt(5.0 * t)
    return np.asarray((1.0 + root + root * root * (1.0 / 3.0)) * np.exp(-root))


def _matern_and_slope(t: Array) -> tuple[Array, Array]:
    # The derivative of the Matern 5/2 correlation by t is -5/6 (1 + r) exp(-r) with r^2 = 5 t. Each array has an
    # element for each pair of points. The code changes the arrays in place to save memory.
    root = np.sqrt(5.0 * t)
    decay = np.exp(-root)
    slope = 1.0 + root
    root *= root
    root *= 1.0 / 3.0
    root += slope
    root *= decay
    slope *= decay
    slope *= -5.0 / 6.0
    return root, slope


def _hamming(t: Array) -> Array:
    return np.exp(-t)


def _hamming_and_slope(t: Array) -> tuple[Array, Array]:
    value = _hamming(t)
    return value, -value


# The Hamming kernel uses absolute differences. Two values of a one-hot column differ by 0 or 1. Therefore the squared
# difference of two values is equal to the absolute difference.
_KNOWN = {
    Matern: Kernel(_matern, _matern_and_slope, -2, 0.01),
    HammingKernel: Kernel(_hamming, _hamming_and_slope, 1, 0.1),
}
