"""The Gaussian process: skopt's likelihood and posterior, and a kernel that is fitted as well with less work."""

import copy
import pickle

import numpy as np
import pytest
import skopt.learning
from scipy.optimize import approx_fprime
from sklearn.base import clone
from skopt.learning.gaussian_process.kernels import RBF, ConstantKernel, HammingKernel, Matern

from ledger.optimizer import gaussian_process
from ledger.optimizer.gaussian_process import GaussianProcessRegressor, standardise
from ledger.optimizer.kernels import covariance, known_kernel
from ledger.optimizer.posterior import GaussianProcessPredictions, cholesky

SETTINGS = {"normalize_y": True, "noise": "gaussian", "n_restarts_optimizer": 2, "random_state": 3}


def matern(dimensions, **settings):
    scales = Matern(length_scale=np.ones(dimensions), length_scale_bounds=[(0.01, 100)] * dimensions, nu=2.5)
    return {**SETTINGS, "kernel": ConstantKernel(1.0, (0.01, 1000.0)) * scales, **settings}


def hamming(dimensions, **settings):
    scales = HammingKernel(length_scale=np.ones(dimensions))
    return {**SETTINGS, "kernel": ConstantKernel(1.0, (0.01, 1000.0)) * scales, **settings}


def smooth(size, dimensions, seed=0):
    points = np.random.RandomState(seed).rand(size, dimensions)
    return points, np.sin(5 * points).sum(axis=1) + points[:, 0] ** 2


def one_hot(size, seed=0, noise=0.1):
    random = np.random.RandomState(seed)
    points = np.hstack([np.eye(4)[random.randint(0, 4, size)], np.eye(3)[random.randint(0, 3, size)]])
    return points, points @ np.arange(7.0) + noise * random.randn(size)


def likelihood_of(model, points, values, *, hyperprior=False):
    kernel = model.kernel + skopt.learning.gaussian_process.kernels.WhiteKernel()
    standardised, _, _ = standardise(values)
    known = known_kernel(kernel)
    assert known is not None
    return kernel, gaussian_process._NegativeLogLikelihood(known, points, standardised, float(model.alpha), hyperprior)


