"""Acquisition functions: skopt's, in logarithms, without their flat tails."""

import numpy as np
import pytest
import skopt.acquisition

from ledger.optimizer.acquisition import mes, utility

RANDOM = np.random.RandomState(0)
MEAN, DEVIATION = RANDOM.randn(200), RANDOM.uniform(0.05, 2, 200)


class Known:
    def predict(self, points, return_std):
        return MEAN, DEVIATION


def test_ei_and_pi_are_the_logarithms_of_skopts():
    points = np.zeros((len(MEAN), 1))
    for name, theirs in (("EI", skopt.acquisition.gaussian_ei), ("PI", skopt.acquisition.gaussian_pi)):
        expected = theirs(points, Known(), -0.5, 0.01)
        value = utility(name, MEAN, DEVIATION, -0.5, 0.01, 1.96).value
        np.testing.assert_allclose(np.exp(value), expected, rtol=1e-6, atol=1e-300)
    lcb = utility("LCB", MEAN, DEVIATION, -0.5, 0.01, 1.96).value
    np.testing.assert_allclose(lcb, -skopt.acquisition.gaussian_lcb(points, Known(), 1.96))
    infinite = utility("LCB", MEAN, DEVIATION, -0.5, 0.01, "inf").value
    np.testing.assert_allclose(infinite, -skopt.acquisition.gaussian_lcb(points, Known(), "inf"))


@pytest.mark.parametrize("kappa", [1.96, "inf"])
@pytest.mark.parametrize("name", ["EI", "PI", "LCB"])
def test_derivatives_are_those_of_the_values(name, kappa):
    # from far below the best loss to far above it, and across the seams of the formulas
    u = np.array([-1e5, -1.1e4, -0.9e4, -300, -40, -8, -2, -1e-6, 1e-6, 1, 5, 40])
    deviation = np.full_like(u, 0.3)
    mean = -u * 0.3
    of_mean, of_deviation = utility(name, mean, deviation, 0.0, 0.0, kappa).derivatives()

    def value(mean, deviation):
        return utility(name, mean, deviation, 0.0, 0.0, kappa).value

    step = 1e-5
    by_mean = (value(mean + step, deviation) - value(mean - step, deviation)) / (2 * step)
    by_deviation = (value(mean, deviation + step) - value(mean, deviation - step)) / (2 * step)
    np.testing.assert_allclose(of_mean, by_mean, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(of_deviation, by_deviation, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["EI", "PI", "LCB"])
def test_the_tails_are_finite_and_never_flat(name):
    mean = np.logspace(-3, 12, 200)
    found = utility(name, mean, np.ones_like(mean), 0.0, 0.0, 1.96)
    assert (np.diff(found.value) < 0).all()
    for one in (found.value, *found.derivatives()):
        assert np.isfinite(one).all()


@pytest.mark.parametrize("name", ["EI", "PI", "LCB"])
def test_extremes_are_finite(name):
    mean = np.array([-1e300, -1.0, 0.0, 1.0, 1e300])
    for deviation in (0.0, 1e-300, 1.0):
        for xi in (0.01, 1e298, np.inf):
            found = utility(name, mean, np.full_like(mean, deviation), 0.0, xi, 1.96)
            for one in found.derivatives():
                assert np.isfinite(one).all()
            assert not np.isnan(found.value).any()


def test_mes_ranks_as_that_of_skopt():
    np.random.seed(1)
    expected = skopt.acquisition.gaussian_mes(np.zeros((len(MEAN), 1)), Known(), 20_000)
    found = mes(MEAN, DEVIATION)
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=1e-3)
    assert found.argmax() == expected.argmax()


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.0), (0.0, 1.0), (3e5, 1e-9)])
def test_mes_ends_where_all_points_are_equal(mean, deviation):
    found = mes(np.full(100, mean), np.full(100, deviation))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, found[0])
