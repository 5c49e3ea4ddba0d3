"""Gaussian processes: skopt's regressor with the same posterior, fitted in a fraction of its time.

The likelihood of a kernel and its gradient (Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*,
algorithm 2.1 and equation 5.9) are computed over the pairs of points, and the derivatives by all length scales in one
matrix product. scikit-learn's kernel objects build an array of points by points by dimensions for them.
"""

import math
from typing import Any

import numpy as np
import skopt.learning
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize
from sklearn.utils import check_random_state
from skopt.learning.gaussian_process.kernels import Sum, WhiteKernel

from ledger.optimizer.kernels import Kernel, covariance, known_kernel
from ledger.optimizer.posterior import Posterior, cholesky, solve

Array = NDArray[np.float64]

# Beyond so many points the kernel is fitted to a random sample of so many; the posterior still knows all points.
FITTED_TO = 500
# Beyond so many, several starts are compared on a random sample of so many.
RACED_ON = 128
# Beyond so many the posterior knows so many: a quarter the best, a quarter the latest, and of the rest a sample.
MODELLED = 1_500
# Steps of L-BFGS-B: from the kernel that was fitted before; from each of several starts; and from the best of these.
WARM_STEPS, RACED_STEPS, STEPS = 12, 20, 40
# The hyperprior's weights of long length scales, of the noise's logarithm and of the noise.
LONG, NOISE_LOGARITHM, NOISE = 0.1, 0.1, 30.0


