"""How many trials a worker claims at once, from how long the last ones took."""

import pytest

from ledger.worker.pace import AHEAD_SECONDS, MOST_AHEAD, Pace
from ledger.worker.trainer import Trained


def after(*trained: Trained, study_id: int = 1) -> int:
    pace = Pace()
    for each in trained:
        pace.saw(study_id, each)
    return pace.claims


def took(seconds: float) -> Trained:
    return Trained("result", seconds, loss=0.5)


def test_a_worker_that_has_trained_nothing_yet_claims_one():
    assert Pace().claims == 1


@pytest.mark.parametrize(
    ("seconds", "claims"), [(0.0, MOST_AHEAD), (1e-6, MOST_AHEAD), (AHEAD_SECONDS / 4, 4), (AHEAD_SECONDS, 1), (1e4, 1)]
)
def test_as_many_are_claimed_as_are_expected_to_take_a_quarter_of_a_second(seconds, claims):
    assert after(took(seconds)) == claims


def test_one_long_trial_counts_at_once_and_for_a_while():
    assert after(*[took(1e-3)] * 50, took(10.0)) == 1
    assert after(*[took(1e-3)] * 50, took(10.0), *[took(1e-3)] * 10) == 1
    assert after(*[took(1e-3)] * 50, took(10.0), *[took(1e-3)] * 100) == MOST_AHEAD


@pytest.mark.parametrize("kind", ["failed", "timeout"])
def test_a_failure_counts_as_a_long_trial(kind):
    assert after(took(1e-3), Trained(kind, 1e-3, error="it died")) == 1
    assert after(took(1e-3), Trained(kind, 1e-3, error="it died"), took(1e-3)) == 1


def test_of_another_study_nothing_is_known():
    pace = Pace()
    pace.saw(1, took(10.0))
    pace.saw(2, took(1e-3))
    assert pace.claims == MOST_AHEAD
