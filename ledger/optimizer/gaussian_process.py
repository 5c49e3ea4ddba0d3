"""Gaussian processes: skopt's model with the same posterior, in a fraction of its time.

The time goes three ways in skopt, and is saved in three. The likelihood and its gradient (Rasmussen and Williams 2006,
*Gaussian Processes for Machine Learning*, algorithm 2.1 and equation 5.9) are computed once a step, over the pairs of
points, and every length scale's derivative by one matrix product, where the generic kernel objects build an array of
points by points by dimensions. The variance of many points is one triangular solve, where skopt has an `einsum` of
three operands that does not reach BLAS. And a point is added to a fitted model by one row of its Cholesky factor.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import skopt.learning
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, lapack
from scipy.linalg.blas import dtrsm
from scipy.optimize import minimize
from sklearn.utils import check_random_state
from skopt.learning.gaussian_process.kernels import ConstantKernel, HammingKernel, Matern, Product, Sum, WhiteKernel

Array = NDArray[np.float64]

# Beyond so many points the kernel is fitted to a random sample of so many, which the posterior is not.
FITTED_TO = 500
# Beyond so many, several starts are compared on a random sample of so many.
RACED_ON = 128
# Beyond so many the posterior is that of so many: a quarter the best, a quarter the latest, and of the rest a sample.
MODELLED = 1_500
# Steps of L-BFGS-B: from the kernel that was fitted before; from each of several starts; and from the best of these.
WARM_STEPS, RACED_STEPS, STEPS = 12, 20, 40
# The hyperprior's weights of long length scales, of the noise's logarithm and of the noise; see also `Profile`.
LONG, NOISE_LOGARITHM, NOISE = 0.1, 0.1, 30.0
# What is added to the diagonal where a covariance is not positive definite, in shares of its mean.
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)
# Points whose covariances are computed at once, so that they stay in the processor's cache.
BLOCK = 64


@dataclass(frozen=True)
class Profile:
    """A kernel as a function of a squared distance, ``t = sum(length_scale ** exponent * difference ** 2)``.

    Attributes
    ----------
    value : callable
        Returns the correlation at `t`.
    value_and_slope : callable
        Returns also its derivative by `t`.
    exponent : int
        -2 where a length scale is a length, 1 where it is a weight.
    against_short : float
        The hyperprior's weight of short length scales.
    """

    value: Callable[[Array], Array]
    value_and_slope: Callable[[Array], tuple[Array, Array]]
    exponent: int
    against_short: float


def _matern(t: Array) -> Array:
    root = np.sqrt(5.0 * t)
    return np.asarray((1.0 + root + root * root * (1.0 / 3.0)) * np.exp(-root))


def _matern_and_slope(t: Array) -> tuple[Array, Array]:
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


# One-hot columns differ by 0 or 1, so that the square of a difference is the difference.
_PROFILES = {
    Matern: Profile(_matern, _matern_and_slope, -2, 0.01),
    HammingKernel: Profile(_hamming, _hamming_and_slope, 1, 0.1),
}


def profile(kernel: Any) -> Profile | None:
    """Return the profile of skopt's own GP kernel, an amplitude times a Matern 5/2 or a Hamming kernel, or None.

    None also where one of its parameters is fixed.
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
    return _PROFILES.get(type(kernel.k2))