class GaussianProcessRegressor(skopt.learning.GaussianProcessRegressor):  # type: ignore[misc]
    """`skopt.learning.GaussianProcessRegressor`, fitted and asked faster where `known_kernel` knows its kernel.

    With any other kernel, and where `noise`, `alpha` or `optimizer` is not as skopt's `Optimizer` has them, it is
    skopt's own. With `optimizer` None and a `start` the kernel's parameters are these. Else they have the highest
    likelihood, as in skopt, or with a hyperprior the highest posterior density: with few points the likelihood alone
    overfits, so that one dimension becomes flat and another rugged.

    Parameters
    ----------
    kernel : skopt.learning.gaussian_process.kernels.Kernel, optional
        The covariance; None is skopt's default.
    alpha : float or array of shape (n,)
        Added to the diagonal of the covariance.
    optimizer : "fmin_l_bfgs_b", callable or None
        How the kernel is fitted; None keeps it.
    n_restarts_optimizer : int
        Random starts of the fit, beside the kernel's own parameters.
    normalize_y : bool
        Whether values are standardised before they are fitted.
    copy_X_train : bool
        As in scikit-learn.
    random_state : int, RandomState or None
        For the random starts and the samples of large histories.
    noise : "gaussian", float or None
        "gaussian" fits the variance of the noise; else as in skopt.
    start : array of shape (parameters,), optional
        Natural logarithms of a kernel's parameters to begin from, the noise last, as in `theta_`.
    restarts : bool
        Whether a fit also begins from the kernel's own parameters and `n_restarts_optimizer` random ones. Without
        `start` it does in any case.
    hyperprior : bool
        Whether the kernel's parameters have a prior. It is that of Optuna's GPSampler: a weak one around length scales
        of the range, an amplitude of 1 and little noise, but with a tenth of its weight against short length scales of
        numbers. With all of that weight, searches ended further from the optimum of Rastrigin's function, which is
        rugged.

    Attributes
    ----------
    theta_ : array of shape (parameters,)
        Natural logarithms of the fitted kernel's parameters and, last, of its noise, which is zero in skopt's
        `kernel_`.
    posterior_ : Posterior
        Only where the kernel is known.
    evaluations_ : int
        How often the likelihood and its gradient were computed.
    subset_ : array of int or None
        The points that the posterior knows, where there are more than `MODELLED`; None where it knows all.

    Examples
    --------
    >>> import numpy as np
    >>> from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern
    >>> points = np.linspace(0.0, 1.0, 12)[:, None]
    >>> model = GaussianProcessRegressor(
    ...     ConstantKernel(1.0) * Matern(0.3, nu=2.5), noise="gaussian", normalize_y=True, random_state=0
    ... )
    >>> mean, deviation = model.fit(points, np.sin(6 * points[:, 0])).predict([[0.45]], return_std=True)
    >>> print(f"{mean[0]:.2f}, where sin(2.7) is {np.sin(2.7):.2f}")
    0.43, where sin(2.7) is 0.43
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
            known_kernel(self.kernel) is not None
            and self.noise == "gaussian"
            and (self.optimizer == "fmin_l_bfgs_b" or self._is_given)
            and np.ndim(self.alpha) == 0
        )

    @property
    def _is_given(self) -> bool:
        return self.optimizer is None and self.start is not None

    def fit(self, X: Any, y: Any) -> "GaussianProcessRegressor":
        """Fit the kernel and the posterior.

        Parameters
        ----------
        X : array of shape (n, dimensions)
            At least one point; finite.
        y : array of shape (n,)
            The values there; finite.

        Returns
        -------
        GaussianProcessRegressor
            Itself.

        Raises
        ------
        ValueError
            The shapes do not fit, or something is not finite.
        """
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
        noisy_kernel = self.kernel if isinstance(self.kernel, Sum) else self.kernel + WhiteKernel()
        kernel = known_kernel(noisy_kernel)
        assert kernel is not None
        random = check_random_state(self.random_state)
        theta = self._fitted(noisy_kernel, kernel, points, standardised, random)

        self.subset_ = _subset(values, random) if len(points) > MODELLED else None
        if self.subset_ is not None:
            points, standardised = points[self.subset_], standardised[self.subset_]
        amplitude, *length_scales, noise = np.exp(theta)
        weights = kernel.weights(np.array(length_scales), points.shape[1])
        factor, added = cholesky(covariance(kernel, weights, float(amplitude), points, points), noise + self.alpha)
        solved = solve(factor, standardised[:, None])[:, 0]
        self.posterior_ = Posterior(
            kernel, weights, float(amplitude), added, points, factor, solved, float(mean), float(scale)
        )
        # what scikit-learn's and skopt's own methods use
        self.theta_ = theta
        self.kernel_ = noisy_kernel.clone_with_theta(theta).set_params(k2__noise_level=0.0)
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
        """Return the mean at points, and what else is asked for, as skopt's does.

        Parameters
        ----------
        X : array of shape (n, dimensions)
        return_std, return_cov : bool
            Whether the standard deviations or the covariance are returned too.
        **gradients : bool
            skopt's `return_mean_grad` and `return_std_grad`, for one point.

        Returns
        -------
        array of shape (n,), or a tuple of it and what was asked for
        """
        if not hasattr(self, "posterior_") or return_cov or any(gradients.values()):
            return super().predict(X, return_std=return_std, return_cov=return_cov, **gradients)
        mean, deviation = self.posterior_.predict(np.asarray(X, dtype=float))
        return (mean, deviation) if return_std else mean

    def __getattr__(self, name: str) -> Any:
        # the inverse of the covariance; only skopt's gradients ask for it
        if name == "K_inv_" and "L_" in self.__dict__:
            inverse, _ = lapack.dpotri(self.L_, lower=1)
            self.K_inv_ = np.tril(inverse) + np.tril(inverse, -1).T
            return self.K_inv_
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _fitted(self, noisy_kernel: Any, kernel: Kernel, points: Array, values: Array, random: Any) -> Array:
        """Return the logarithms of the kernel's parameters, and count the evaluations that they took."""
        shuffled = random.permutation(len(points))
        starts = self._starts(noisy_kernel, random)
        if self._is_given:
            self.evaluations_ = 0
            return starts[0]

        def likelihood_of(size: int) -> _Likelihood:
            sample = np.sort(shuffled[:size])
            return _Likelihood(kernel, points[sample], values[sample], float(self.alpha), self.hyperprior)

        # one start is compared with no other
        raced = likelihood_of(RACED_ON if len(starts) > 1 else 1)
        fitted = likelihood_of(FITTED_TO)
        theta = _maximum(raced, fitted, starts, noisy_kernel.bounds)
        self.evaluations_ = raced.evaluations + fitted.evaluations
        return theta

    def _starts(self, noisy_kernel: Any, random: Any) -> list[Array]:
        bounds = noisy_kernel.bounds
        starts = []
        if self.start is not None:
            starts.append(np.clip(np.asarray(self.start, dtype=float), bounds[:, 0], bounds[:, 1]))
        if self.restarts or not starts:
            starts.append(noisy_kernel.theta)
            starts += [random.uniform(bounds[:, 0], bounds[:, 1]) for _ in range(self.n_restarts_optimizer)]
        return starts


