"""What a proposal is told of the trials before it."""

from types import SimpleNamespace
from typing import Any

from ledger.proposals import Observation, mean_loss, recall


def trial(number: int, iteration: int, state: str = "complete", round: int = 0, retry_of: int | None = None) -> Any:
    return SimpleNamespace(
        number=number,
        iteration=iteration,
        round=round,
        params={"x": number if retry_of is None else retry_of},
        state=state,
        loss=float(number) if state == "complete" else None,
        seconds=1.0 if state == "complete" else None,
        retry_of=retry_of,
    )


def seen(*trials: Any, iteration: int, round: int = 0) -> tuple[list[tuple[int, float | None]], list[int]]:
    past = recall(trials, iteration, round, None)
    assert not past.under_way
    return [(one.params["x"], one.loss) for one in past.history], [params["x"] for params in past.taken]


def test_earlier_iterations_are_told_and_earlier_rounds_are_only_taken():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1, "failed"), trial(3, 1, round=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=1, round=1) == ([(0, 0.0), (1, None)], [2])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (1, None), (2, None), (3, 3.0)], [])
    assert recall(trials, 1, 0, None).history[0] == Observation({"x": 0}, 0.0, 1.0)


def test_a_cancelled_trial_is_taken_and_not_told():
    assert seen(trial(0, 0), trial(1, 0, "cancelled"), iteration=1) == ([(0, 0.0)], [1])


def test_a_retry_speaks_for_its_trial_from_the_next_iteration_on():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1), trial(3, 1, retry_of=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (2, 2.0), (1, 3.0)], [])


def test_in_steady_mode_the_order_in_which_ends_were_seen_counts_and_the_rest_is_under_way():
    trials = [trial(0, 0), trial(1, 0), trial(2, 0, "running"), trial(3, 1, "cancelled"), trial(4, 2, "pending")]
    past = recall(trials, 3, 0, {"theta": [0.0]}, seen=[1, 3, 0])
    assert [one.params["x"] for one in past.history] == [1, 0]
    assert past.taken == [{"x": 3}]
    assert past.under_way == [{"x": 2}, {"x": 4}]
    assert past.surrogate == {"theta": [0.0]}
    assert recall(trials, 2, 0, None, seen=[1]).under_way == [{"x": 0}, {"x": 2}, {"x": 3}]


def test_in_steady_mode_a_retry_speaks_for_its_trial_once_its_end_was_seen():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1, retry_of=1)]
    before = recall(trials, 2, 0, None, seen=[0, 1])
    assert [one.loss for one in before.history] == [0.0, None]
    assert before.under_way == [{"x": 1}]
    assert [one.loss for one in recall(trials, 2, 0, None, seen=[0, 1, 2]).history] == [0.0, 2.0]


def test_the_mean_of_huge_losses_is_a_number():
    assert mean_loss([1.7e308] * 8) == 1.7e308
    assert mean_loss([0.25, 0.75]) == 0.5
