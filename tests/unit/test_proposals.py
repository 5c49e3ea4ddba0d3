"""Proposals are a pure function of the study and its observations, repeat no point, and are made from any losses."""

import itertools
import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from ledger.optimizer import gaussian_process
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.proposals import Observation, Proposal, ProposalInput, environment, expectation, propose
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.space import Space
from ledger.study.spec import ACQ_FUNCS, BASE_ESTIMATORS, StudySpec
from tests.unit.proposed import CATEGORIES, GRIDS, INTEGERS, MIXED, make, observed
from tests.unit.test_space import jsonb


def distinct(points: Sequence[dict[str, Any]]) -> bool:
    return len({json.dumps(point) for point in points}) == len(points)


LOSSES = [0.3, 0.1, None, 0.25, 0.6]


PAIRS = list(itertools.product(BASE_ESTIMATORS, ACQ_FUNCS))


# The other kinds of spaces have the same surrogates and acquisition functions, but not each pair of them.
@pytest.mark.parametrize(
    ("space", "estimator", "acq_func"),
    [
        *((MIXED, *pair) for pair in PAIRS),
        *((space, *pair) for space in (CATEGORIES, GRIDS) for pair in PAIRS if pair[0] == "GP" or pair[1] == "EI"),
    ],
)
def test_every_estimator_proposes_with_every_acquisition_function(
    space: dict[str, Any], estimator: str, acq_func: str
) -> None:
    study = make(space, estimator, acq_func)
    history = observed(study, LOSSES)
    proposal = propose(study, 1, 0, 2, ProposalInput(history))
    assert len(proposal.points) == 2
    assert distinct([*(dict(one.params) for one in history), *proposal.points])
    for point in proposal.points:
        assert repr(study.space.normalise(jsonb(point))) == repr(point)
    assert proposal.surrogate is not None
    assert proposal.surrogate["estimator"] == estimator
    assert proposal.tell_seconds > 0
    assert proposal.ask_seconds > 0


def test_the_surrogate_of_a_gp_is_its_kernel_with_its_noise_as_json() -> None:
    study = make(MIXED)
    surrogate = propose(study, 1, 0, 1, ProposalInput(observed(study, LOSSES))).surrogate
    assert surrogate is not None
    assert json.loads(json.dumps(surrogate, allow_nan=False)) == surrogate
    assert "Matern" in surrogate["kernel"]
    assert "WhiteKernel" in surrogate["kernel"]
    # amplitude, one length a searched column (2 integers, 1 real, 4 categories), noise
    assert len(surrogate["theta"]) == 1 + 7 + 1
    assert math.isfinite(surrogate["log_marginal_likelihood"])


def test_a_grid_and_ordered_choices_have_one_column_and_a_constant_none() -> None:
    study = make({name: GRIDS[name] for name in ("dropout", "batch", "width", "size", "fixed")})
    surrogate = propose(study, 1, 0, 1, ProposalInput(observed(study, LOSSES))).surrogate
    assert surrogate is not None
    # amplitude, one length for each column, noise
    assert len(surrogate["theta"]) == 1 + 4 + 1
    searched = SpaceConverter(study.space)
    assert [str(dimension) for dimension in searched.dimensions] == [
        f"Integer(low=0, high={last}, prior='uniform', transform='normalize')" for last in (5, 4, 127, 3)
    ]
    assert searched.params([3, 2, 127, 1]) == {
        "dropout": 0.3,
        "batch": 64,
        "width": 1024,
        "size": "m",
        "fixed": "constant",
    }


def test_all_values_of_a_grid_are_equally_probable_at_random() -> None:
    searched = SpaceConverter(Space.from_toml({"rate": GRIDS["rate"], "size": GRIDS["size"]}))
    drawn = searched.random(4000, 0)
    for name, values in (("rate", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]), ("size", ["s", "m", "l", "xl"])):
        counts = [sum(point[name] == value for point in drawn) for value in values]
        assert sum(counts) == 4000
        assert all(0.85 < count * len(values) / 4000 < 1.15 for count in counts)


