"""What a proposal is told of the trials before it."""

from types import SimpleNamespace
from typing import Any

from ledger.optimizer import Observation, mean_loss, recall


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
    history, taken = recall(trials, iteration, round)
    return [(one.params["x"], one.loss) for one in history], [params["x"] for params in taken]


def test_earlier_iterations_are_told_and_earlier_rounds_are_only_taken():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1, "failed"), trial(3, 1, round=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=1, round=1) == ([(0, 0.0), (1, None)], [2])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (1, None), (2, None), (3, 3.0)], [])
    assert recall(trials, 1, 0)[0][0] == Observation({"x": 0}, 0.0, 1.0)


def test_a_cancelled_trial_is_taken_and_not_told():
    assert seen(trial(0, 0), trial(1, 0, "cancelled"), iteration=1) == ([(0, 0.0)], [1])


def test_a_retry_speaks_for_its_trial_from_the_next_iteration_on():
    trials = [trial(0, 0), trial(1, 0, "failed"), trial(2, 1), trial(3, 1, retry_of=1), trial(4, 2)]
    assert seen(*trials, iteration=1) == ([(0, 0.0), (1, None)], [])
    assert seen(*trials, iteration=2) == ([(0, 0.0), (2, 2.0), (1, 3.0)], [])


def test_the_mean_of_huge_losses_is_a_number():
    assert mean_loss([1.7e308] * 8) == 1.7e308
    assert mean_loss([0.25, 0.75]) == 0.5
