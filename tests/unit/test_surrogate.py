"""Partial dependence and importance by the surrogate, against functions whose truth is known."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.proposals import Observation, ProposalInput, propose
from ledger.proposals.skopt_space import SpaceConverter
from ledger.proposals.surrogate import Surrogate
from ledger.study.spec import StudySpec
from tests.unit.proposed import make
from tests.unit.snapshots import SPACE, loss, snapshot


def fitted(estimator="GP", trials=60, space=None, of=loss, failed=()):
    """A surrogate of a function at random points, and its input."""
    spec = {**snapshot(1, 4, estimator=estimator).study.spec, "space": space or SPACE}
    study = StudySpec.from_spec("s", 20, spec)
    points = SpaceConverter(study.space).random(trials, 3)
    observations = [Observation(one, None if n in failed else of(one), 1.0) for n, one in enumerate(points)]
    recorded = propose(study, 9, 0, 1, ProposalInput(observations)).surrogate
    given = ProposalInput(observations, surrogate=recorded)
    return Surrogate(study, given, 10), given


def test_the_kernel_is_the_recorded_one():
    surrogate, given = fitted()
    assert given.surrogate is not None
    assert isinstance(surrogate._model, GaussianProcessRegressor)
    assert_allclose(surrogate._model.theta_, given.surrogate["theta"])
    assert surrogate._model.evaluations_ == 0, "nothing is fitted"
    assert (surrogate.observations, surrogate.known) == (60, 60)


def test_partial_dependence_is_the_function_where_it_is_additive():
    surrogate, _ = fitted()
    found = surrogate.dependences()
    assert list(found) == ["C", "depth", "kernel", "shift"]
    of_c = found["C"]
    assert (of_c.values[0], of_c.values[-1]) == (1e-3, 1e3)
    truth = np.log10(of_c.values) ** 2 / 9
    assert_allclose(of_c.mean - of_c.mean.mean(), truth - truth.mean(), atol=0.06)
    assert found["kernel"].values == ["rbf", "poly", "sigmoid"]
    assert_allclose(found["kernel"].mean - found["kernel"].mean[0], [0.0, 1.0, 0.3], atol=0.02)
    assert found["depth"].values == list(range(1, 9))
    assert all(isinstance(value, int) for value in found["depth"].values)
    assert np.ptp(found["shift"].mean) < 0.02


def test_the_deviation_of_a_partial_dependence_is_that_of_the_posterior():
    surrogate, _ = fitted(trials=12)
    groups = np.random.default_rng(1).uniform(size=(3, 20, len(surrogate._columns.bounds)))
    mean, deviation = surrogate._averages(groups)
    for index, points in enumerate(groups):
        means, covariance = surrogate._model.predict(points, return_cov=True)
        assert_allclose(mean[index], means.mean(), rtol=1e-6)
        assert_allclose(deviation[index] ** 2, covariance.mean(), rtol=1e-4)
    assert_allclose(surrogate._means(groups[0]), surrogate._model.predict(groups[0]))


def test_importance_is_the_sobol_index_of_the_function():
    surrogate, _ = fitted(trials=100)
    found = surrogate.importances()
    # C: log10(C) / 3 is uniform in [-1, 1]; the kernel: three values, equally probable
    of_c, of_kernel = 4 / 45, float(np.var([0.0, 1.0, 0.3]))
    total = of_c + of_kernel
    assert_allclose([found["C"].first, found["C"].total], of_c / total, atol=0.03)
    assert_allclose([found["kernel"].first, found["kernel"].total], of_kernel / total, atol=0.03)
    assert max(found["depth"].total, found["shift"].total) < 0.01


def test_an_interaction_counts_in_the_total_alone():
    space = [{"name": name, "type": "real", "low": -1.0, "high": 1.0} for name in ("a", "b")]
    surrogate, _ = fitted(trials=80, space=space, of=lambda params: params["a"] * params["b"])
    found = surrogate.importances()
    assert max(found["a"].first, found["b"].first) < 0.05
    assert min(found["a"].total, found["b"].total) > 0.95


@pytest.mark.parametrize("estimator", ["RF", "ET"])
def test_a_forest_ranks_parameters_and_choices_the_same(estimator):
    surrogate, _ = fitted(estimator, trials=80)
    found, of_kernel = surrogate.importances(), surrogate.dependences()["kernel"]
    assert found["kernel"].total > found["C"].total > max(found["depth"].total, found["shift"].total)
    assert np.argsort(of_kernel.mean).tolist() == [0, 2, 1]
    assert (of_kernel.deviation > 0).all()


def test_a_constant_parameter_has_no_importance():
    space = [SPACE[0], {"name": "one", "type": "categorical", "choices": ["x"]}]
    surrogate, _ = fitted(space=space, trials=10, failed=(3,))
    assert list(surrogate.dependences()) == ["C"]
    found = surrogate.importances()
    assert (found["one"].first, found["one"].total) == (0.0, 0.0)
    assert math.isclose(found["C"].total, 1.0, abs_tol=0.05)


def test_categories_alone_have_a_surrogate_too():
    space = [
        {"name": "a", "type": "categorical", "choices": ["x", "y", "z"]},
        {"name": "b", "type": "categorical", "choices": [True, False]},
    ]
    surrogate, _ = fitted(space=space, trials=6, of=lambda params: float("xyz".index(params["a"])))
    assert surrogate.importances()["a"].total > surrogate.importances()["b"].total
    assert np.argsort(surrogate.dependences()["a"].mean).tolist() == [0, 1, 2]


def test_equal_losses_make_no_parameter_important():
    surrogate, _ = fitted(trials=10, of=lambda params: 0.5)
    assert all(one.first == one.total == 0.0 for one in surrogate.importances().values())
    assert_allclose(surrogate.dependences()["C"].mean, 0.5)


def test_the_gp_of_a_large_study_knows_a_sample_of_its_trials():
    surrogate, _ = fitted(trials=1_600)
    assert (surrogate.observations, surrogate.known) == (1_600, 1_500)


def test_a_surrogate_of_losses_at_rungs_predicts_whole_trainings():
    # The value of a trial is 1 minus the loss.
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, whole=8)
    points = SpaceConverter(study.space).random(40, 5)
    at_rungs = [Observation(point, (point["x"] - 0.2) ** 2, None, 0.25) for point in points]
    whole = [Observation(point, 2 + (point["x"] - 0.7) ** 2, 1.0) for point in points[::2]]
    recorded = propose(study, 9, 0, 1, ProposalInput([*at_rungs, *whole])).surrogate
    assert recorded is not None
    for observations in ([*at_rungs, *whole], whole):
        of_x = Surrogate(study, ProposalInput(observations, surrogate=recorded), 10).dependences()["x"]
        assert_allclose(of_x.values[int(of_x.mean.argmax())], 0.7, atol=0.06)
        assert_allclose(of_x.mean.max(), 1 - 2.0, atol=0.05)
    before = propose(study, 9, 0, 1, ProposalInput(whole)).surrogate
    of_x = Surrogate(study, ProposalInput([*at_rungs, *whole], surrogate=before), 10).dependences()["x"]
    assert_allclose(of_x.mean.max(), 1 - 2.0, atol=0.05)