@pytest.mark.parametrize(
    ("table", "best"),
    [
        ({"type": "integer", "low": 1, "high": 2**20, "powers_of": 2}, 2**13),
        ({"type": "real", "low": 0, "high": 1, "step": 0.001}, 0.637),
        ({"type": "categorical", "choices": [f"level {level}" for level in range(64)], "ordered": True}, "level 41"),
    ],
)
def test_the_model_finds_the_best_value_of_an_ordinal_dimension(table: dict[str, Any], best: Any) -> None:
    study = make({"x": table}, initial=4)
    (dimension,) = study.space.dimensions
    place = dimension.index(best)
    history: list[Observation] = []
    for iteration in range(16):
        (params,) = propose(study, iteration, 0, 1, ProposalInput(history)).points
        size = dimension.size()
        assert size is not None
        history.append(Observation(params, ((dimension.index(params["x"]) - place) / size) ** 2, 1.0))
    assert distinct([dict(one.params) for one in history])
    found = min(history, key=lambda one: one.loss or 0.0).params["x"]
    assert abs(dimension.index(found) - place) <= 2


def test_iteration_round_and_seed_each_give_other_points() -> None:
    study = make(MIXED)
    asked = [(study, 0, 0), (study, 1, 0), (study, 0, 1), (make(MIXED, seed=2), 0, 0)]
    assert distinct([propose(one, iteration, round, 1, ProposalInput()).points[0] for one, iteration, round in asked])


def test_points_are_random_until_the_history_has_the_initial_points() -> None:
    study = make(MIXED, initial=4)
    history = observed(study, [0.1, None, 0.3, 0.2])
    assert propose(study, 1, 0, 2, ProposalInput(history[:3])).surrogate is None
    assert propose(study, 1, 0, 2, ProposalInput(history)).surrogate is not None


def test_trials_in_flight_replace_up_to_half_of_the_initial_points() -> None:
    study = make(MIXED, initial=6)
    history = observed(study, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    in_flight = [each.params for each in observed(make(MIXED, seed=5), [0.1] * 6)]

    def is_random(ended: int, flight: int) -> bool:
        return propose(study, 1, 0, 1, ProposalInput(history[:ended], (), in_flight[:flight])).surrogate is None

    assert [is_random(5, 0), is_random(6, 0)] == [True, False]
    assert [is_random(4, 1), is_random(4, 2)] == [True, False]
    assert [is_random(2, 6), is_random(3, 3)] == [True, False]


def test_points_are_random_while_every_trial_failed() -> None:
    study = make(MIXED)
    proposal = propose(study, 1, 0, 2, ProposalInput(observed(study, [None] * 5)))
    assert proposal.surrogate is None
    assert len(proposal.points) == 2


def test_a_failed_trial_counts_as_the_worst_complete_one() -> None:
    study = make(MIXED)
    failed, worst = observed(study, [0.2, 0.9, None, 0.4]), observed(study, [0.2, 0.9, 0.9, 0.4])
    assert propose(study, 1, 0, 2, ProposalInput(failed)).points == propose(study, 1, 0, 2, ProposalInput(worst)).points


@pytest.mark.parametrize(("estimator", "acq_func"), [("GP", "EI"), ("GP", "PIps"), ("RF", "MES")])
@pytest.mark.parametrize(
    "losses",
    [
        [0.5],
        [0.3] * 5,
        [1e10] * 5,
        [1e308, -1e308, 0.0, 5e307],
        [1e-300, 2e-300, 5e-324, 3e-300],
        [1e16, 1e16 + 2, 1e16 + 4],
        [0.0, 1e300, None, 1.0],
    ],
    ids=["one", "equal", "equal and large", "as far as floats go", "tiny", "large and close", "one far off"],
)
def test_points_are_proposed_from_any_losses(losses: list[float | None], estimator: str, acq_func: str) -> None:
    study = make(INTEGERS | {"C": MIXED["C"]}, estimator, acq_func, initial=1)
    assert len(propose(study, 1, 0, 1, ProposalInput(observed(study, losses))).points) == 1


@pytest.mark.parametrize("seconds", [[0.0, 1e-300, 1e300, 1.0], [None, None, None, None], [None, 3.0, 0.001, None]])
def test_points_are_proposed_from_any_times(seconds: list[float | None]) -> None:
    study = make(INTEGERS | {"C": MIXED["C"]}, "GP", "EIps")
    history = observed(study, [0.1, 0.2, None, 0.3])
    timed = [Observation(one.params, one.loss, time) for one, time in zip(history, seconds, strict=True)]
    assert len(propose(study, 1, 0, 1, ProposalInput(timed)).points) == 1


@pytest.mark.parametrize("acq_func", ["EIps", "PIps"])
def test_per_second_functions_prefer_the_faster_of_two_minima(acq_func: str) -> None:
    # skopt compares losses with logarithms of times, so a trial of less than a second would beat every loss
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, "GP", acq_func)

    def proposed(growth: float) -> float:
        seconds = [0.1 * math.exp(growth * index) for index in range(11)]
        losses = [abs(abs(index / 10 - 0.5) - 0.32) for index in range(11)]
        history = [Observation({"x": index / 10}, losses[index], seconds[index]) for index in range(11)]
        (params,) = propose(study, 1, 0, 1, ProposalInput(history)).points
        return float(params["x"])

    assert proposed(0.3) < 0.5 < proposed(-0.3)