@pytest.mark.parametrize("case", ["matern", "hamming", "one length scale"])
def test_likelihood_and_gradient_are_those_of_scikit_learn(case):
    if case == "hamming":
        model, (points, values) = GaussianProcessRegressor(**hamming(7)), one_hot(30)
    else:
        model, (points, values) = GaussianProcessRegressor(**matern(3 if case == "matern" else 1)), smooth(30, 3)
    kernel, ours = likelihood_of(model, points, values)
    theirs = skopt.learning.GaussianProcessRegressor(kernel=clone(kernel), optimizer=None, normalize_y=True)
    theirs.fit(points, values)
    for seed in range(5):
        theta = np.random.RandomState(seed).uniform(-2, 1, len(kernel.theta))
        value, gradient = ours(theta)
        expected, expected_gradient = theirs.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=True)
        assert -value == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(-gradient, expected_gradient, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", ["matern", "hamming"])
def test_posterior_is_that_of_skopt_for_the_same_kernel(case):
    # noisy, because skopt's inverse of a covariance without noise has few right digits
    settings, (points, values) = (
        (matern(3), smooth(40, 3)) if case == "matern" else (hamming(7), one_hot(40, noise=2.0))
    )
    values = values + 0.2 * np.random.RandomState(1).randn(40)
    ours = GaussianProcessRegressor(**settings).fit(points, values)
    kernel = clone(ours.kernel_).set_params(k2__noise_level=ours.noise_)
    theirs = skopt.learning.GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True, noise="gaussian")
    theirs.fit(points, values)
    assert ours.noise_ == pytest.approx(theirs.noise_)
    assert ours.log_marginal_likelihood_value_ == pytest.approx(theirs.log_marginal_likelihood_value_)
    others = smooth(50, 3, seed=1)[0] if case == "matern" else one_hot(50, seed=1)[0]
    for mine, expected in zip(
        ours.predict(others, return_std=True), theirs.predict(others, return_std=True), strict=True
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        ours.predict(others, return_cov=True)[1], theirs.predict(others, return_cov=True)[1], atol=1e-6
    )
    if case == "matern":
        asked = {"return_std": True, "return_mean_grad": True, "return_std_grad": True}
        *_, of_mean, of_deviation = ours.posterior_.predict_with_gradients(others)
        for index in range(5):
            one = others[index : index + 1]
            *_, expected_mean, expected_deviation = theirs.predict(one, **asked)
            np.testing.assert_allclose(of_mean[index], expected_mean, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(of_deviation[index], expected_deviation, rtol=1e-5, atol=1e-6)
            # skopt's own methods work on what was fitted here
            for mine, expected in zip(ours.predict(one, **asked), theirs.predict(one, **asked), strict=True):
                np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The optimal value")
@pytest.mark.parametrize("seed", range(4))
def test_kernel_is_fitted_no_worse_than_by_skopt(seed):
    points, values = smooth(60, 4, seed)
    # odd ones have a rugged part, which a start may take for noise
    values = values + 0.1 * np.random.RandomState(seed).randn(len(values)) + (seed % 2) * np.sin(20 * points[:, 1])
    ours = GaussianProcessRegressor(**matern(4)).fit(points, values)
    theirs = skopt.learning.GaussianProcessRegressor(**matern(4)).fit(points, values)
    assert ours.log_marginal_likelihood_value_ > theirs.log_marginal_likelihood_value_ - 0.1


@pytest.mark.parametrize("case", ["matern", "hamming"])
def test_a_hyperprior_adds_its_logarithm_and_gradient(case):
    if case == "hamming":
        model, (points, values) = GaussianProcessRegressor(**hamming(7)), one_hot(20)
    else:
        model, (points, values) = GaussianProcessRegressor(**matern(3)), smooth(20, 3)
    kernel, plain = likelihood_of(model, points, values)
    _, ours = likelihood_of(model, points, values, hyperprior=True)

    def log_density(theta):
        # like Optuna's: of inverse squared length scales, of the amplitude gamma(2, 1), of the noise gamma(1.1, 30)
        amplitude, *lengths, noise = np.exp(theta)
        exponent, short = (1, 0.1) if case == "hamming" else (-2, 0.01)
        weights = np.array(lengths) ** exponent
        scales = -(0.1 / weights + short * weights).sum()
        return scales + np.log(amplitude) - amplitude + 0.1 * np.log(noise) - 30 * noise

    for seed in range(3):
        theta = np.random.RandomState(seed).uniform(-2, 1, len(kernel.theta))
        (value, gradient), (bare, bare_gradient) = ours(theta), plain(theta)
        assert bare - value == pytest.approx(log_density(theta))
        expected = approx_fprime(theta, log_density, 1e-7)
        np.testing.assert_allclose(bare_gradient - gradient, expected, rtol=1e-4, atol=1e-4)


def test_a_hyperprior_makes_no_dimension_flat_by_chance():
    points, values = smooth(8, 6)
    lengths = [
        np.exp(GaussianProcessRegressor(**matern(6), hyperprior=hyperprior).fit(points, values).theta_[1:-1])
        for hyperprior in (False, True)
    ]
    assert lengths[0].max() > 50
    assert lengths[1].max() < 10


@pytest.mark.parametrize("case", ["matern", "hamming"])
def test_an_added_value_gives_the_posterior_of_all_values(case):
    settings, (points, values) = (matern(3), smooth(30, 3)) if case == "matern" else (hamming(7), one_hot(30))
    fitted = GaussianProcessRegressor(**settings).fit(points[:22], values[:22]).posterior_
    others = points[::2] + (0.01 if case == "matern" else 0.0)
    predictions, grown = GaussianProcessPredictions(fitted, others), fitted
    for point, value in zip(points[22:], values[22:], strict=True):
        predictions.add(point, value)
        grown = grown.extended(point, value)
    without_noise = covariance(fitted.kernel, fitted.weights, fitted.amplitude, points, points)
    factor = np.linalg.cholesky(without_noise + fitted.noise * np.eye(len(points)))
    solved = np.linalg.solve(factor, (values - fitted.mean) / fitted.scale)
    np.testing.assert_allclose(grown.factor, factor, atol=1e-8)
    np.testing.assert_allclose(grown.solved, solved, atol=1e-6)
    for mine, expected in zip(predictions.predict(), grown.predict(others), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(predictions.mean_at(others), grown.predict(others)[0])


def test_gradients_are_those_of_the_predictions():
    points, values = smooth(25, 3)
    posterior = GaussianProcessRegressor(**matern(3)).fit(points, values).posterior_
    for point in smooth(4, 3, seed=5)[0]:
        *_, of_mean, of_deviation = posterior.predict_with_gradients(point[None, :])
        for which, gradient in enumerate((of_mean, of_deviation)):
            expected = approx_fprime(point, lambda x, which=which: float(posterior.predict(x[None, :])[which][0]), 1e-6)
            np.testing.assert_allclose(gradient[0], expected, rtol=1e-3, atol=1e-4)


def test_a_warm_fit_takes_few_evaluations_and_a_cold_one_a_bounded_number():
    points, values = smooth(120, 4)
    before = GaussianProcessRegressor(**matern(4)).fit(points[:112], values[:112])
    warm = GaussianProcessRegressor(**matern(4), start=before.theta_, restarts=False).fit(points, values)
    # L-BFGS-B evaluates at most 20 times a step, and on the average little more than once
    assert warm.evaluations_ <= 2 * gaussian_process.WARM_STEPS
    assert before.evaluations_ <= 2 * (3 * gaussian_process.RACED_STEPS + gaussian_process.STEPS)
    cold = GaussianProcessRegressor(**matern(4)).fit(points, values)
    assert warm.log_marginal_likelihood_value_ > cold.log_marginal_likelihood_value_ - 0.5


def test_start_is_moved_into_the_bounds():
    points, values = smooth(20, 2)
    start = [99.0, -99.0, 99.0, -99.0]
    model = GaussianProcessRegressor(**matern(2), start=start, restarts=False).fit(points, values)
    assert np.isfinite(model.theta_).all()
    assert (model.theta_ <= [*np.log([1000, 100, 100]), np.log(1e5)]).all()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.zeros(20), id="zero"),
        pytest.param(np.full(20, 7.3), id="equal"),
        pytest.param(np.full(20, 0.1) + 1e-17 * np.arange(20), id="equal to rounding"),
        pytest.param(1e300 * np.linspace(-1, 1, 20), id="huge"),
        pytest.param(1e306 * np.linspace(-1, 1, 20), id="the hugest"),
        pytest.param(np.linspace(0, 1e-300, 20), id="tiny"),
        pytest.param(np.append(np.zeros(19), 1e12), id="one far out"),
    ],
)
def test_losses_of_any_size_are_fitted(values):
    points, _ = smooth(20, 2)
    model = GaussianProcessRegressor(**matern(2)).fit(points, values)
    mean, deviation = model.predict(points, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
    spread = max(values.max() / 2 - values.min() / 2, 1e-300)
    assert np.abs(mean / 2 - values / 2).max() <= spread
    *_, of_mean, of_deviation = model.posterior_.predict_with_gradients(points[:3] * 0.9)
    assert np.isfinite(of_mean).all()
    assert np.isfinite(of_deviation).all()


@pytest.mark.parametrize("size", [1, 2])
def test_one_or_two_points_are_fitted(size):
    points, values = smooth(size, 2)
    model = GaussianProcessRegressor(**matern(2)).fit(points, values)
    mean, deviation = model.predict(smooth(10, 2, seed=1)[0], return_std=True)
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


def test_nearly_equal_points_are_fitted():
    random = np.random.RandomState(0)
    points = 0.5 + 1e-9 * random.rand(1000, 2)
    model = GaussianProcessRegressor(**matern(2)).fit(points, random.rand(1000))
    mean, deviation = model.predict(points[:10], return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
    grown = model.posterior_
    for _ in range(5):
        grown = grown.extended(points[0], 0.5)
    assert np.isfinite(grown.factor).all()


def test_a_covariance_without_noise_gets_some():
    singular = np.ones((50, 50))
    factor, noise = cholesky(singular, 0.0)
    assert 0 < noise <= 1e-4
    np.testing.assert_allclose(factor @ factor.T, singular + noise * np.eye(50), atol=1e-12)
    with pytest.raises(np.linalg.LinAlgError, match="2 points is not positive definite"):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]), 0.0)