class _Likelihood:
    """The negative logarithm of the marginal likelihood of values, times that of a hyperprior, and its gradient.

    Parameters
    ----------
    kernel : Kernel
    points : array of shape (n, dimensions)
    values : array of shape (n,)
        Standardised.
    alpha : float
        Added to the diagonal beside the noise.
    hyperprior : bool
    """

    def __init__(self, kernel: Kernel, points: Array, values: Array, alpha: float, hyperprior: bool) -> None:
        self._kernel, self._values, self._alpha, self._hyperprior = kernel, values, alpha, hyperprior
        size = len(points)
        # the pairs in the order in which a lower triangle, stored by columns, is in memory
        self._columns, self._rows = np.triu_indices(size, 1)
        self._lower = self._rows + size * self._columns
        self._squares = (points[self._rows] - points[self._columns]) ** 2  # (pairs, dimensions)
        self.evaluations = 0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return the value and the gradient at the logarithms of the parameters."""
        self.evaluations += 1
        amplitude, *length_scales, noise = np.exp(theta)
        size = len(self._values)
        weights = self._kernel.weights(np.array(length_scales), self._squares.shape[1])
        value, slope = self._kernel.value_and_slope(self._squares @ weights)  # (pairs,)
        flat = np.empty(size * size)
        flat[self._lower] = amplitude * value
        flat[:: size + 1] = amplitude + noise + self._alpha
        factor, failed = lapack.dpotrf(flat.reshape(size, size, order="F"), lower=1, overwrite_a=1, clean=0)
        if failed:
            return math.inf, np.zeros_like(theta)
        dual, _ = lapack.dpotrs(factor, self._values, lower=1)
        half_logarithm = np.log(np.diag(factor)).sum()
        inverse = lapack.dpotri(factor, lower=1, overwrite_c=1)[0].ravel(order="F")
        # equation 5.9: d log p / d theta = 1/2 tr((dual dual^T - K^-1) dK / d theta). Of the matrix in brackets, the
        # diagonal, and each of its pairs, which counts twice:
        diagonal = (dual**2 - inverse[:: size + 1]).sum()
        inner = dual[self._rows] * dual[self._columns] - inverse[self._lower]  # (pairs,)
        amplitude_part = amplitude * (2.0 * inner @ value + diagonal)
        # by log l: dt = exponent * weight * difference^2
        slope *= inner
        length_part = 2.0 * self._kernel.exponent * amplitude * weights * (slope @ self._squares)
        if len(length_scales) == 1:
            length_part = length_part.sum(keepdims=True)
        gradient = 0.5 * np.concatenate([[amplitude_part], length_part, [noise * diagonal]])
        likelihood = -0.5 * self._values @ dual - half_logarithm - 0.5 * size * math.log(2 * math.pi)
        if self._hyperprior:
            density, slope = _log_hyperprior(theta, self._kernel)
            likelihood, gradient = likelihood + density, gradient + slope
        return -float(likelihood), -gradient


def _log_hyperprior(theta: Array, kernel: Kernel) -> tuple[float, Array]:
    """Return the logarithm of the hyperprior's density, up to a constant, and its gradient by `theta`."""
    weights = np.exp(kernel.exponent * theta[1:-1])
    amplitude, noise = np.exp(theta[0]), np.exp(theta[-1])
    density = theta[0] - amplitude + NOISE_LOGARITHM * theta[-1] - NOISE * noise
    density -= (LONG / weights + kernel.against_short * weights).sum()
    by_length = kernel.exponent * (LONG / weights - kernel.against_short * weights)
    return float(density), np.concatenate([[1 - amplitude], by_length, [NOISE_LOGARITHM - NOISE * noise]])


def _maximum(raced: _Likelihood, fitted: _Likelihood, starts: list[Array], bounds: Array) -> Array:
    """Follow the gradient from several starts for some steps, and then on from the best; from a single one at once."""

    def follow(likelihood: _Likelihood, start: Array, steps: int) -> Any:
        return minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})

    if len(starts) == 1:
        return np.asarray(follow(fitted, starts[0], WARM_STEPS).x)
    best = min((follow(raced, start, RACED_STEPS) for start in starts), key=lambda result: float(result.fun))
    return np.asarray(follow(fitted, best.x, STEPS).x)


def _subset(values: Array, random: np.random.RandomState) -> NDArray[np.intp]:
    """Return the indices, in order, of the `MODELLED` observations that stand for all."""
    indices = np.arange(len(values))
    kept = np.union1d(np.argsort(values, kind="stable")[: MODELLED // 4], indices[-MODELLED // 4 :])
    others = random.permutation(np.setdiff1d(indices, kept))[: MODELLED - len(kept)]
    return np.sort(np.concatenate([kept, others]))


def standardise(values: Array) -> tuple[Array, float, float]:
    """Return values less their mean, over their standard deviation, and both of these.

    Computed in shares of the largest value, since the squares of the largest floats would be infinite.

    Parameters
    ----------
    values : array of shape (n,)

    Returns
    -------
    standardised : array of shape (n,)
    mean, deviation : float
        The deviation is 1 where all values are equal.

    Examples
    --------
    >>> import numpy as np
    >>> standardise(np.array([1.0, 3.0]))
    (array([-1.,  1.]), 2.0, 1.0)
    """
    largest = float(np.abs(values).max()) or 1.0
    shares = values / largest
    mean, deviation = float(shares.mean()), float(shares.std())
    if deviation <= 10 * np.finfo(float).eps:
        return np.zeros_like(values), float(mean * largest), 1.0
    return (shares - mean) / deviation, mean * largest, deviation * largest