@pytest.mark.parametrize(
    "space",
    [
        INTEGERS,
        CATEGORIES,
        {"fixed": MIXED["fixed"]},
        {name: GRIDS[name] for name in ("dropout", "rate")},
        {name: GRIDS[name] for name in ("size", "weight", "fixed")},
    ],
    ids=["integers", "categories", "one", "grids", "choices"],
)
def test_a_finite_space_is_used_up_without_a_repetition(space: dict[str, Any]) -> None:
    study = make(space, "RF", initial=4)
    size = study.space.size()
    assert size is not None
    history: list[Observation] = []
    iteration = 0
    while points := propose(study, iteration, 0, 5, ProposalInput(history)).points:
        assert len(points) == min(5, size - len(history))
        history += [Observation(params, 0.1 * (index % 3), 1.0) for index, params in enumerate(points)]
        iteration += 1
    assert len(history) == size
    assert distinct([dict(one.params) for one in history])


@pytest.mark.parametrize("initial", [1, 99], ids=["model", "random"])
def test_points_of_a_failed_round_are_not_proposed_again(initial: int) -> None:
    study = make(INTEGERS, initial=initial)
    every = [study.space.point(index) for index in range(12)]
    history = [Observation(params, 0.1 * index, 1.0) for index, params in enumerate(every[:4])]
    proposal = propose(study, 1, 1, 8, ProposalInput(history, every[4:9]))
    assert sorted(map(json.dumps, proposal.points)) == sorted(map(json.dumps, every[9:]))
    assert propose(study, 1, 2, 8, ProposalInput(history, every[4:])) == Proposal([], None, 0.0, 0.0)


def test_the_last_point_of_a_huge_space_of_few_likely_ones_is_found() -> None:
    # nearly all draws repeat a small integer
    study = make({"n": {"type": "integer", "low": 1, "high": 2**16, "prior": "log-uniform"}}, initial=99_999)
    taken = [{"n": number} for number in range(1, 2**16 - 2)]
    points = propose(study, 0, 0, 5, ProposalInput([], taken)).points
    assert sorted(point["n"] for point in points) == [2**16 - 2, 2**16 - 1, 2**16]


def test_a_batch_of_one_real_repeats_no_point_where_the_model_does() -> None:
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, "RF")
    history = observed(study, [0.1, 0.2, 0.3])
    points = propose(study, 1, 0, 10, ProposalInput(history)).points
    assert len(points) == 10
    assert distinct([*points, *(dict(one.params) for one in history)])