@dataclass(frozen=True)
class Posterior:
    """What is known of a function after its values at some points.

    Attributes
    ----------
    profile : Profile
    weights : array of shape (dimensions,)
        ``length_scale ** exponent``.
    amplitude : float
        The kernel's; a variance of the standardised values.
    noise : float
        All that is added to the diagonal of the covariance.
    points : array of shape (points, dimensions)
    factor : array of shape (points, points)
        Lower Cholesky factor of the covariance of the points, in Fortran's order.
    solved : array of shape (points,)
        The standardised values, solved by the factor.
    mean, scale : float
        Of the values; a predicted value is ``mean + scale *`` a standardised one.
    """

    profile: Profile
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
        """The values, solved by the whole covariance."""
        return _solve(self.factor, self.solved[:, None], transposed=True)[:, 0]

    def half(self, points: Array) -> Array:
        """Return the covariance of this one's points with others, solved by the factor; one column a point."""
        covariance = _covariance(self.profile, self.weights, self.amplitude, points, self.points)
        return _solve(self.factor, covariance.T, overwrite=True)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at points of shape (n, dimensions)."""
        half = self.half(points)
        return self.of_solved(half.T @ self.solved, self.amplitude - np.einsum("ij,ij->j", half, half))

    def means(self, points: Array) -> Array:
        """Return the means alone at points of shape (n, dimensions), which need no triangular solve a point."""
        covariance = _covariance(self.profile, self.weights, self.amplitude, points, self.points)
        return np.asarray(self.mean + self.scale * (covariance @ self.dual))

    def of_averages(self, groups: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the function's averages over groups of points.

        Parameters
        ----------
        groups : array of shape (groups, n, dimensions)
        """
        averaged, prior = [], []
        for points in groups:
            averaged.append(_covariance(self.profile, self.weights, self.amplitude, points, self.points).mean(axis=0))
            prior.append(_covariance(self.profile, self.weights, self.amplitude, points, points).mean())
        half = _solve(self.factor, np.array(averaged).T)
        return self.of_solved(half.T @ self.solved, np.array(prior) - np.einsum("ij,ij->j", half, half))

    def of_solved(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of standardised ones, of which a variance may be rounded below zero."""
        return self.mean + self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 0.0))

    def predict_with_gradients(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Return also the gradients of both, of shape (n, dimensions); that of a deviation of zero is zero."""
        value, slope = self.profile.value_and_slope(_distances(points, self.points, self.weights))
        half = _solve(self.factor, self.amplitude * value.T)
        variance = self.amplitude - np.einsum("ij,ij->j", half, half)
        mean = half.T @ self.solved
        slope *= self.amplitude
        of_mean = self._gradient(points, slope * self.dual)
        # of a variance it is -2 times that of half its square root's
        of_deviation = -self._gradient(points, slope * _solve(self.factor, half, transposed=True).T)
        deviation = np.sqrt(np.maximum(variance, 0.0))[:, None]
        of_deviation = np.divide(of_deviation, deviation, out=np.zeros_like(of_deviation), where=deviation > 0)
        return *self.of_solved(mean, variance), self.scale * of_mean, self.scale * of_deviation

    def _gradient(self, points: Array, slopes: Array) -> Array:
        """Sum, over this one's points, of each one's slope times the gradient of its squared distance."""
        return np.asarray(2.0 * self.weights * (slopes.sum(axis=1)[:, None] * points - slopes @ self.points))

    def half_row(self, point: Array) -> tuple[Array, float]:
        """Return what a new point appends to the factor: a row of shape (points,), and its diagonal element."""
        row = self.half(point[None, :])[:, 0]
        # rounding aside, what is left of the amplitude is not negative
        return row, math.sqrt(max(self.amplitude + self.noise - float(row @ row), self.noise))

    def extended(self, point: Array, value: float) -> "Posterior":
        """Return the posterior after one more value, the kernel and the standardisation kept."""
        row, corner = self.half_row(point)
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


class Screen:
    """Points whose posterior is kept up to date while values are added to it one by one.

    Parameters
    ----------
    posterior : Posterior
    points : array of shape (n, dimensions)
    """

    def __init__(self, posterior: Posterior, points: Array) -> None:
        self.posterior, self.points = posterior, points
        half = posterior.half(points)
        self._half = [half]
        self._mean = half.T @ posterior.solved
        self._variance = posterior.amplitude - np.einsum("ij,ij->j", half, half)

    def predict(self) -> tuple[Array, Array]:
        """Return mean and standard deviation at the points."""
        return self.posterior.of_solved(self._mean, self._variance)

    def mean_at(self, points: Array) -> Array:
        """Return the mean at other points."""
        return self.posterior.predict(points)[0]

    def add(self, point: Array, value: float) -> None:
        """Add a value to the posterior."""
        before = self.posterior
        after = before.extended(point, value)
        row, corner = after.factor[-1, :-1], after.factor[-1, -1]
        with_new = before.amplitude * before.profile.value(_distances(point[None, :], self.points, before.weights))[0]
        start = 0
        for half in self._half:
            with_new = with_new - row[start : start + len(half)] @ half
            start += len(half)
        with_new /= corner
        self._half.append(with_new[None, :])
        self._mean = self._mean + with_new * after.solved[-1]
        self._variance = self._variance - with_new**2
        self.posterior = after


class GaussianProcessRegressor(skopt.learning.GaussianProcessRegressor):  # type: ignore[misc]
    """skopt's regressor, fitted and asked faster where its kernel is one that `profile` knows; else as skopt's own.

    With `optimizer` None and a `start` the kernel's parameters are these. Else they have the highest likelihood, as in
    skopt, or with a hyperprior are the most probable ones after the values: of few points the likelihood alone
    makes something of every chance, one dimension flat and another rugged.

    Parameters
    ----------
    start : array of shape (kernel's parameters,), optional
        Natural logarithms of a kernel's parameters to begin from, the noise last; as in `theta_`.
    restarts : bool
        Begin from the kernel's own parameters and `n_restarts_optimizer` random ones, too. Without `start` that is so
        in any case.
    hyperprior : bool
        Whether a kernel's parameters have a prior: that of Optuna's GPSampler, a weak one around length scales of the
        range, an amplitude of 1, and little noise, but with a tenth of its weight against short scales of numbers: with
        all of it, searches ended further from the optimum of Rastrigin's function, which is rugged.

    Attributes
    ----------
    theta_ : array
        Natural logarithms of the fitted kernel's parameters, its noise among them, which skopt's `kernel_` has as zero.
    posterior_ : Posterior
        Only where the kernel is known.
    evaluations_ : int
        Of the likelihood and its gradient.
    subset_ : array of int or None
        Which of the points the posterior knows, where there are too many for it (see `MODELLED`); None for all.
    """

    def __init__(
        self,
        kernel: Any = None,
        alpha: Any = 1e-10,
        optimizer: Any = "fmin_l_bfgs_b",
        n_restarts_optimizer: int = 0,
        normalize_y: bool = False,
        copy_X_train: bool = True,
        random_state: Any = None,
        noise: Any = None,
        start: Any = None,
        restarts: bool = True,
        hyperprior: bool = False,
    ) -> None:
        super().__init__(kernel, alpha, optimizer, n_restarts_optimizer, normalize_y, copy_X_train, random_state, noise)
        self.start = start
        self.restarts = restarts
        self.hyperprior = hyperprior

    @property
    def is_fast(self) -> bool:
        """Whether it is fitted here, and not by skopt."""
        return (
            profile(self.kernel) is not None
            and self.noise == "gaussian"
            and (self.optimizer == "fmin_l_bfgs_b" or self._is_given)
            and np.ndim(self.alpha) == 0
        )

    @property
    def _is_given(self) -> bool:
        return self.optimizer is None and self.start is not None

    def fit(self, X: Any, y: Any) -> "GaussianProcessRegressor":
        """Fit the kernel to values `y` of shape (n,) at points `X` of shape (n, dimensions)."""
        if not self.is_fast:
            super().fit(X, y)
            return self
        points, values = np.array(X, dtype=float), np.array(y, dtype=float)
        if points.ndim != 2 or values.shape != (len(points),) or not len(points):
            raise ValueError(
                f"expected X of shape (n, dimensions) and y of shape (n,), got {np.shape(X)}, {np.shape(y)}"
            )
        if not (np.isfinite(points).all() and np.isfinite(values).all()):
            raise ValueError("X and y have to be finite")
        standardised, mean, scale = standardise(values) if self.normalize_y else (values, 0.0, 1.0)
        kernel = self.kernel if isinstance(self.kernel, Sum) else self.kernel + WhiteKernel()
        shape = profile(kernel)
        assert shape is not None
        random = check_random_state(self.random_state)
        shuffled = random.permutation(len(points))

        def likelihood_of(size: int) -> _Likelihood:
            sample = np.sort(shuffled[:size])
            return _Likelihood(shape, points[sample], standardised[sample], float(self.alpha), self.hyperprior)

        starts = self._starts(kernel, random)
        if self._is_given:
            theta, self.evaluations_ = starts[0], 0
        else:
            # where there is one start, there is no race
            raced = likelihood_of(RACED_ON if len(starts) > 1 else 1)
            fitted = likelihood_of(FITTED_TO)
            theta = _maximum(raced, fitted, starts, kernel.bounds)
            self.evaluations_ = raced.evaluations + fitted.evaluations

        self.subset_ = _representatives(values, random) if len(points) > MODELLED else None
        if self.subset_ is not None:
            points, standardised = points[self.subset_], standardised[self.subset_]
        amplitude, *lengths, noise = np.exp(theta)
        weights = _weights(np.array(lengths), shape, points.shape[1])
        covariance = _covariance(shape, weights, float(amplitude), points, points)
        factor, added = _factor(covariance, noise + self.alpha)
        solved = _solve(factor, standardised[:, None])[:, 0]
        self.posterior_ = Posterior(
            shape, weights, float(amplitude), added, points, factor, solved, float(mean), float(scale)
        )
        # what scikit-learn's and skopt's own methods use
        self.theta_ = theta
        self.kernel_ = kernel.clone_with_theta(theta).set_params(k2__noise_level=0.0)
        self.noise_ = float(noise)
        self.log_marginal_likelihood_value_ = float(
            -0.5 * solved @ solved - np.log(np.diag(factor)).sum() - 0.5 * len(points) * math.log(2 * math.pi)
        )
        self.n_features_in_ = points.shape[1]
        self.X_train_, self.y_train_ = points, standardised
        self.L_, self.alpha_ = factor, self.posterior_.dual
        self._y_train_mean = self.y_train_mean_ = mean
        self._y_train_std = self.y_train_std_ = scale
        self.__dict__.pop("K_inv_", None)
        return self

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False, **gradients: Any) -> Any:
        """Predict as skopt does; see there."""
        if not hasattr(self, "posterior_") or return_cov or any(gradients.values()):
            return super().predict(X, return_std=return_std, return_cov=return_cov, **gradients)
        mean, deviation = self.posterior_.predict(np.asarray(X, dtype=float))
        return (mean, deviation) if return_std else mean

    def __getattr__(self, name: str) -> Any:
        # only skopt's gradients ask for it
        if name == "K_inv_" and "L_" in self.__dict__:
            inverse, _ = lapack.dpotri(self.L_, lower=1)
            self.K_inv_ = np.tril(inverse) + np.tril(inverse, -1).T
            return self.K_inv_
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _starts(self, kernel: Any, random: Any) -> list[Array]:
        bounds = kernel.bounds
        starts = []
        if self.start is not None:
            starts.append(np.clip(np.asarray(self.start, dtype=float), bounds[:, 0], bounds[:, 1]))
        if self.restarts or not starts:
            starts.append(kernel.theta)
            starts += [random.uniform(bounds[:, 0], bounds[:, 1]) for _ in range(self.n_restarts_optimizer)]
        return starts


