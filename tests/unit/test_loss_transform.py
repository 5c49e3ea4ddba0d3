"""The transform of the losses: its formulas, the choice by likelihood, and numbers in the unit of the losses."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.base import clone

from ledger.optimizer import Optimizer
from ledger.optimizer.prediction import PointPrediction, prediction_at
from ledger.proposals import Observation, ProposalInput, expectation, propose
from ledger.proposals.encoding import PointEncoder, encoded
from ledger.proposals.environment import one_thread
from ledger.proposals.loss_transform import YeoJohnson, is_transformable
from ledger.proposals.losses import scaled_losses
from ledger.proposals.propose import ALWAYS_COMPARED, EVIDENCE, ToldOptimizer, told_optimizer
from ledger.proposals.surrogate import Surrogate
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

LOSSES = st.lists(st.floats(-1e300, 1e300), min_size=8, max_size=60, unique=True)


def study(
    acq_func: str = "EI", estimator: str = "GP", direction: str = "minimize", xi: float | None = None
) -> StudySpec:
    tables: dict[str, dict[str, Any]] = {
        "study": {"trials": 400, "seed": 7},
        "objective": {"function": "m:f", "direction": direction},
        "space": {name: {"type": "real", "low": -1.0, "high": 1.0} for name in "xy"},
        "optimizer": {"acq_func": acq_func, "base_estimator": estimator} | ({} if xi is None else {"xi": xi}),
    }
    return assemble({}, tables=tables)


def observed(spec: StudySpec, count: int, losses: Any) -> list[Observation]:
    points = propose(spec, 0, 0, 12, ProposalInput()).points
    random = np.random.default_rng(5)
    points += [{name: float(random.uniform(-1, 1)) for name in "xy"} for _ in range(count - 12)]
    return [Observation(point, losses(point), 1.0) for point in points[:count]]


def steep(point: dict[str, Any]) -> float:
    """Return a loss with a long tail: the exponential function of a smooth function."""
    return math.exp(2 * (point["x"] ** 2 + (point["y"] - 0.3) ** 2))


def smooth(point: dict[str, Any]) -> float:
    return math.sin(3 * float(point["x"])) + math.cos(2 * float(point["y"]))


def told(spec: StudySpec, history: Sequence[Observation]) -> ToldOptimizer:
    encoder = PointEncoder(spec.space)
    return told_optimizer(spec, encoder.converter, 1, encoded(encoder, ProposalInput(history)))


def shapes(losses: Sequence[float]) -> tuple[np.ndarray[Any, Any], YeoJohnson]:
    scaled = scaled_losses(np.array(losses))
    return scaled, YeoJohnson(scaled)


@given(LOSSES)
def test_the_transform_keeps_the_order_and_has_an_inverse(losses: list[float]) -> None:
    scaled, transform = shapes(losses)
    values = transform.transform(scaled)
    assert values.min() == pytest.approx(0.0, abs=1e-12)
    assert values.max() == pytest.approx(1.0)
    order = np.argsort(scaled, kind="stable")
    assert (np.diff(values[order]) >= 0).all()
    # Very bad losses can have equal transformed values, so the inverse is exact only for the transformed values.
    assert transform.transform(transform.inverse(values)) == pytest.approx(values, abs=1e-6)
    assert np.isfinite(transform.log_derivatives(scaled)).all()


@given(LOSSES, st.lists(st.floats(-1e6, 1e6), min_size=2))
def test_the_inverse_of_any_value_keeps_the_order(losses: list[float], values: list[float]) -> None:
    _, transform = shapes(losses)
    found = transform.inverse(sorted(values))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 1.0, 2.0, 3.0])
def test_the_inverse_returns_the_losses(exponent: float) -> None:
    losses = np.linspace(0.0, 1.0, 21)
    transform = YeoJohnson(list(losses), exponent)
    assert transform.inverse(transform.transform(losses)) == pytest.approx(losses, abs=1e-9)


@pytest.mark.parametrize("exponent", [-4.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.5, 6.0])
def test_the_derivatives_are_those_of_the_transform(exponent: float) -> None:
    scaled = scaled_losses(np.exp(np.linspace(0.0, 3.0, 20)))
    transform = YeoJohnson(list(scaled), exponent)
    step = 1e-7
    slopes = (transform.transform(scaled + step) - transform.transform(scaled - step)) / (2 * step)
    assert transform.log_derivatives(scaled) == pytest.approx(np.log(slopes), abs=1e-4)


def test_the_exponent_follows_the_tail_of_the_losses() -> None:
    quantiles = norm.ppf((np.arange(200) + 0.5) / 200)
    assert shapes(list(quantiles))[1].exponent == pytest.approx(1.0, abs=0.01)
    bad, good = shapes(list(np.exp(quantiles)))[1], shapes(list(-np.exp(quantiles)))[1]
    assert bad.exponent < 0
    assert good.exponent == pytest.approx(2 - bad.exponent, abs=1e-3)


@pytest.mark.parametrize("bad", [1e4, 1e6, 1e9])
def test_a_few_very_bad_losses_leave_the_differences_of_the_good_losses(bad: float) -> None:
    scaled, transform = shapes([*np.linspace(0.0, 1.0, 40), bad, 2 * bad, 3 * bad, 4 * bad])
    values = transform.transform(scaled)
    assert values[39] - values[0] > 0.3


def test_a_few_different_losses_are_not_transformed() -> None:
    assert not is_transformable([0.0, 0.5, 1.0] * 20)
    assert is_transformable(list(range(8)))
    spec = study()
    given_losses = iter([0.0, 0.25, 0.5, 1.0] * 3)
    proposal = propose(spec, 1, 0, 2, ProposalInput(observed(spec, 12, lambda point: next(given_losses))))
    assert proposal.surrogate is not None
    assert "transform" not in proposal.surrogate


def test_losses_with_a_long_tail_are_transformed_and_smooth_losses_are_not() -> None:
    spec = study()
    transforms = {}
    for losses in (steep, smooth):
        proposal = propose(spec, 1, 0, 2, ProposalInput(observed(spec, 40, losses)))
        assert proposal.surrogate is not None
        transforms[losses] = proposal.surrogate["transform"]
    assert transforms[steep]["name"] == "yeo-johnson"
    assert transforms[steep]["exponent"] < 0.5
    assert transforms[steep]["gain"] > EVIDENCE
    assert transforms[smooth]["name"] == "none"
    assert transforms[smooth]["gain"] <= EVIDENCE
    assert "exponent" not in transforms[smooth]


def log_density(optimizer: Optimizer) -> float:
    """Return the logarithm of the density of the received values under the optimizer's GP, from the kernel alone."""
    model = optimizer.models[-1]
    values, rows = optimizer.observed(), optimizer.rows()
    kernel = clone(model.kernel_).set_params(k2__noise_level=model.noise_)
    covariance = values.std() ** 2 * (kernel(rows) + 1e-10 * np.eye(len(rows)))
    centred = values - values.mean()
    _, logarithm = np.linalg.slogdet(2 * math.pi * covariance)
    return float(-0.5 * centred @ np.linalg.solve(covariance, centred) - 0.5 * logarithm)