def test_a_real_of_few_floats_ends_short_rather_than_never() -> None:
    study = make({"x": {"type": "real", "low": 1.0, "high": math.nextafter(1.0, 2.0)}}, initial=99)
    points = propose(study, 0, 0, 10, ProposalInput()).points
    assert sorted(point["x"] for point in points) == [1.0, math.nextafter(1.0, 2.0)]


def test_numpys_generator_and_warning_filters_stay_as_they_were() -> None:
    study = make(MIXED, "GP", "MES")
    history = observed(study, LOSSES)
    before, filters = np.random.get_state(legacy=False), list(warnings.filters)
    propose(study, 1, 0, 1, ProposalInput(history))
    after = np.random.get_state(legacy=False)
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert np.array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]
    assert warnings.filters == filters


def test_models_are_fitted_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make(MIXED)
    history = observed(study, LOSSES)
    fit = GaussianProcessRegressor.fit
    threads: list[int] = []

    def spied(*arguments: Any, **named: Any) -> Any:
        threads.extend(one["num_threads"] for one in threadpool_info())
        return fit(*arguments, **named)

    monkeypatch.setattr(GaussianProcessRegressor, "fit", spied)
    with threadpool_limits(2):
        propose(study, 1, 0, 1, ProposalInput(history))
        assert {one["num_threads"] for one in threadpool_info()} == {2}
    assert set(threads) == {1}


def test_the_model_finds_the_minimum_of_a_parabola() -> None:
    study = make({"x": {"type": "real", "low": 1e-9, "high": 1e-5, "prior": "log-uniform"}}, initial=3)
    history = observed(study, [None] * 3)
    history = [Observation(one.params, (math.log10(one.params["x"]) + 7) ** 2, 1.0) for one in history]
    for iteration in range(1, 8):
        (params,) = propose(study, iteration, 0, 1, ProposalInput(history)).points
        history.append(Observation(params, (math.log10(params["x"]) + 7) ** 2, 1.0))
    assert min(one.loss for one in history if one.loss is not None) < 0.01


def test_forests_propose_log_uniform_integers_within_reach_of_the_best() -> None:
    # skopt clips the logarithm to the bounds of the integer, and proposes only the upper one
    study = make({"n": {"type": "integer", "low": 4, "high": 4096, "prior": "log-uniform"}}, "ET")
    history = [
        Observation({"n": number}, abs(math.log2(number) - 5), 1.0)
        for number in (4, 9, 16, 33, 64, 120, 256, 999, 4096)
    ]
    points = propose(study, 1, 0, 3, ProposalInput(history)).points
    assert all(point["n"] < 256 for point in points)


def test_random_integers_are_drawn_evenly_to_their_ends() -> None:
    searched = SpaceConverter(Space.from_toml({"n": {"type": "integer", "low": 1, "high": 4}}))
    drawn = [point["n"] for point in searched.random(4000, 0)]
    assert all(900 < drawn.count(number) < 1100 for number in range(1, 5))


bounds = st.tuples(
    st.floats(1e-300, 1e300, allow_subnormal=False), st.floats(1e-300, 1e300, allow_subnormal=False)
).filter(lambda pair: pair[0] < pair[1])


@given(bounds, st.sampled_from(["uniform", "log-uniform"]), st.floats(0, 1), st.floats(0, 1))
def test_a_real_stays_within_its_bounds_on_the_way_to_skopt_and_back(
    pair: tuple[float, float], prior: str, share: float, place: float
) -> None:
    low, high = pair
    space = Space.from_toml({"x": {"type": "real", "low": low, "high": high, "prior": prior}})
    searched = SpaceConverter(space)
    assert searched.params([0.0]) == {"x": low}
    assert searched.params([1.0]) == {"x": high}
    assert space.contains(searched.params([share]))
    value = min(max(low + place * (high - low), low), high)
    (told,) = searched.point({"x": value})
    assert 0 <= told <= 1
    assert searched.point({"x": low}) == [0.0]