class _Likelihood:
    """The negative logarithm of the marginal likelihood of values, times that of a hyperprior, and its gradient."""

    def __init__(self, shape: Profile, points: Array, values: Array, alpha: float, hyperprior: bool) -> None:
        self._profile, self._values, self._alpha, self._hyperprior = shape, values, alpha, hyperprior
        size = len(points)
        # the pairs in the order in which a lower triangle, stored by columns, is in memory
        self._columns, self._rows = np.triu_indices(size, 1)
        self._lower = self._rows + size * self._columns
        self._squares = (points[self._rows] - points[self._columns]) ** 2
        self.evaluations = 0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        self.evaluations += 1
        amplitude, *lengths, noise = np.exp(theta)
        size = len(self._values)
        weights = _weights(np.array(lengths), self._profile, self._squares.shape[1])
        value, slope = self._profile.value_and_slope(self._squares @ weights)
        covariance = np.empty(size * size)
        covariance[self._lower] = amplitude * value
        covariance[:: size + 1] = amplitude + noise + self._alpha
        factor, failed = lapack.dpotrf(covariance.reshape(size, size, order="F"), lower=1, overwrite_a=1, clean=0)
        if failed:
            return math.inf, np.zeros_like(theta)
        dual, _ = lapack.dpotrs(factor, self._values, lower=1)
        half_logarithm = np.log(np.diag(factor)).sum()
        inverse = lapack.dpotri(factor, lower=1, overwrite_c=1)[0].ravel(order="F")
        # dual dualᵀ - inverse: its diagonal, and each of its pairs, which counts twice
        diagonal = (dual**2 - inverse[:: size + 1]).sum()
        inner = dual[self._rows] * dual[self._columns] - inverse[self._lower]
        amplitude_part = amplitude * (2.0 * inner @ value + diagonal)
        slope *= inner
        length_part = 2.0 * self._profile.exponent * amplitude * weights * (slope @ self._squares)
        if len(lengths) == 1:
            length_part = length_part.sum(keepdims=True)
        gradient = 0.5 * np.concatenate([[amplitude_part], length_part, [noise * diagonal]])
        likelihood = -0.5 * self._values @ dual - half_logarithm - 0.5 * size * math.log(2 * math.pi)
        if self._hyperprior:
            density, slope = _log_hyperprior(theta, self._profile)
            likelihood, gradient = likelihood + density, gradient + slope
        return -float(likelihood), -gradient


