"""The verdicts that a worker computes from the reports of a trial, without the database."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.worker.trial_stopping import TrialStopping, reports_of_call


def stopping(*rungs: dict[str, Any], **facts: Any) -> TrialStopping:
    first = {"cutoff": 0.5, "compared": 4, "stops": None, "last_step": None, "last_loss": None}
    known = [{**first, **rung} for rung in rungs]
    return TrialStopping({"eta": 2, "enforce": False, "audited": False, "rungs": known, **facts})


def test_a_rung_takes_the_last_step_at_or_below_it():
    trial = stopping({"step": 3})
    assert not trial.observe(0, 0.9)
    assert not trial.observe(2, 0.4)
    assert trial.observe(5, 0.9)
    assert not trial.is_stopped


def test_a_trial_is_stopped_at_the_first_rung_with_too_high_a_loss():
    trial = stopping({"step": 1, "cutoff": 0.6}, {"step": 2}, {"step": 4})
    for step, loss in enumerate((0.9, 0.55)):
        trial.observe(step, loss)
        assert not trial.is_stopped
    assert trial.observe(2, 0.5), "an equal loss stops"
    assert trial.is_stopped
    assert not trial.observe(4, 0.0)
    assert trial.is_stopped


@pytest.mark.parametrize(("earlier", "is_stopped"), [(0.4, False), (0.6, True), (None, True)])
def test_a_skipped_rung_takes_the_report_of_an_earlier_attempt(earlier, is_stopped):
    trial = stopping({"step": 5, "last_step": 4, "last_loss": earlier})
    assert trial.observe(6, 0.1)
    assert trial.is_stopped == is_stopped


def test_a_report_of_the_attempt_replaces_the_report_of_an_earlier_attempt():
    trial = stopping({"step": 5, "last_step": 4, "last_loss": 0.9})
    assert not trial.observe(0, 0.1)
    assert trial.observe(6, 0.9)
    assert not trial.is_stopped


@pytest.mark.parametrize(
    ("rung", "loss", "is_stopped"),
    [
        ({"compared": 1}, 9.0, False),
        ({"compared": 1}, None, False),
        ({"cutoff": None}, 9.0, False),
        ({"cutoff": None}, None, True),
        ({"stops": True}, 0.0, True),
        ({"stops": False}, 9.0, False),
        ({"compared": 0, "cutoff": None, "stops": True}, 0.0, True),
    ],
)
def test_a_missing_loss_is_the_worst_and_a_recorded_verdict_stands(rung, loss, is_stopped):
    trial = stopping({"step": 1, **rung})
    assert trial.observe(1, loss)
    assert trial.is_stopped == is_stopped


def test_a_trial_of_the_audit_and_a_trial_without_a_rule_are_never_stopped():
    audited = stopping({"step": 1}, audited=True)
    assert audited.observe(1, 9.0)
    assert not audited.is_stopped
    assert not stopping({"step": 1, "cutoff": None, "compared": None}, audited=True).asks_database
    assert not stopping({"step": 1, "cutoff": None, "compared": 0}).asks_database, "the first iteration in batch mode"
    without = TrialStopping(None)
    assert not without.observe(1, 9.0)
    assert not without.is_stopped


def test_a_trial_pauses_at_the_first_rung_without_a_verdict():
    decided = {"step": 1, "stops": False, "last_step": 1, "last_loss": 9.0}
    trial = stopping(decided, {"step": 2, "stops": True, "last_step": 1, "last_loss": 9.0})
    assert trial.observe(1, 9.0), "a training that begins again passes the decided rung"
    assert not trial.is_stopped
    assert trial.observe(2, 0.0)
    assert trial.is_stopped


def test_a_trial_does_not_pause_at_a_rung_without_a_report():
    trial = stopping({"step": 1, "stops": True}, {"step": 4, "stops": True})
    assert not trial.observe(3, 0.5), "the rung 1 gets no verdict"
    assert not trial.is_stopped
    assert trial.observe(4, 0.5)
    assert trial.is_stopped


@pytest.mark.parametrize("first", [4, 5])
def test_a_skipped_rung_has_no_verdict_after_a_lower_step(first):
    trial = stopping({"step": 3}, {"step": 6})
    assert not trial.observe(first, 0.1)
    assert not trial.observe(2, 0.9)
    assert trial.observe(6, 0.1)
    assert not trial.is_stopped


def test_an_enforced_rule_ends_a_training_that_goes_on_to_report():
    asked, enforced = stopping({"step": 1}), stopping({"step": 1}, enforce=True)
    for trial in (asked, enforced):
        trial.observe(1, 9.0)
        assert trial.is_stopped
        assert not trial.must_end, "the objective may still ask"
        trial.observe(2, 0.0)
    assert (asked.must_end, enforced.must_end) == (False, True)


def test_the_verdict_of_the_database_stops_a_trial_in_steady_mode():
    trial = stopping({"step": 1, "cutoff": None, "compared": None}, enforce=True)
    assert trial.asks_database
    assert trial.observe(1, 9.0)
    assert not trial.is_stopped
    trial.stop()
    assert trial.is_stopped
    assert not trial.must_end
    trial.observe(2, 9.0)
    assert trial.must_end


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 6))
def test_each_call_has_only_rising_steps_or_one_step(steps, most):
    """So the database sees a report at a rung exactly if the report came before the report that reached the rung."""
    sent: list[list[int]] = []
    highest, left = -1, list(steps)
    while left:
        count = reports_of_call(highest, left, most)
        assert 1 <= count <= most
        sent.append(left[:count])
        if count > 1:
            assert sorted({highest, *sent[-1]}) == [highest, *sent[-1]]
        highest, left = max(highest, *sent[-1]), left[count:]
    assert [step for call in sent for step in call] == steps
