"""A Gaussian process regressor with the same posterior as skopt's regressor, but with a much faster fit.

The fit computes the distances between all pairs of points. From the distances, the fit computes the likelihood of a
kernel and the gradient of the likelihood (Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*,
algorithm 2.1 and equation 5.9). One matrix product computes the derivatives of the likelihood with respect to all
length scales. scikit-learn stores the derivatives of the covariance in an array of shape (points, points, dimensions).
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

# If a GP has more than `FITTED_TO` points, the code fits the kernel to `FITTED_TO` random points. The posterior uses at
# most `MODELLED` points.
FITTED_TO = 500
# If the fit of the kernel has several start values, the code compares the start values. The comparison of the start
# values uses the likelihood of at most `RACED_ON` random points.
RACED_ON = 128
# If a GP has more than `MODELLED` points, the posterior uses only `MODELLED` points. A quarter of the `MODELLED` points
# consists of the best points, and another quarter consists of the latest points. The code chooses the rest of the
# `MODELLED` points at random.
MODELLED = 1_500
# If the fit of the kernel has a single start value, L-BFGS-B makes at most `WARM_STEPS` steps. If the fit of the kernel
# has several start values, L-BFGS-B first makes at most `RACED_STEPS` steps from each start value. L-BFGS-B then makes
# at most `STEPS` more steps from the best of the results.
WARM_STEPS, RACED_STEPS, STEPS = 12, 20, 40
# The weights of three terms in the logarithm of the hyperprior's density. `LONG` is the weight against long length
# scales, `NOISE_LOGARITHM` is the weight of the noise's logarithm, and `NOISE` is the weight against noise.
LONG, NOISE_LOGARITHM, NOISE = 0.1, 0.1, 30.0


class GaussianProcessRegressor(skopt.learning.GaussianProcessRegressor):  # type: ignore[misc]
    """A subclass of `skopt.learning.GaussianProcessRegressor` with a faster fit and faster predictions.

    The faster code runs if `known_kernel` accepts the kernel, `noise` is "gaussian" and `alpha` is a number. In
    addition, the faster code needs one of two settings of `optimizer`. Either `optimizer` is "fmin_l_bfgs_b", or
    `optimizer` is None and `start` has a value. If the faster code does not support the arguments, the regressor uses
    skopt's own code. If `optimizer` is None, the faster code does not fit the kernel, because `start` contains the
    logarithms of the kernel's parameters. With "fmin_l_bfgs_b", the fit maximises the likelihood, like the fit of
    skopt. With a hyperprior, the fit maximises the posterior density instead of the likelihood. A GP with only a few
    points overfits if the fit maximises the likelihood. An overfitted GP is flat in one dimension and rugged in another
    dimension.

    Parameters
    ----------
    kernel : skopt.learning.gaussian_process.kernels.Kernel, optional
        The covariance function. None means skopt's default kernel.
    alpha : float or array of shape (n,)
        The value that the fit adds to the diagonal of the covariance.
    optimizer : "fmin_l_bfgs_b", callable or None
        The method that fits the kernel. If `optimizer` is None, the kernel is not fitted.
    n_restarts_optimizer : int
        The number of random start values of the fit, in addition to the kernel's own parameters.
    normalize_y : bool
        Whether the values are standardised before the fit.
    copy_X_train : bool
        The argument `copy_X_train` of scikit-learn's `GaussianProcessRegressor`.
    random_state : int, RandomState or None
        The source of the random numbers. The random numbers determine the start values and the subsets of the points.
    noise : "gaussian", float or None
        With "gaussian", the fit also estimates the variance of the noise. If `noise` is a float or None, `noise` has
        the same meaning as the parameter `noise` of skopt's regressor.
    start : array of shape (parameters,), optional
        The values of the kernel's parameters. The fit starts from these values. The parameters are natural logarithms
        in the same order as `theta_`.
    restarts : bool
        Whether a fit with `start` also starts from the kernel's own parameters and from `n_restarts_optimizer` random
        values. A fit without `start` always starts from the kernel's own parameters and from random values.
    hyperprior : bool
        Whether the kernel's parameters have a prior. The prior is the weak prior of Optuna's GPSampler, except that one
        weight differs. The prior prefers an amplitude of 1, little noise, and length scales that are as long as the
        range of a dimension. In numeric dimensions, the weight against short length scales is only a tenth of Optuna's
        weight. The Rastrigin function has many local minima. On the Rastrigin function, searches with a tenth of
        Optuna's weight came closer to the optimum than searches with Optuna's weight.

    Attributes
    ----------
    theta_ : array of shape (parameters,)
        The natural logarithms of the fitted kernel's parameters. The last element of `theta_` is the logarithm of the
        noise variance. Like skopt, the fit sets the noise in `kernel_` to zero.
    posterior_ : Posterior
        The fitted posterior. The attribute exists only after a fit by the faster code.
    evaluations_ : int
        The number of times that the fit computed the likelihood and the likelihood's gradient.
    subset_ : array of int or None
        The indices of the points that the posterior uses. If the posterior uses all points, `subset_` is None.

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
        """True if the fit of this model uses the faster code, and False if the fit uses skopt's own code."""
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
            At least one point. All coordinates must be finite.
        y : array of shape (n,)
            The value at each point. All values must be finite.

        Returns
        -------
        GaussianProcessRegressor
            The fitted regressor itself.

        Raises
        ------
        ValueError
            The shapes of `X` and `y` do not match, or a number in `X` or `y` is not finite.
        """
        if not self.is_fast:
            super().fit(X, y)
            return self
        points, values = np.asarray(X, dtype=float), np.array(y, dtype=float)
        if points.ndim != 2 or values.shape != (len(points),) or not len(points):
            raise ValueError(
                f"expected X of shape (n, dimensions) and y of shape (n,), got {np.shape(X)} and {np.shape(y)}"
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
        if self.subset_ is None:
            points = points.copy()
        else:
            points, standardised = points[self.subset_], standardised[self.subset_]
        amplitude, *length_scales, noise = np.exp(theta)
        weights = kernel.weights(np.array(length_scales), points.shape[1])
        factor, added = cholesky(covariance(kernel, weights, float(amplitude), points, points), noise + self.alpha)
        solved = solve(factor, standardised[:, None])[:, 0]
        self.posterior_ = Posterior(
            kernel, weights, float(amplitude), added, points, factor, solved, float(mean), float(scale)
        )
        # The methods that this class inherits from scikit-learn and skopt use the following attributes.
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
        """Return the predicted means and, on request, the standard deviations, the covariance or the gradients.

        The method has the same arguments and results as the method `predict` of skopt's `GaussianProcessRegressor`.

        Parameters
        ----------
        X : array of shape (n, dimensions)
            The points at which the method predicts values.
        return_std, return_cov : bool
            If `return_std` is true, the method also returns the standard deviations. If `return_cov` is true, the
            method also returns the covariance.
        **gradients : bool
            The arguments `return_mean_grad` and `return_std_grad` of skopt's method `predict`. If the caller requests a
            gradient, `X` must contain exactly one point.

        Returns
        -------
        array of shape (n,) or tuple
            The means, or a tuple of the means and the other requested values.
        """
        if not hasattr(self, "posterior_") or return_cov or any(gradients.values()):
            return super().predict(X, return_std=return_std, return_cov=return_cov, **gradients)
        mean, deviation = self.posterior_.predict(np.asarray(X, dtype=float))
        return (mean, deviation) if return_std else mean

    def __getattr__(self, name: str) -> Any:
        # The class computes the inverse of the covariance on demand, because only skopt's gradients use the inverse.
        if name == "K_inv_" and "L_" in self.__dict__:
            inverse, _ = lapack.dpotri(self.L_, lower=1)
            self.K_inv_ = np.tril(inverse) + np.tril(inverse, -1).T
            return self.K_inv_
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _fitted(self, noisy_kernel: Any, kernel: Kernel, points: Array, values: Array, random: Any) -> Array:
        """Fit the kernel, set `evaluations_`, and return the logarithms of the kernel's parameters."""
        shuffled = random.permutation(len(points))
        starts = self._starts(noisy_kernel, random)
        if self._is_given:
            self.evaluations_ = 0
            return starts[0]

        def likelihood_of(size: int) -> _NegativeLogLikelihood:
            sample = np.sort(shuffled[:size])
            return _NegativeLogLikelihood(kernel, points[sample], values[sample], float(self.alpha), self.hyperprior)

        # `_maximum` uses the likelihood `raced` only to compare several start values. With a single start value, the
        # code does not use `raced`, so `raced` gets only one point.
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