@settings(max_examples=6)
@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.sampled_from([*MIXED.values(), *CATEGORIES.values(), *INTEGERS.values(), *GRIDS.values()]),
        min_size=1,
    ),
    st.lists(st.none() | st.floats(-1e300, 1e300), min_size=1, max_size=6),
    st.sampled_from(BASE_ESTIMATORS),
    st.integers(1, 3),
)
def test_json_between_changes_nothing_and_no_point_repeats(
    space: dict[str, Any], losses: list[float | None], estimator: str, size: int
) -> None:
    study = make(space, estimator, initial=1)
    points = propose(study, 0, 0, len(losses), ProposalInput()).points
    history = [Observation(params, loss, 1.0) for params, loss in zip(points, losses, strict=False)]
    stored = [Observation(jsonb(one.params), one.loss, jsonb(one.seconds)) for one in history]
    first, again = propose(study, 1, 0, size, ProposalInput(history)), propose(study, 1, 0, size, ProposalInput(stored))
    assert (first.points, first.surrogate) == (again.points, again.surrogate)
    assert distinct([*points, *first.points])
    assert repr([study.space.normalise(jsonb(point)) for point in first.points]) == repr(first.points)
    of_space = study.space.size()
    assert len(first.points) == (size if of_space is None else min(size, of_space - len(points)))


def test_the_environment_names_versions_and_the_blas_kernel() -> None:
    found = environment()
    assert set(found) == {"python", "numpy", "scipy", "scikit-learn", "scikit-optimize", "blas"}
    assert found["numpy"] == np.__version__
    assert found["blas"]
    assert json.loads(json.dumps(found)) == found


def test_a_fit_begins_from_the_kernel_recorded_before(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[GaussianProcessRegressor] = []
    fit = GaussianProcessRegressor.fit

    def counted(self: GaussianProcessRegressor, X: Any, y: Any) -> GaussianProcessRegressor:
        fitted.append(self)
        return fit(self, X, y)

    monkeypatch.setattr(GaussianProcessRegressor, "fit", counted)
    study = make(MIXED)
    history = [
        Observation(one.params, math.log10(one.params["C"]) ** 2 + one.params["degree"] / 3, 1.0)
        for one in observed(study, [0.0] * 44)
    ]
    first = propose(study, 1, 0, 8, ProposalInput(history[:40]))
    fitted.clear()
    second = propose(study, 2, 0, 8, ProposalInput(history, surrogate=first.surrogate))
    assert len(fitted) == 2
    warm_evaluations = sum(each.evaluations_ for each in fitted)
    fitted.clear()
    cold = propose(study, 2, 0, 8, ProposalInput(history))
    assert first.surrogate is not None
    assert first.surrogate["observations"] == 40
    assert second.surrogate is not None
    assert cold.surrogate is not None
    assert len(fitted) == 2
    assert warm_evaluations < sum(each.evaluations_ for each in fitted) / 2
    assert second.surrogate["transform"]["name"] == cold.surrogate["transform"]["name"]
    found, best = (one.surrogate["log_marginal_likelihood"] for one in (second, cold) if one.surrogate)
    assert found > best - 0.5, "it lost next to nothing"


@pytest.mark.parametrize("estimator", BASE_ESTIMATORS)
def test_a_trial_in_flight_gets_an_assumed_loss(estimator: str) -> None:
    study = make(MIXED, estimator)
    history = observed(study, [math.sin(index) / 3 for index in range(20)])
    (first,) = propose(study, 1, 0, 1, ProposalInput(history)).points
    taken = propose(study, 1, 0, 1, ProposalInput(history, excluded=[first]))
    lied = propose(study, 1, 0, 1, ProposalInput(history, in_flight=[first]))
    assert lied.surrogate == taken.surrogate, "the model is of what is known"
    assert lied.points != [first]
    assert taken.points != [first]
    assert propose(study, 1, 0, 1, ProposalInput(history, in_flight=[first])).points == lied.points
    seven = propose(study, 1, 0, 7, ProposalInput(history, in_flight=[first])).points
    assert distinct([first, *seven, *(dict(one.params) for one in history)])


def test_a_model_that_knows_only_some_of_the_trials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make(MIXED)
    history = observed(study, [math.sin(index) / 3 for index in range(30)])
    assert "known" not in (propose(study, 1, 0, 2, ProposalInput(history)).surrogate or {})
    monkeypatch.setattr(gaussian_process, "MODELLED", 12)
    proposal = propose(study, 1, 0, 2, ProposalInput(history))
    assert proposal.surrogate is not None
    assert proposal.surrogate["known"] < proposal.surrogate["observations"] == 30
    fit = f"the surrogate is fitted to {proposal.surrogate['known']} of 30 observations"
    assert f"2 surrogate points ({fit}) proposed in" in str(proposal)


WHOLE = 8


def of_rungs(study: StudySpec, trials: int) -> list[Observation]:
    """Return the losses of random points after a quarter, and for every third point also after a whole training.

    The lowest early loss is not where the lowest final loss is: it is the minimum of `(x - 0.2)**2`, and not of
    `(x - 0.7)**2`.
    """
    found = []
    for number, params in enumerate(SpaceConverter(study.space).random(trials, 5)):
        found.append(Observation(params, (params["x"] - 0.2) ** 2, None, 0.25))
        if number % 3 == 0:
            found.append(Observation(params, 0.2 + (params["x"] - 0.7) ** 2, 1.0))
    return found


def test_a_proposal_is_made_for_whole_trainings() -> None:
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, whole=WHOLE)
    proposal = propose(study, 1, 0, 4, ProposalInput(of_rungs(study, 24)))
    assert min(abs(point["x"] - 0.7) for point in proposal.points) < 0.05
    assert min(abs(point["x"] - 0.2) for point in proposal.points) > 0.05
    assert proposal.surrogate is not None
    # amplitude, the length scales of x and of the share, noise
    assert len(proposal.surrogate["theta"]) == 4


