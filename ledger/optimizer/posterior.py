"""The posterior of a Gaussian process: its predictions, their gradients, and one more observation at a time.

Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*, algorithm 2.1. The variance at many points is
one triangular solve, where skopt has an `einsum` of three operands that does not reach BLAS. An observation adds one
row to the Cholesky factor.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, lapack
from scipy.linalg.blas import dtrsm

from ledger.optimizer.kernels import Kernel, covariance, squared_distances

Array = NDArray[np.float64]

# What is added to the diagonal where a covariance is not positive definite, in shares of its mean.
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)


@dataclass(frozen=True)
class Posterior:
    """A Gaussian process after its values at n points.

    Attributes
    ----------
    kernel : Kernel
    weights : array of shape (dimensions,)
        Of the dimensions in the kernel's squared distance.
    amplitude : float
        The kernel's variance, in units of the variance of the standardised values.
    noise : float
        All that is added to the diagonal of the covariance.
    points : array of shape (n, dimensions)
    factor : array of shape (n, n)
        Lower Cholesky factor of the covariance of the points, in Fortran's order.
    solved : array of shape (n,)
        The standardised values, solved by the factor.
    mean, scale : float
        A predicted value is ``mean + scale * standardised``.
    """

    kernel: Kernel
    weights: Array
    amplitude: float
    noise: float
    points: Array
    factor: Array
    solved: Array
    mean: float
    scale: float

    @cached_property
    def dual(self) -> Array:
        """The standardised values, solved by the whole covariance; of shape (n,)."""
        return solve(self.factor, self.solved[:, None], transposed=True)[:, 0]

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at points.

        Parameters
        ----------
        points : array of shape (m, dimensions)

        Returns
        -------
        mean, deviation : array of shape (m,)
            In the unit of the values.
        """
        half = self.half(points)  # (n, m)
        return self.in_unit(half.T @ self.solved, self.amplitude - np.einsum("ij,ij->j", half, half))

    def means(self, points: Array) -> Array:
        """Return the means alone, of shape (m,), at points of shape (m, dimensions): without a triangular solve."""
        return np.asarray(self.mean + self.scale * (self._covariance(points, self.points) @ self.dual))

    def predict_averages(self, groups: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the function's averages over groups of points.

        Parameters
        ----------
        groups : array of shape (groups, m, dimensions)

        Returns
        -------
        mean, deviation : array of shape (groups,)
            The deviation contains the covariances between the points of a group.
        """
        averaged, prior = [], []
        for points in groups:
            averaged.append(self._covariance(points, self.points).mean(axis=0))
            prior.append(self._covariance(points, points).mean())
        half = solve(self.factor, np.array(averaged).T)  # (n, groups)
        return self.in_unit(half.T @ self.solved, np.array(prior) - np.einsum("ij,ij->j", half, half))

    def predict_with_gradients(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation at points, and their gradients.

        Parameters
        ----------
        points : array of shape (m, dimensions)

        Returns
        -------
        mean, deviation : array of shape (m,)
        of_mean, of_deviation : array of shape (m, dimensions)
            The gradient of a deviation of zero is zero.
        """
        value, slope = self.kernel.value_and_slope(squared_distances(points, self.points, self.weights))  # (m, n)
        half = solve(self.factor, self.amplitude * value.T)  # (n, m)
        variance = self.amplitude - np.einsum("ij,ij->j", half, half)
        mean = half.T @ self.solved
        slope *= self.amplitude
        of_mean = self._gradient(points, slope * self.dual)
        # variance = a - k . K^-1 k, so its gradient is -2 (K^-1 k) . k', and that of its square root this over 2 s
        of_deviation = -self._gradient(points, slope * solve(self.factor, half, transposed=True).T)
        deviation = np.sqrt(np.maximum(variance, 0.0))[:, None]
        of_deviation = np.divide(of_deviation, deviation, out=np.zeros_like(of_deviation), where=deviation > 0)
        return *self.in_unit(mean, variance), self.scale * of_mean, self.scale * of_deviation

    def half(self, points: Array) -> Array:
        """Return the covariance of this posterior's n points with m others, solved by the factor; of shape (n, m)."""
        return solve(self.factor, self._covariance(points, self.points).T, overwrite=True)

    def in_unit(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Return mean and deviation in the values' unit, from standardised ones; rounding may make a variance < 0."""
        return self.mean + self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 0.0))

    def extended(self, point: Array, value: float) -> "Posterior":
        """Return the posterior after one more observation; the kernel and the standardisation stay.

        Parameters
        ----------
        point : array of shape (dimensions,)
        value : float
            In the unit of the values.
        """
        # [[L, 0], [r, c]] is the factor of the larger covariance: L r = k(points, point), c^2 = k(point, point) - r . r
        row = self.half(point[None, :])[:, 0]
        # rounding aside, what is left of the amplitude is not negative
        corner = math.sqrt(max(self.amplitude + self.noise - float(row @ row), self.noise))
        size = len(self.points)
        factor = np.zeros((size + 1, size + 1), order="F")
        factor[:size, :size] = self.factor
        factor[size, :size] = row
        factor[size, size] = corner
        solved = ((value - self.mean) / self.scale - row @ self.solved) / corner
        return replace(
            self,
            points=np.vstack([self.points, point]),
            factor=factor,
            solved=np.append(self.solved, solved),
        )

    def _covariance(self, a: Array, b: Array) -> Array:
        return covariance(self.kernel, self.weights, self.amplitude, a, b)

    def _gradient(self, points: Array, slopes: Array) -> Array:
        """Sum over this posterior's points a slope times the gradient of the squared distance.

        Parameters
        ----------
        points : array of shape (m, dimensions)
        slopes : array of shape (m, n)

        Returns
        -------
        array of shape (m, dimensions)
        """
        # by x: w (x - p)^2 has the gradient 2 w (x - p)
        return np.asarray(2.0 * self.weights * (slopes.sum(axis=1)[:, None] * points - slopes @ self.points))


