"""The expectation of the surrogate at a point, compared with the model itself and with the formulas."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from ledger.optimizer import Optimizer
from ledger.optimizer.prediction import prediction_at
from ledger.proposals import Observation, ProposalInput, expectation, propose
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

POINT = [0.4, 1]


def told(estimator: str, acq_func: str, **options: Any) -> Optimizer:
    random = np.random.default_rng(3)
    optimizer = Optimizer(
        [(0.0, 1.0), (0, 4)], estimator, n_initial_points=1, acq_func=acq_func, random_state=1, acq_func_kwargs=options
    )
    points = [[float(random.uniform()), int(random.integers(0, 5))] for _ in range(15)]
    optimizer.tell(points, [(x - 0.5) ** 2 + 0.1 * y for x, y in points])
    return optimizer


@pytest.mark.parametrize("estimator", ["GP", "RF", "ET"])
def test_a_prediction_is_that_of_the_model(estimator):
    optimizer = told(estimator, "EI", xi=0.01)
    found = prediction_at(optimizer, POINT)
    row = optimizer.space.transform([POINT])
    mean, deviation = optimizer.models[-1].predict(row, return_std=True)
    assert found.mean == pytest.approx(mean[0])
    assert found.deviation == pytest.approx(deviation[0], rel=1e-4)
    gap = min(optimizer.yi) - 0.01 - found.mean
    u = gap / found.deviation
    assert found.acquisition == pytest.approx(gap * norm.cdf(u) + found.deviation * norm.pdf(u), rel=1e-6)
    rows = optimizer.space.transform(optimizer.Xi)
    distances = np.linalg.norm(rows - row, axis=1)
    assert found.nearest == distances.argmin()
    assert found.distance == pytest.approx(distances.min())


def test_the_acquisition_value_has_the_meaning_of_its_function():
    of_pi = prediction_at(told("GP", "PI"), POINT)
    assert of_pi.acquisition == pytest.approx(norm.cdf((min(told("GP", "PI").yi) - of_pi.mean) / of_pi.deviation))
    of_lcb = prediction_at(told("GP", "LCB", kappa=2.0), POINT)
    assert of_lcb.acquisition == pytest.approx(of_lcb.mean - 2 * of_lcb.deviation)
    assert prediction_at(told("GP", "LCB", kappa="inf"), POINT).acquisition is None
    assert prediction_at(told("GP", "MES"), POINT).acquisition is None


def study(direction: str, acq_func: str) -> StudySpec:
    tables: dict[str, dict[str, Any]] = {
        "study": {"trials": 20, "seed": 7},
        "objective": {"function": "m:f", "direction": direction},
        "space": {"x": {"type": "real", "low": -5.0, "high": 5.0}},
        "optimizer": {"acq_func": acq_func},
    }
    return assemble({}, tables=tables)


@pytest.mark.parametrize("acq_func", ["EI", "PI", "LCB"])
def test_an_expectation_has_the_sign_and_the_unit_of_the_values(acq_func):
    minimized, maximized = study("minimize", acq_func), study("maximize", acq_func)
    points = propose(minimized, 0, 0, 12, ProposalInput()).points
    given = ProposalInput([Observation(each, 100 + each["x"] ** 2, None) for each in points])
    point = propose(minimized, 1, 0, 1, given).points[0]
    low = expectation(minimized, 1, 0, given, point)
    high = expectation(maximized, 1, 0, given, point)
    assert low is not None
    assert high is not None
    assert 90 < low.value < 130
    assert high.value == pytest.approx(-low.value)
    assert high.deviation == low.deviation > 0
    assert low.acquisition is not None
    assert high.acquisition == pytest.approx(-low.acquisition if acq_func == "LCB" else low.acquisition)


def test_failed_trials_and_large_losses_leave_the_expectation_finite():
    minimized = study("minimize", "EI")
    points = propose(minimized, 0, 0, 12, ProposalInput()).points
    losses = [None if place == 3 else (-1) ** place * 1.5e308 for place in range(12)]
    given = ProposalInput([Observation(each, loss, None) for each, loss in zip(points, losses, strict=True)])
    found = expectation(minimized, 1, 0, given, {"x": 0.5})
    assert found is not None
    assert found.acquisition is not None
    assert np.isfinite([found.value, found.deviation, found.acquisition, found.distance]).all()