class _NegativeLogLikelihood:
    """A function of a kernel's parameters. The function returns the negative logarithm of the marginal likelihood, and
    the gradient of this negative logarithm.

    If the kernel has a hyperprior, the class multiplies the likelihood by the hyperprior's density.

    Parameters
    ----------
    kernel : Kernel
    points : array of shape (n, dimensions)
        The points to which the kernel is fitted.
    values : array of shape (n,)
        The standardised values.
    alpha : float
        A value that the class adds to the diagonal of the covariance. In addition to `alpha`, the class adds the noise
        to the diagonal.
    hyperprior : bool
    """

    def __init__(self, kernel: Kernel, points: Array, values: Array, alpha: float, hyperprior: bool) -> None:
        self._kernel, self._values, self._alpha, self._hyperprior = kernel, values, alpha, hyperprior
        size = len(points)
        # Each element below the diagonal of the covariance matrix belongs to a pair of points. The code stores the
        # pairs column by column.
        self._columns, self._rows = np.triu_indices(size, 1)
        self._lower = self._rows + size * self._columns
        self._squares = (points[self._rows] - points[self._columns]) ** 2  # (pairs, dimensions)
        self.evaluations = 0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return the negative log-likelihood and the gradient at the logarithms `theta` of the kernel's parameters."""
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
        # Equation 5.9 of Rasmussen and Williams 2006 is d log p / d theta = 1/2 tr((dual dual^T - K^-1) dK / d theta).
        # M is the matrix dual dual^T - K^-1. `diagonal` is the trace of M, and `inner` contains the elements of M below
        # the diagonal. Both M = dual dual^T - K^-1 and dK / d theta are symmetric. Therefore the trace of the product
        # of both matrices contains each element below the diagonal twice.
        diagonal = (dual**2 - inverse[:: size + 1]).sum()
        inner = dual[self._rows] * dual[self._columns] - inverse[self._lower]  # (pairs,)
        amplitude_part = amplitude * (2.0 * inner @ value + diagonal)
        # The derivative of the scaled squared distance t with respect to the logarithm of a length scale is exponent *
        # weight * difference^2.
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
    """Return the logarithm of the hyperprior's density, and the gradient of the logarithm. The logarithm omits a
    constant term."""
    weights = np.exp(kernel.exponent * theta[1:-1])
    amplitude, noise = np.exp(theta[0]), np.exp(theta[-1])
    density = theta[0] - amplitude + NOISE_LOGARITHM * theta[-1] - NOISE * noise
    density -= (LONG / weights + kernel.against_short * weights).sum()
    by_length = kernel.exponent * (LONG / weights - kernel.against_short * weights)
    return float(density), np.concatenate([[1 - amplitude], by_length, [NOISE_LOGARITHM - NOISE * noise]])


