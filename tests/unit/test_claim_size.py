"""The number of trials that a worker claims at once follows from how long the last ones took."""

import pytest

from ledger.worker.claim_size import CLAIM_SECONDS, LARGEST_CLAIM, ClaimSizeEstimator
from ledger.worker.outcome import AttemptOutcome


def after(*outcomes: AttemptOutcome, study_id: int = 1) -> int:
    size = ClaimSizeEstimator()
    for outcome in outcomes:
        size.observe(study_id, outcome)
    return size.trials


def took(seconds: float) -> AttemptOutcome:
    return AttemptOutcome("result", seconds, loss=0.5)


def test_a_worker_that_has_trained_nothing_claims_one_trial():
    assert ClaimSizeEstimator().trials == 1


@pytest.mark.parametrize(
    ("seconds", "trials"),
    [(0.0, LARGEST_CLAIM), (1e-6, LARGEST_CLAIM), (CLAIM_SECONDS / 4, 4), (CLAIM_SECONDS, 1), (1e4, 1)],
)
def test_a_claim_covers_a_quarter_of_a_second_of_training(seconds, trials):
    assert after(took(seconds)) == trials


def test_one_long_trial_counts_at_once_and_for_a_while():
    assert after(*[took(1e-3)] * 50, took(10.0)) == 1
    assert after(*[took(1e-3)] * 50, took(10.0), *[took(1e-3)] * 10) == 1
    assert after(*[took(1e-3)] * 50, took(10.0), *[took(1e-3)] * 100) == LARGEST_CLAIM


@pytest.mark.parametrize("kind", ["failed", "timeout"])
def test_a_failure_counts_as_a_long_trial(kind):
    assert after(took(1e-3), AttemptOutcome(kind, 1e-3, error="it died")) == 1
    assert after(took(1e-3), AttemptOutcome(kind, 1e-3, error="it died"), took(1e-3)) == 1


def test_durations_of_another_study_do_not_count():
    size = ClaimSizeEstimator()
    size.observe(1, took(10.0))
    size.observe(2, took(1e-3))
    assert size.trials == LARGEST_CLAIM
