"""The posterior of a Gaussian process, the predictions of the posterior, and the gradients of the predictions.

The code follows algorithm 2.1 of Rasmussen and Williams 2006 (*Gaussian Processes for Machine Learning*). The code
solves only one triangular system to compute the variance at many points. skopt computes the variance by an `einsum` of
three operands. For an `einsum` of three operands, numpy does not use BLAS. Each added observation adds one row to the
Cholesky factor.
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

# If a covariance matrix is not positive definite, `cholesky` adds more noise to the diagonal of the matrix. `cholesky`
# tries one amount of additional noise after the other, in the order of `JITTERS`. Each amount of noise is a multiple of
# the mean of the matrix's diagonal.
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)


@dataclass(frozen=True)
class Posterior:
    """The posterior of a Gaussian process, given the observed values at n points.

    Attributes
    ----------
    kernel : Kernel
    weights : array of shape (dimensions,)
        The weight of each dimension in the kernel's squared distance.
    amplitude : float
        The amplitude of the kernel. The amplitude is the prior variance of the standardised values.
    noise : float
        The total noise on the diagonal of the covariance.
    points : array of shape (n, dimensions)
        The observed points.
    factor : array of shape (n, n)
        The lower Cholesky factor of the covariance of the points, in Fortran order.
    solved : array of shape (n,)
        The solution x of ``factor @ x = y``, where y contains the standardised values.
    mean, scale : float
        An observed value equals ``mean + scale * standardised value``.
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
        """The array x of shape (n,) that solves ``covariance @ x = y``, where y contains the standardised values."""
        return solve(self.factor, self.solved[:, None], transposed=True)[:, 0]

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return the posterior's mean and standard deviation at the given points.

        Parameters
        ----------
        points : array of shape (m, dimensions)
            The given points.

        Returns
        -------
        mean, deviation : array of shape (m,)
            One array with the mean at each point, and one array with the standard deviation at each point. Both arrays
            have the unit of the observed values.
        """
        half = self.half(points)  # (n, m)
        return self.in_unit(half.T @ self.solved, self.amplitude - np.einsum("ij,ij->j", half, half))

    def means(self, points: Array) -> Array:
        """Return an array of shape (m,) with the means at m points. The array of the points has the shape (m,
        dimensions).

        `means` is faster than `predict`, because the computation of the means needs no triangular solve.
        """
        return np.asarray(self.mean + self.scale * (self._covariance(points, self.points) @ self.dual))

    def predict_averages(self, groups: Array, weights: Array | None = None) -> tuple[Array, Array]:
        """For each group of points, return the mean and the standard deviation of the group's average value.

        Parameters
        ----------
        groups : array of shape (groups, m, dimensions)
            The groups, with m points in each group.
        weights : array of shape (groups, m), optional
            The weight of each value in the sum that replaces the average. By default, all weights are 1/m.

        Returns
        -------
        mean, deviation : array of shape (groups,)
            One array with the mean for each group, and one array with the standard deviation for each group. The
            standard deviation includes the covariances between the values at the points of a group.
        """
        if weights is None:
            weights = np.full(groups.shape[:2], 1.0 / groups.shape[1])
        averaged, prior = [], []
        for points, of_points in zip(groups, weights, strict=True):
            averaged.append(of_points @ self._covariance(points, self.points))
            prior.append(of_points @ self._covariance(points, points) @ of_points)
        half = solve(self.factor, np.array(averaged).T)  # (n, groups)
        return self.in_unit(half.T @ self.solved, np.array(prior) - np.einsum("ij,ij->j", half, half))

    def predict_with_gradients(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Return the mean, the standard deviation, and the gradients of the mean and the standard deviation at the
        points.

        Parameters
        ----------
        points : array of shape (m, dimensions)
            The given points.

        Returns
        -------
        mean, deviation : array of shape (m,)
            One array with the mean at each point, and one array with the standard deviation at each point. Both arrays
            have the unit of the observed values.
        of_mean, of_deviation : array of shape (m, dimensions)
            One array with the gradients of the mean, and one array with the gradients of the standard deviation. If the
            deviation at a point is zero, the gradient of the deviation at this point is set to zero.
        """
        value, slope = self.kernel.value_and_slope(squared_distances(points, self.points, self.weights))  # (m, n)
        half = solve(self.factor, self.amplitude * value.T)  # (n, m)
        variance = self.amplitude - np.einsum("ij,ij->j", half, half)
        mean = half.T @ self.solved
        slope *= self.amplitude
        of_mean = self._gradient(points, slope * self.dual)
        # The formula of the variance at a given point is (a - k^T K^-1 k). The number a is the amplitude, K is the
        # covariance of the observed points, and k is the covariance between the observed points and the given point.
        # The gradient of the variance a - k^T K^-1 k is -2 (K^-1 k)^T k', where k' is the gradient of k. The gradient
        # of the standard deviation s is the gradient of the variance s^2, divided by 2 s.
        of_deviation = -self._gradient(points, slope * solve(self.factor, half, transposed=True).T)
        deviation = np.sqrt(np.maximum(variance, 0.0))[:, None]
        of_deviation = np.divide(of_deviation, deviation, out=np.zeros_like(of_deviation), where=deviation > 0)
        return *self.in_unit(mean, variance), self.scale * of_mean, self.scale * of_deviation

    def half(self, points: Array) -> Array:
        """Solve ``factor @ x = c``, where c is the covariance between this posterior's points and the given points.

        Return the solution x, of shape (n, m), for n points of this posterior and m given points.
        """
        return solve(self.factor, self._covariance(points, self.points).T, overwrite=True)

    def in_unit(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Convert a standardised mean and variance into a mean and a deviation in the unit of the observed values.

        If rounding makes the variance negative, the deviation is zero.
        """
        return self.mean + self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 0.0))

    def extended(self, point: Array, value: float) -> "Posterior":
        """Return the posterior after one more observation. The new posterior has the same kernel and the same
        standardisation.

        Parameters
        ----------
        point : array of shape (dimensions,)
            The observed point.
        value : float
            The observed value, before it is standardised.
        """
        # With one more point, the Cholesky factor L becomes the block matrix [[L, 0], [r, c]], where r is a row and c
        # is a number. The row r is the solution of L r = k(points, point), where k is the covariance, and point is the
        # new point. The number c is the square root of k(point, point) + noise - r @ r, where k is the covariance, and
        # r is the new row of the Cholesky factor.
        row = self.half(point[None, :])[:, 0]
        # Without rounding errors, `corner ** 2` would be at least the noise. Rounding can make `corner ** 2` smaller
        # than the noise, so `max` uses the noise as the lower limit.
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
        """For each of m points, return the sum of ``slope * gradient`` over the posterior's n points.

        Each pair of points has a factor `slope`, which is an element of `slopes`. The factor `gradient` is the gradient
        of the pair's squared distance.

        Parameters
        ----------
        points : array of shape (m, dimensions)
            The given points.
        slopes : array of shape (m, n)
            The factor `slope` for each pair of points. The first point of a pair is a given point, and the second point
            is a point of the posterior.

        Returns
        -------
        array of shape (m, dimensions)
            The sum for each given point.
        """
        # The gradient of w (x - p)^2 with respect to x is 2 w (x - p).
        return np.asarray(2.0 * self.weights * (slopes.sum(axis=1)[:, None] * points - slopes @ self.points))


class GaussianProcessPredictions:
    """The predictions of a Gaussian process at m candidate points. Each added observation updates the predictions.

    Parameters
    ----------
    posterior : Posterior
    candidates : array of shape (m, dimensions)
        The candidates.

    Attributes
    ----------
    posterior : Posterior
        The posterior after all added observations.
    """

    def __init__(self, posterior: Posterior, candidates: Array) -> None:
        self.posterior, self._candidates = posterior, candidates
        half = posterior.half(candidates)  # (n, m)
        # The list `_half` contains blocks of rows. Together, the blocks are the matrix that `Posterior.half` returns
        # for the candidates. The first block of `_half` has one row for each point of the initial posterior. Each added
        # observation appends a block with a single row to the list `_half`.
        self._half = [half]
        self._mean = half.T @ posterior.solved
        self._variance = posterior.amplitude - np.einsum("ij,ij->j", half, half)

    def predict(self) -> tuple[Array, Array]:
        """Return the mean and the standard deviation at the m candidates, as two arrays of shape (m,)."""
        return self.posterior.in_unit(self._mean, self._variance)

    def mean_at(self, points: Array) -> Array:
        """Return the predicted mean at each point in `points`."""
        return self.posterior.predict(points)[0]

    def add(self, point: Array, value: float) -> None:
        """Add an observation."""
        before = self.posterior
        after = before.extended(point, value)
        row, corner = after.factor[-1, :-1], after.factor[-1, -1]
        # Each added point adds a row to the matrix `half`. The new row is (k(point, candidates) - row @ half) / corner,
        # where k is the covariance.
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
    """Add noise to the diagonal of a covariance matrix, and compute the Cholesky factor of the result.

    If rounding makes the covariance indefinite, `cholesky` adds more noise.

    Parameters
    ----------
    matrix : array of shape (n, n)
        The covariance without noise.
    noise : float
        The noise to add to the diagonal of the covariance.

    Returns
    -------
    factor : array of shape (n, n)
        The lower Cholesky factor, in Fortran order.
    added : float
        The total noise that the function has added to the diagonal.

    Raises
    ------
    LinAlgError
        The covariance is not positive definite, even with the largest addition to its diagonal.
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
    """Return the solution x of ``factor @ x = right``, or of ``factor.T @ x = right`` if `transposed` is true.

    Parameters
    ----------
    factor : array of shape (n, n)
        A lower triangular matrix.
    right : array of shape (n, m)
        The right side of the equation.
    transposed : bool
        Whether to solve the equation with the transposed factor.
    overwrite : bool
        Whether the solution may overwrite `right`. If `overwrite` is true, `right` must be in Fortran order.

    Returns
    -------
    array of shape (n, m)
        The solution x.
    """
    return np.asarray(dtrsm(1.0, factor, right, lower=1, trans_a=int(transposed), overwrite_b=int(overwrite)))