def test_a_point_known_only_at_a_rung_is_not_proposed_again() -> None:
    study = make(INTEGERS, whole=WHOLE)
    points = [study.space.point(number) for number in range(12)]
    history = [Observation(points[0], 1.0, None), *(Observation(point, 0.5, None, 0.25) for point in points[1:9])]
    proposal = propose(study, 1, 0, 4, ProposalInput(history))
    assert sorted(map(str, proposal.points)) == sorted(map(str, points[9:]))


def test_a_trial_counts_once_for_the_initial_points() -> None:
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, initial=10, whole=WHOLE)
    assert propose(study, 1, 0, 1, ProposalInput(of_rungs(study, 9), trials=9)).surrogate is None
    assert propose(study, 1, 0, 1, ProposalInput(of_rungs(study, 10), trials=10)).surrogate is not None


def test_a_failed_trial_is_not_the_best_if_no_trial_is_complete() -> None:
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, whole=WHOLE)
    at_rungs = [each for each in of_rungs(study, 24) if each.share < 1]
    failed = Observation({"x": 0.99}, None, None)
    best = expectation(study, 1, 0, ProposalInput([*at_rungs, failed]), {"x": 0.2})
    assert best is not None
    assert best.acquisition is not None
    assert best.acquisition < 0.1, "the lowest loss at a rung is the loss to improve on"


def test_a_recorded_kernel_without_the_shares_is_not_used() -> None:
    study = make({"x": {"type": "real", "low": 0, "high": 1}}, whole=WHOLE)
    whole = [each for each in of_rungs(study, 24) if each.share == 1]
    before = propose(study, 1, 0, 1, ProposalInput(whole)).surrogate
    assert before is not None
    assert len(before["theta"]) == 3
    fresh, resumed = (
        propose(study, 2, 0, 2, ProposalInput(of_rungs(study, 24), surrogate=one)) for one in (None, before)
    )
    assert (fresh.points, fresh.surrogate) == (resumed.points, resumed.surrogate)
