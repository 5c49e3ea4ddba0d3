"""The input that a proposal is made from."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.proposals import Observation, mean_loss, observed_trials, proposal_input, whole_training
from tests.unit.proposed import MIXED, make


def trial(number: int, iteration: int, state: str = "complete", round: int = 0, retry_of: int | None = None) -> Any:
    return SimpleNamespace(
        number=number,
        iteration=iteration,
        round=round,
        params={"x": number if retry_of is None else retry_of},
        state=state,
        loss=float(number) if state == "complete" else None,
        pruned_loss=float(number) if state == "pruned" else None,
        seconds=1.0 if state == "complete" else None,
        retry_of=retry_of,
    )


def seen(*trials: Any, iteration: int, round: int = 0) -> tuple[list[tuple[int, float | None]], list[int]]:
    given = proposal_input(trials, iteration, round, None)
    assert not given.in_flight
    return [(one.params["x"], one.loss) for one in given.observations], [params["x"] for params in given.excluded]


def test_earlier_iterations_are_observed_and_earlier_rounds_excluded():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1, "failed"), trial(3, 1, round=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=1, round=1) == ([(0, 0.0), (1, None)], [2])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (1, None), (2, None), (3, 3.0)], [])
    assert proposal_input(trials, 1, 0, None).observations[0] == Observation({"x": 0}, 0.0, 1.0)


def test_a_pruned_trial_has_the_loss_that_stopped_it_and_is_never_the_best():
    trials = [trial(1, 0), trial(2, 0, "pruned"), trial(0, 0, "pruned"), trial(3, 0)]
    assert seen(*trials, iteration=1) == ([(1, 1.0), (2, 2.0), (0, 1.0), (3, 3.0)], [])
    assert seen(trial(2, 0, "pruned"), iteration=1) == ([(2, 2.0)], [])
    without = trial(2, 0, "pruned")
    without.pruned_loss = None
    assert seen(trial(1, 0), without, iteration=1) == ([(1, 1.0), (2, None)], [])


def test_a_pruned_trial_is_told_with_the_median_gain_of_complete_trials():
    trials = [trial(1, 0), trial(2, 0), trial(3, 0), trial(9, 0, "pruned"), trial(8, 0, "pruned"), trial(4, 0)]
    rung_losses = {
        1: {1: 5.0, 3: 3.0},
        2: {1: 5.0, 3: 4.0},
        3: {1: 5.0},
        9: {1: 9.0},
        8: {1: 9.0, 3: 8.0},
        4: {1: 99.0},
    }
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses)
    assert [one.loss for one in given.observations] == [1.0, 2.0, 3.0, 9.0 - 3.5, 8.0 - 2.0, 4.0]
    without = proposal_input(trials, 1, 0, None, rung_losses={9: {1: 9.0}})
    assert without.observations[3].loss == 9.0


def test_a_trial_that_is_not_observed_says_nothing_about_the_gain():
    trials = [trial(1, 0), trial(9, 0, "pruned"), trial(3, 1)]
    given = proposal_input(trials, 1, 0, None, rung_losses={1: {1: 2.0}, 9: {1: 9.0}, 3: {1: 99.0}})
    assert [one.loss for one in given.observations] == [1.0, 8.0]


def test_the_estimate_of_a_pruned_trial_is_finite():
    trials = [trial(1, 0), trial(2, 0, "pruned"), trial(3, 0)]
    trials[0].loss, trials[1].pruned_loss, trials[2].loss = 1e308, 1.5e308, -1e308
    for rung_losses in ({1: {1: -1e308}, 2: {1: 1.5e308}}, {1: {1: -1e308}, 3: {1: 1e308}, 2: {1: 1.5e308}}):
        assert proposal_input(trials, 1, 0, None, rung_losses=rung_losses).observations[1].loss == 1.5e308


def test_a_cancelled_trial_is_excluded():
    assert seen(trial(0, 0), trial(1, 0, "cancelled"), iteration=1) == ([(0, 0.0)], [1])


def test_a_retry_replaces_its_trial_from_the_next_iteration_on():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1), trial(3, 1, retry_of=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (2, 2.0), (1, 3.0)], [])


def test_in_steady_mode_trials_not_seen_to_end_are_in_flight():
    trials = [trial(0, 0), trial(1, 0), trial(2, 0, "running"), trial(3, 1, "cancelled"), trial(4, 2, "pending")]
    given = proposal_input(trials, 3, 0, {"theta": [0.0]}, seen=[1, 3, 0])
    assert [one.params["x"] for one in given.observations] == [1, 0]
    assert given.excluded == [{"x": 3}]
    assert given.in_flight == [{"x": 2}, {"x": 4}]
    assert given.surrogate == {"theta": [0.0]}
    assert proposal_input(trials, 2, 0, None, seen=[1]).in_flight == [{"x": 0}, {"x": 2}, {"x": 3}]


def test_in_steady_mode_a_retry_replaces_its_trial_once_it_has_ended():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1, retry_of=1)]
    before = proposal_input(trials, 2, 0, None, seen=[0, 1])
    assert [one.loss for one in before.observations] == [0.0, None]
    assert before.in_flight == [{"x": 1}]
    assert [one.loss for one in proposal_input(trials, 2, 0, None, seen=[0, 1, 2]).observations] == [0.0, 2.0]


def test_in_steady_mode_a_paused_trial_has_the_estimate_of_a_pruned_trial():
    trials = [trial(1, 0), trial(2, 0, "running"), trial(2, 0, "pruned"), trial(9, 0, "paused"), trial(5, 1)]
    for number, each in enumerate(trials):
        each.number = number
    rung_losses = {0: {1: 5.0, 3: 3.0}, 2: {1: 9.0}, 3: {1: 9.0, 3: 8.0}}
    trials[2].pruned_loss = 9.0
    given = proposal_input(trials, 2, 0, None, [0, 2, 3], rung_losses, [None, None, 1])
    assert [one.loss for one in given.observations] == [1.0, 9.0 - 4.0, 9.0 - 4.0]
    assert [one.seconds for one in given.observations] == [1.0, None, None]
    assert given.in_flight == [{"x": 2}, {"x": 5}]
    without = proposal_input(trials, 2, 0, None, [3], {}, [1])
    assert [one.loss for one in without.observations] == [None], "the value at the rung was NaN"


@pytest.mark.parametrize("state", ["pending", "running", "paused", "complete", "cancelled", "failed"])
def test_a_later_state_of_a_paused_trial_changes_no_earlier_proposal(state):
    trials = [trial(0, 0), trial(4, 0, state)]
    trials[1].number = 1
    rung_losses = {0: {1: 2.0}, 1: {1: 4.0, 3: 1.0}}
    given = proposal_input(trials, 1, 0, None, [0, 1], rung_losses, [None, 1])
    assert given.observations == [Observation({"x": 0}, 0.0, 1.0), Observation({"x": 4}, 2.0, None)]
    assert (given.excluded, given.in_flight) == ([], [])


def test_the_newest_value_of_a_trial_counts():
    trials = [trial(0, 0), trial(1, 0), trial(2, 0)]
    rung_losses = {0: {1: 8.0}, 1: {1: 6.0, 3: 4.0}, 2: {}}
    seen, rungs = [0, 1, 2, 1, 0], [1, 1, None, 3, None]
    given = proposal_input(trials, 1, 0, None, seen, rung_losses, rungs)
    assert [(one.params["x"], one.loss) for one in given.observations] == [(2, 2.0), (1, 4.0), (0, 0.0)]
    observed = observed_trials(trials, 1, seen, rung_losses, rungs)
    assert [(one.number, rung) for one, rung in observed] == [(2, None), (1, 3), (0, None)]


def at_shares(given: Any) -> list[tuple[int, float | None, float]]:
    return [(one.params["x"], one.loss, one.share) for one in given.observations]


def test_each_loss_at_the_highest_rung_of_a_pruned_trial_is_observed():
    trials = [trial(1, 0), trial(9, 0, "pruned"), trial(3, 0, "failed"), trial(8, 0, "pruned"), trial(4, 0)]
    rung_losses = {1: {1: 5.0, 3: 2.0}, 9: {1: 9.0}, 3: {1: 0.5}, 8: {1: 8.5, 3: 8.0}, 4: {3: 6.0, 1: 7.0}}
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses, whole=12)
    assert at_shares(given) == [
        *((1, 1.0, 1.0), (9, 9.0, 1 / 12), (3, None, 1.0), (8, 8.0, 0.25)),
        *((4, 7.0, 1 / 12), (4, 6.0, 0.25), (4, 4.0, 1.0)),
    ]
    observed = observed_trials(trials, 1, rung_losses=rung_losses, whole=12)
    assert [one.number for one, _ in observed] == [1, 9, 3, 8, 4, 4, 4]


def test_at_most_one_other_loss_for_each_stopped_trial_is_observed():
    trials = [trial(number, 0, "pruned") for number in range(7)] + [trial(7, 0), trial(8, 0), trial(9, 0, "failed")]
    rung_losses = {number: {1: 9.0, 4: 8.0, 6: 7.0} for number in range(10)} | {8: {1: 9.0, 2: 8.0, 4: 7.0}}
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses, whole=8)
    assert at_shares(given) == [
        *((number, 7.0, 0.75) for number in range(5)),
        *((number, loss, share) for number in (5, 6) for loss, share in ((9.0, 1 / 8), (7.0, 0.75))),
        *((7, 9.0, 1 / 8), (7, 7.0, 0.75), (7, 7.0, 1.0)),
        *((8, 9.0, 1 / 8), (8, 8.0, 0.25), (8, 7.0, 0.5), (8, 8.0, 1.0)),
        (9, None, 1.0),
    ]


def test_a_trial_shows_its_highest_rungs_if_the_limit_excludes_some():
    trials = [trial(0, 0, "pruned"), trial(1, 0, "pruned"), trial(2, 0)]
    rung_losses = {0: {1: 9.0}, 1: {1: 9.0}, 2: {1: 9.0, 2: 8.0, 4: 7.0}}
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses, whole=8)
    assert at_shares(given)[2:] == [(2, 8.0, 0.25), (2, 7.0, 0.5), (2, 2.0, 1.0)]


def test_at_most_250_losses_at_other_rungs_are_observed():
    trials = [trial(number, 0, "pruned") for number in range(500)]
    rung_losses = {number: {1: 9.0, 4: 8.0} for number in range(500)}
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses, whole=8)
    counts = Counter(one.params["x"] for one in given.observations)
    assert counts == {number: 1 if number < 250 else 2 for number in range(500)}


def test_in_steady_mode_later_ends_are_later_trials():
    trials = [trial(number, 0, "pruned") for number in range(3)]
    rung_losses = {number: {1: 9.0, 2: 9.0, 4: 8.0} for number in range(3)}
    given = proposal_input(trials, 1, 0, None, [2, 0, 1], rung_losses, [None, None, None], whole=8)
    assert [one.params["x"] for one in given.observations] == [2, 0, 0, 1, 1, 1]


def test_a_trial_stopped_without_a_loss_at_a_rung_allows_no_other_loss():
    known = {number: {1: 9.0, 3: 8.0} for number in (0, 1)}
    of_nan = [trial(0, 0), trial(1, 0), trial(2, 0, "pruned")]
    of_nan[2].pruned_loss = None
    imported = [trial(0, 0), trial(1, 0), trial(2, 0, "pruned")]
    paused = [trial(0, 0), trial(1, 0), trial(2, 0, "running")]
    for trials, seen in ((of_nan, None), (imported, None), (paused, [0, 1, 2])):
        rungs = None if seen is None else [None, None, 3]
        given = proposal_input(trials, 1, 0, None, seen, known, rungs, whole=8)
        assert [one.share for one in given.observations] == [1.0, 1.0, 1.0]


def test_without_stopped_trials_the_surrogate_learns_as_without_a_rule():
    trials = [trial(0, 0), trial(1, 0), trial(2, 0, "failed")]
    rung_losses = {number: {1: 9.0} for number in range(3)}
    given = proposal_input(trials, 1, 0, None, rung_losses=rung_losses, whole=4)
    assert given == proposal_input(trials, 1, 0, None)


def test_a_pruned_trial_without_a_loss_at_a_rung_is_never_the_best():
    trials = [trial(2, 0), trial(1, 0, "pruned"), trial(5, 0, "pruned"), trial(6, 0, "pruned")]
    trials[3].pruned_loss = None
    given = proposal_input(trials, 1, 0, None, rung_losses={2: {1: 3.0}, 6: {1: 3.0}}, whole=4)
    assert at_shares(given) == [(2, 2.0, 1.0), (1, 2.0, 1.0), (5, 5.0, 1.0), (6, None, 1.0)]


def test_of_many_rungs_the_surrogate_knows_a_few():
    losses = {rung: float(rung) for rung in range(1, 100)}
    trials = [trial(number, 0, "pruned") for number in range(12)]
    given = proposal_input(
        trials, 1, 0, None, rung_losses={key: {99: 99.0} for key in range(11)} | {11: losses}, whole=100
    )
    assert [one.loss for one in given.observations[11:]] == [1.0, 3.0, 6.0, 12.0, 24.0, 49.0, 99.0]


def test_a_paused_trial_has_the_losses_until_its_pause():
    trials = [trial(0, 0, "pruned"), trial(1, 0, "running")]
    rung_losses = {0: {1: 8.0}, 1: {1: 6.0, 3: 4.0, 9: 2.0}}
    given = proposal_input(trials, 1, 0, None, [0, 1], rung_losses, [None, 3], whole=10)
    assert at_shares(given) == [(0, 8.0, 0.1), (1, 6.0, 0.1), (1, 4.0, 0.3)]
    given = proposal_input(trials, 1, 0, None, [0, 1], {0: {1: 8.0}, 1: {1: 6.0}}, [None, 3], whole=10)
    assert at_shares(given)[1:] == [(1, None, 1.0)], "the loss at the last rung was NaN"


@pytest.mark.parametrize(
    ("whole", "estimator", "acq_func", "expected"),
    [
        (9, "GP", "EI", 9),
        (9, "GP", "MES", 9),
        (None, "GP", "EI", None),
        (9, "ET", "EI", None),
        (9, "GP", "EIps", None),
    ],
)
def test_only_a_gp_of_losses_models_the_losses_at_rungs(whole, estimator, acq_func, expected):
    assert whole_training(make(MIXED, estimator, acq_func, whole=whole)) == expected


def test_the_mean_of_huge_losses_is_a_number():
    assert mean_loss([1.7e308] * 8) == 1.7e308
    assert mean_loss([0.25, 0.75]) == 0.5