@pytest.mark.parametrize("loss", [steep, smooth])
def test_the_gain_is_the_difference_of_two_log_likelihoods(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study()
    history = observed(spec, 40, loss)
    found = {}
    for evidence in (-math.inf, math.inf):
        # The package has a function with the name of the module.
        monkeypatch.setattr(importlib.import_module("ledger.proposals.propose"), "EVIDENCE", evidence)
        found[evidence] = told(spec, history)
    transformed, plain = found[-math.inf], found[math.inf]
    assert plain.transform is None
    assert transformed.transform is not None
    scaled = scaled_losses(np.array([each.loss for each in history]))
    assert list(plain.optimizer.observed()) == pytest.approx(list(scaled))
    step = 1e-7
    rises = transformed.transform.transform(scaled + step) - transformed.transform.transform(scaled - step)
    expected = log_density(transformed.optimizer) + np.log(rises / (2 * step)).sum() - log_density(plain.optimizer)
    assert transformed.gain == plain.gain
    assert transformed.gain == pytest.approx(expected, abs=0.02)


def test_the_gain_of_a_subset_counts_the_derivatives_of_the_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study()
    history = observed(spec, 60, steep)
    whole = told(spec, history)
    monkeypatch.setattr("ledger.optimizer.gaussian_process.MODELLED", 40)
    with pytest.warns(UserWarning, match="only 40 of 60 points"):
        subset = told(spec, history)
    assert whole.gain is not None
    assert subset.gain is not None
    # The GP of 40 of 60 points has about two thirds of the likelihood.
    assert 0.4 < subset.gain / whole.gain < 0.9


@pytest.mark.parametrize(("acq_func", "estimator"), [("EIps", "GP"), ("EI", "RF"), ("EI", "ET")])
def test_only_a_gp_of_the_losses_alone_has_a_transform(acq_func: str, estimator: str) -> None:
    spec = study(acq_func, estimator)
    proposal = propose(spec, 1, 0, 2, ProposalInput(observed(spec, 20, steep)))
    assert proposal.surrogate is not None
    assert "transform" not in proposal.surrogate


def test_a_large_study_keeps_its_choice_until_the_next_comparison() -> None:
    spec = study()
    history = observed(spec, ALWAYS_COMPARED + 70, steep)
    first = propose(spec, 1, 0, 1, ProposalInput(history[: ALWAYS_COMPARED + 4])).surrogate
    assert first is not None
    kept = {**first, "transform": {**first["transform"], "gain": 1234.5}}
    later = propose(spec, 2, 0, 1, ProposalInput(history[: ALWAYS_COMPARED + 8], surrogate=kept)).surrogate
    assert later is not None
    assert later["transform"]["gain"] == 1234.5
    assert later["transform"]["name"] == "yeo-johnson"
    refused = {**first, "transform": {"name": "none", "gain": 0.0}}
    plain = propose(spec, 2, 0, 1, ProposalInput(history[: ALWAYS_COMPARED + 8], surrogate=refused)).surrogate
    assert plain is not None
    assert plain["transform"] == {"name": "none", "gain": 0.0}
    # The next power of sqrt(2) after 128 is 181.
    compared = propose(spec, 3, 0, 1, ProposalInput(history[: ALWAYS_COMPARED + 60], surrogate=kept)).surrogate
    assert compared is not None
    assert compared["transform"]["gain"] not in (1234.5, 0.0)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_an_expectation_of_transformed_losses_is_in_the_unit_of_the_values(direction: str) -> None:
    spec = study(direction=direction)
    history = observed(spec, 40, steep)
    point = propose(spec, 1, 0, 1, ProposalInput(history)).points[0]
    found = expectation(spec, 1, 0, ProposalInput(history), point)
    assert found is not None
    assert found.exponent is not None
    assert found.gain is not None
    sign = 1 if direction == "minimize" else -1
    assert 0 < found.deviation < 5
    assert sign * found.value == pytest.approx(steep(point), abs=1.0)
    at_known = expectation(spec, 1, 0, ProposalInput(history), history[3].params)
    assert at_known is not None
    assert history[3].loss is not None
    assert sign * at_known.value == pytest.approx(history[3].loss, rel=0.2)


@pytest.mark.parametrize("acq_func", ["EI", "PI", "LCB"])
def test_an_acquisition_value_is_that_of_sampled_losses(acq_func: str) -> None:
    spec = study(acq_func)
    history = observed(spec, 40, steep)
    point = {"x": 0.3, "y": 0.1}
    found = expectation(spec, 1, 0, ProposalInput(history), point)
    assert found is not None
    with one_thread():
        fitted = told(spec, history)
        predicted = prediction_at(fitted.optimizer, PointEncoder(spec.space).converter.point(point))
    assert fitted.transform is not None
    losses = [each.loss for each in history if each.loss is not None]
    best, span = min(losses), max(losses) - min(losses)
    random = np.random.default_rng(1)
    sampled = best + span * fitted.transform.inverse(random.normal(predicted.mean, predicted.deviation, 200_000))
    expected = {
        "EI": np.maximum(best - sampled, 0.0).mean(),
        "PI": (sampled < best).mean(),
        "LCB": best + span * fitted.transform.inverse([predicted.mean - 1.96 * predicted.deviation])[0],
    }
    assert found.acquisition == pytest.approx(expected[acq_func], rel=0.05, abs=1e-4 * span)
    assert found.value == pytest.approx(sampled.mean(), rel=0.05)
    assert found.deviation == pytest.approx(sampled.std(), rel=0.1)


def test_an_expectation_without_uncertainty_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study()
    history = observed(spec, 40, steep)
    certain = PointPrediction(0.3, 0.0, 0.0, 0.0, 0, 0.5)
    monkeypatch.setattr("ledger.optimizer.prediction.prediction_at", lambda *_: certain)
    found = expectation(spec, 1, 0, ProposalInput(history), {"x": 0.3, "y": 0.1})
    assert found is not None
    assert found.acquisition == 0.0
    assert found.deviation == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
def test_the_smallest_improvement_is_a_share_of_the_range_of_the_losses(share: float) -> None:
    spec = study(xi=share)
    history = observed(spec, 40, steep)
    fitted = told(spec, history)
    assert fitted.transform is not None
    threshold = -fitted.optimizer.acq_func_kwargs["xi"]
    assert fitted.transform.inverse([threshold])[0] == pytest.approx(-share, abs=1e-9)


@pytest.mark.parametrize(
    "transform", [None, "yeo-johnson", {}, {"gain": "9"}, {"gain": math.nan}, {"exponent": 1e9, "gain": 5.0}]
)
def test_a_damaged_record_of_the_transform_is_ignored(transform: Any) -> None:
    spec = study()
    history = observed(spec, ALWAYS_COMPARED + 8, smooth)
    recorded = propose(spec, 1, 0, 1, ProposalInput(history[: ALWAYS_COMPARED + 4])).surrogate
    assert recorded is not None
    damaged = {**recorded, "transform": transform}
    assert propose(spec, 2, 0, 1, ProposalInput(history, surrogate=damaged)).points
    assert Surrogate(spec, ProposalInput(history, surrogate=damaged), iteration=2).dependences().keys() == {"x", "y"}


def test_dependences_of_transformed_losses_are_in_the_unit_of_the_values() -> None:
    spec = study()
    history = observed(spec, 60, steep)
    recorded = propose(spec, 1, 0, 1, ProposalInput(history)).surrogate
    assert recorded is not None
    assert recorded["transform"]["name"] == "yeo-johnson"
    surrogate = Surrogate(spec, ProposalInput(history, surrogate=recorded), iteration=2)
    curve = surrogate.dependences()["x"]
    sampled = np.linspace(-1, 1, 200)
    true = [np.mean([steep({"x": x, "y": y}) for y in sampled]) for x in curve.values]
    assert curve.values[int(curve.mean.argmin())] == pytest.approx(0.0, abs=0.35)
    assert np.corrcoef(np.log(curve.mean - curve.mean.min() + 50), np.log(np.array(true)))[0, 1] > 0.8
    assert surrogate._transform is not None
    posterior = surrogate._model.posterior_
    points = np.array([[(0.5 + 1) / 2, y] for y in np.linspace(0.0, 1.0, 40)])[None]
    mean, deviation = surrogate._averages(points)
    normal = np.random.default_rng(1).standard_normal((20_000, 40))
    covariance = posterior._covariance(points[0], points[0])
    half = np.linalg.solve(posterior.factor, posterior._covariance(posterior.points, points[0]))
    root = np.linalg.cholesky(covariance - half.T @ half + 1e-9 * np.eye(40))
    sampled = posterior.means(points[0]) + posterior.scale * (normal @ root.T)
    averages = surrogate._transform.inverse(sampled).mean(axis=1)
    assert mean[0] == pytest.approx(averages.mean(), rel=0.1)
    assert deviation[0] == pytest.approx(averages.std(), rel=0.5)
    joint = surrogate.joint_dependence("x", "y")
    lowest = np.unravel_index(joint.mean.argmin(), joint.mean.shape)
    assert joint.first[lowest[1]] == pytest.approx(0.0, abs=0.35)
    assert joint.second[lowest[0]] == pytest.approx(0.3, abs=0.35)