class GaussianPredictions:
    """A Gaussian process's predictions at m candidates, updated for one more observation at a time.

    Parameters
    ----------
    posterior : Posterior
    candidates : array of shape (m, dimensions)

    Attributes
    ----------
    posterior : Posterior
        After the observations that were added.
    """

    def __init__(self, posterior: Posterior, candidates: Array) -> None:
        self.posterior, self._candidates = posterior, candidates
        half = posterior.half(candidates)  # (n, m)
        # one block of rows for the posterior as it was, and one row for each observation added
        self._half = [half]
        self._mean = half.T @ posterior.solved
        self._variance = posterior.amplitude - np.einsum("ij,ij->j", half, half)

    def predict(self) -> tuple[Array, Array]:
        """Return mean and standard deviation at the candidates, of shape (m,)."""
        return self.posterior.in_unit(self._mean, self._variance)

    def mean_at(self, points: Array) -> Array:
        """Return the mean at other points."""
        return self.posterior.predict(points)[0]

    def add(self, point: Array, value: float) -> None:
        """Add an observation."""
        before = self.posterior
        after = before.extended(point, value)
        row, corner = after.factor[-1, :-1], after.factor[-1, -1]
        # the last row of half: (k(point, candidates) - row . half) / corner
        added = (
            before.amplitude
            * before.kernel.value(squared_distances(point[None, :], self._candidates, before.weights))[0]
        )
        start = 0
        for half in self._half:
            added = added - row[start : start + len(half)] @ half
            start += len(half)
        added /= corner
        self._half.append(added[None, :])
        self._mean = self._mean + added * after.solved[-1]
        self._variance = self._variance - added**2
        self.posterior = after


def cholesky(matrix: Array, noise: float) -> tuple[Array, float]:
    """Factorise a covariance with noise, and with more of it where rounding makes it indefinite.

    Parameters
    ----------
    matrix : array of shape (n, n)
        The covariance without noise.
    noise : float
        To be added to its diagonal.

    Returns
    -------
    factor : array of shape (n, n)
        The lower Cholesky factor, in Fortran's order.
    added : float
        The noise that was added.

    Raises
    ------
    LinAlgError
        The matrix is not positive definite, even with the largest value that is added to its diagonal.
    """
    size = len(matrix)
    for jitter in JITTERS:
        added = float(noise + jitter * np.diag(matrix).mean())
        noisy = matrix.copy(order="F")
        noisy.flat[:: size + 1] += added
        factor, failed = lapack.dpotrf(noisy, lower=1, overwrite_a=1, clean=1)
        if not failed:
            return factor, added
    raise LinAlgError(f"the covariance of {size} points is not positive definite")


def solve(factor: Array, right: Array, *, transposed: bool = False, overwrite: bool = False) -> Array:
    """Return the solution x of ``factor @ x = right``, or of ``factor.T @ x = right`` where `transposed`.

    Parameters
    ----------
    factor : array of shape (n, n)
        Lower triangular.
    right : array of shape (n, m)
    transposed : bool
    overwrite : bool
        Whether the solution may take the memory of `right`, which has to be in Fortran's order for that.

    Returns
    -------
    array of shape (n, m)
    """
    return np.asarray(dtrsm(1.0, factor, right, lower=1, trans_a=int(transposed), overwrite_b=int(overwrite)))