def _maximum(
    raced: _NegativeLogLikelihood, fitted: _NegativeLogLikelihood, starts: list[Array], bounds: Array
) -> Array:
    """Return the logarithms of the kernel parameters that maximise the likelihood.

    From each start value, L-BFGS-B makes a few steps to maximise the likelihood `raced`. From the best result for
    `raced`, L-BFGS-B then maximises the likelihood `fitted`. If there is a single start value, L-BFGS-B maximises only
    the likelihood `fitted`.
    """

    def follow(likelihood: _NegativeLogLikelihood, start: Array, steps: int) -> Any:
        return minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})

    if len(starts) == 1:
        return np.asarray(follow(fitted, starts[0], WARM_STEPS).x)
    best = min((follow(raced, start, RACED_STEPS) for start in starts), key=lambda result: float(result.fun))
    return np.asarray(follow(fitted, best.x, STEPS).x)


def _subset(values: Array, random: np.random.RandomState) -> NDArray[np.intp]:
    """Choose `MODELLED` observations for the posterior, and return their sorted indices."""
    indices = np.arange(len(values))
    kept = np.union1d(np.argsort(values, kind="stable")[: MODELLED // 4], indices[-MODELLED // 4 :])
    others = random.permutation(np.delete(indices, kept))[: MODELLED - len(kept)]
    return np.sort(np.concatenate([kept, others]))


def standardise(values: Array) -> tuple[Array, float, float]:
    """Subtract the mean of `values` from each value, and divide each difference by the standard deviation of `values`.

    The function first divides `values` by the largest absolute value, because the square of a very large float is
    infinite.

    Parameters
    ----------
    values : array of shape (n,)
        The values to standardise.

    Returns
    -------
    standardised : array of shape (n,)
        The standardised values.
    mean, deviation : float
        The mean and the standard deviation of `values`. If all values are equal, the function returns 1 as the standard
        deviation.

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


def root_two_step(points: int) -> int:
    """Return the largest integer n for which sqrt(2)**n is at most the number of points."""
    return int(2 * np.log2(max(points, 1)))