def test_a_large_history_has_its_kernel_fitted_to_a_sample(monkeypatch):
    monkeypatch.setattr(gaussian_process, "FITTED_TO", 60)
    monkeypatch.setattr(gaussian_process, "RACED_ON", 60)
    points, values = smooth(200, 2)
    sizes = []
    built = gaussian_process._NegativeLogLikelihood.__init__

    def spy(self, shape, points, values, *rest):
        sizes.append(len(points))
        built(self, shape, points, values, *rest)

    monkeypatch.setattr(gaussian_process._NegativeLogLikelihood, "__init__", spy)
    model = GaussianProcessRegressor(**matern(2)).fit(points, values)
    assert sizes == [60, 60]
    assert len(model.posterior_.points) == 200
    assert model.subset_ is None
    assert np.abs(model.predict(points) - values).max() < 0.1


def test_a_large_posterior_knows_the_best_the_latest_and_a_sample(monkeypatch):
    monkeypatch.setattr(gaussian_process, "FITTED_TO", 60)
    monkeypatch.setattr(gaussian_process, "MODELLED", 100)
    points, values = smooth(400, 2)
    model = GaussianProcessRegressor(**matern(2)).fit(points, values)
    assert model.subset_ is not None
    chosen = set(model.subset_.tolist())
    assert len(chosen) == len(model.subset_) == len(model.posterior_.points) == 100
    assert chosen >= set(np.argsort(values)[:25].tolist())
    assert chosen >= set(range(375, 400))
    assert np.abs(model.predict(points) - values).max() < 0.2
    assert GaussianProcessRegressor(**matern(2)).fit(points, values).theta_.tolist() == model.theta_.tolist()