def _log_hyperprior(theta: Array, shape: Profile) -> tuple[float, Array]:
    """Return the logarithm of the hyperprior's density but for a constant, and its gradient by `theta`."""
    weights = np.exp(shape.exponent * theta[1:-1])
    amplitude, noise = np.exp(theta[0]), np.exp(theta[-1])
    density = theta[0] - amplitude + NOISE_LOGARITHM * theta[-1] - NOISE * noise
    density -= (LONG / weights + shape.against_short * weights).sum()
    by_length = shape.exponent * (LONG / weights - shape.against_short * weights)
    return float(density), np.concatenate([[1 - amplitude], by_length, [NOISE_LOGARITHM - NOISE * noise]])


def _maximum(raced: _Likelihood, fitted: _Likelihood, starts: list[Array], bounds: Array) -> Array:
    """Follow the gradient: of several starts for some steps, and then on from the best."""

    def follow(likelihood: _Likelihood, start: Array, steps: int) -> Any:
        return minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})

    if len(starts) == 1:
        return np.asarray(follow(fitted, starts[0], WARM_STEPS).x)
    best = min((follow(raced, start, RACED_STEPS) for start in starts), key=lambda result: float(result.fun))
    return np.asarray(follow(fitted, best.x, STEPS).x)


def _representatives(values: Array, random: np.random.RandomState) -> NDArray[np.intp]:
    """Choose the points, by their indices, that speak for all."""
    indices = np.arange(len(values))
    kept = np.union1d(np.argsort(values, kind="stable")[: MODELLED // 4], indices[-MODELLED // 4 :])
    others = random.permutation(np.setdiff1d(indices, kept))[: MODELLED - len(kept)]
    return np.sort(np.concatenate([kept, others]))


def standardise(values: Array) -> tuple[Array, float, float]:
    """Return values less their mean over their standard deviation, with both: a deviation of 1 for equal ones.

    In shares of the largest, since the largest floats, squared, would be infinite.
    """
    largest = float(np.abs(values).max()) or 1.0
    shares = values / largest
    mean, deviation = float(shares.mean()), float(shares.std())
    if deviation <= 10 * np.finfo(float).eps:
        return np.zeros_like(values), float(mean * largest), 1.0
    return (shares - mean) / deviation, mean * largest, deviation * largest


def _weights(lengths: Array, shape: Profile, dimensions: int) -> Array:
    weights = lengths.astype(float) ** shape.exponent
    return weights if len(weights) == dimensions else np.full(dimensions, weights[0])


def _distances(a: Array, b: Array, weights: Array) -> Array:
    """Return the squared distances of rows of `a` to rows of `b`, by one matrix product."""
    scaled = a * weights
    t = scaled @ b.T
    t *= -2.0
    t += np.einsum("ij,ij->i", scaled, a)[:, None]
    t += ((b**2) @ weights)[None, :]
    return np.maximum(t, 0.0, out=t)


def _covariance(shape: Profile, weights: Array, amplitude: float, a: Array, b: Array) -> Array:
    """Return the covariance of points `a`, a row each, with points `b`."""
    covariance = np.empty((len(a), len(b)))
    for start in range(0, len(a), BLOCK):
        block = shape.value(_distances(a[start : start + BLOCK], b, weights))
        np.multiply(block, amplitude, out=covariance[start : start + BLOCK])
    return covariance


def _factor(covariance: Array, noise: float) -> tuple[Array, float]:
    """Return the lower Cholesky factor of a covariance with noise, and the noise that it took."""
    size = len(covariance)
    for jitter in JITTERS:
        added = float(noise + jitter * np.diag(covariance).mean())
        noisy = covariance.copy(order="F")
        noisy.flat[:: size + 1] += added
        factor, failed = lapack.dpotrf(noisy, lower=1, overwrite_a=1, clean=1)
        if not failed:
            return factor, added
    raise LinAlgError(f"the covariance of {size} points is not positive definite")


def _solve(factor: Array, right: Array, *, transposed: bool = False, overwrite: bool = False) -> Array:
    return np.asarray(dtrsm(1.0, factor, right, lower=1, trans_a=int(transposed), overwrite_b=int(overwrite)))
