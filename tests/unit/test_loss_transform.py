"""The transform of the losses: its formulas, the choice by likelihood, and numbers in the unit of the losses."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from ledger.proposals import Observation, ProposalInput, expectation, propose
from ledger.proposals.loss_transform import YeoJohnson, is_transformable
from ledger.proposals.losses import scaled_losses
from ledger.proposals.propose import ALWAYS_COMPARED, EVIDENCE
from ledger.proposals.surrogate import Surrogate
from ledger.study.file import assemble
from ledger.study.spec import StudySpec

LOSSES = st.lists(st.floats(-1e300, 1e300), min_size=8, max_size=60, unique=True)


def study(acq_func: str = "EI", estimator: str = "GP", direction: str = "minimize") -> StudySpec:
    tables: dict[str, dict[str, Any]] = {
        "study": {"trials": 400, "seed": 7},
        "objective": {"function": "m:f", "direction": direction},
        "space": {name: {"type": "real", "low": -1.0, "high": 1.0} for name in "xy"},
        "optimizer": {"acq_func": acq_func, "base_estimator": estimator},
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


def shapes(losses: Sequence[float]) -> tuple[np.ndarray[Any, Any], YeoJohnson]:
    scaled = scaled_losses(losses)
    return np.array(scaled), YeoJohnson(scaled)


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
    assert np.isfinite(transform.log_derivatives).all()


@given(LOSSES, st.floats(allow_nan=False))
def test_the_inverse_of_every_value_is_within_one_range_of_the_losses(losses: list[float], value: float) -> None:
    _, transform = shapes(losses)
    assert -1.0 <= transform.inverse([value])[0] <= 2.0


@pytest.mark.parametrize("exponent", [-4.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.5, 6.0])
def test_the_derivatives_are_those_of_the_transform(exponent: float) -> None:
    scaled = np.array(scaled_losses(list(np.exp(np.linspace(0.0, 3.0, 20)))))
    transform = YeoJohnson(list(scaled), exponent)
    step = 1e-7
    slopes = (transform.transform(scaled + step) - transform.transform(scaled - step)) / (2 * step)
    assert transform.log_derivatives == pytest.approx(np.log(slopes), abs=1e-4)


def test_the_exponent_follows_the_tail_of_the_losses() -> None:
    quantiles = norm.ppf((np.arange(200) + 0.5) / 200)
    assert shapes(list(quantiles))[1].exponent == pytest.approx(1.0, abs=0.01)
    bad, good = shapes(list(np.exp(quantiles)))[1], shapes(list(-np.exp(quantiles)))[1]
    assert bad.exponent < 0
    assert good.exponent == pytest.approx(2 - bad.exponent, abs=1e-3)


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


def test_the_gain_is_the_difference_of_two_log_likelihoods() -> None:
    """If the losses are already transformed, a second transform is nearly the identity, and gains nothing."""
    spec = study()
    history = observed(spec, 40, steep)
    scaled, transform = shapes([each.loss for each in history if each.loss is not None])
    again = [
        Observation(each.params, float(loss), 1.0)
        for each, loss in zip(history, transform.transform(scaled), strict=True)
    ]
    proposal = propose(spec, 1, 0, 2, ProposalInput(again))
    assert proposal.surrogate is not None
    assert proposal.surrogate["transform"]["gain"] <= EVIDENCE


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
    assert found.deviation >= 0
    assert abs(sign * found.value - steep(point)) < 4 * found.deviation + 0.5
    at_known = expectation(spec, 1, 0, ProposalInput(history), history[3].params)
    assert at_known is not None
    assert history[3].loss is not None
    assert sign * at_known.value == pytest.approx(history[3].loss, rel=0.2)


@pytest.mark.parametrize("acq_func", ["EI", "PI", "LCB"])
def test_an_acquisition_value_is_that_of_sampled_losses(acq_func: str) -> None:
    from ledger.optimizer.prediction import prediction_at
    from ledger.proposals.environment import one_thread
    from ledger.proposals.propose import told_optimizer
    from ledger.proposals.skopt_space import SpaceConverter

    spec = study(acq_func)
    history = observed(spec, 40, steep)
    point = {"x": 0.3, "y": 0.1}
    found = expectation(spec, 1, 0, ProposalInput(history), point)
    assert found is not None
    searched = SpaceConverter(spec.space)
    with one_thread():
        fitted = told_optimizer(spec, searched, 1, history, None)
        predicted = prediction_at(fitted.optimizer, searched.point(point))
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
    assert (curve.deviation >= 0).all()
    joint = surrogate.joint_dependence("x", "y")
    lowest = np.unravel_index(joint.mean.argmin(), joint.mean.shape)
    assert joint.first[lowest[1]] == pytest.approx(0.0, abs=0.35)
    assert joint.second[lowest[0]] == pytest.approx(0.3, abs=0.35)