@pytest.mark.filterwarnings("ignore:The optimal value")
@pytest.mark.parametrize(
    "change",
    [
        {"kernel": ConstantKernel(1.0) * RBF(1.0)},
        {"kernel": ConstantKernel(1.0) * Matern(1.0, nu=1.5)},
        {"kernel": ConstantKernel(1.0, "fixed") * Matern(1.0, nu=2.5)},
        {"kernel": ConstantKernel(1.0) * Matern(1.0, "fixed", nu=2.5)},
        {"kernel": None},
        {"noise": 0.1},
        {"alpha": np.full(12, 1e-6)},
        {"optimizer": None},
    ],
)
def test_other_kernels_and_settings_are_fitted_by_skopt(change):
    points, values = smooth(12, 2)
    settings = {**matern(2), **change}
    ours, theirs = GaussianProcessRegressor(**settings), skopt.learning.GaussianProcessRegressor(**clone_of(settings))
    assert not ours.is_fast
    np.testing.assert_array_equal(ours.fit(points, values).predict(points), theirs.fit(points, values).predict(points))


def clone_of(settings):
    kernel = settings["kernel"]
    return {**settings, "kernel": kernel if kernel is None else clone(kernel)}


@pytest.mark.parametrize(
    ("points", "values", "message"),
    [
        ([[0.0], [1.0]], [1.0], "of shape"),
        ([[0.0], [1.0]], [1.0, np.nan], "finite"),
        ([[0.0], [np.inf]], [1.0, 2.0], "finite"),
        (np.empty((0, 1)), [], "of shape"),
    ],
)
def test_bad_input_is_refused(points, values, message):
    with pytest.raises(ValueError, match=message):
        GaussianProcessRegressor(**matern(1)).fit(points, values)


def test_a_model_can_be_pickled_and_copied():
    points, values = smooth(20, 2)
    model = GaussianProcessRegressor(**matern(2)).fit(points, values)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.predict(points), model.predict(points))
    with pytest.raises(AttributeError, match="no attribute 'K_inv_'"):
        _ = clone(model).K_inv_
