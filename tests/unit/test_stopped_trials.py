"""The calls with which a worker ends a trial that the rule of early stopping has stopped, without a database."""

import time
import uuid

import pytest

from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.worker.claimed_trials import ClaimedTrials
from ledger.worker.outcome import AttemptOutcome, Report

PRUNED = AttemptOutcome("pruned", 1.5, output="said")


class Ledger:
    """A ledger that lists the calls, and answers reports and ends of trials with given words."""

    def __init__(self):
        self.calls, self.reported, self.pruned = [], "continue", "pruned"

    def call(self, function, *arguments):
        held, *rest = arguments
        if function is protocol.complete_together:
            self.calls.append(("complete", [(result.held.trial, result.loss) for result in held]))
            return ["recorded"] * len(held)
        self.calls.append((function.__name__, held.trial, *rest))
        return {
            protocol.report: self.reported,
            protocol.prune: self.pruned,
            protocol.fail: "failed",
            protocol.heartbeat: True,
            protocol.release: {held.claim},
        }[function]


@pytest.fixture
def ledger():
    return Ledger()


def claimed(count=1, *, enforce=False, knows=True, waits=False):
    """Claim trials with rungs at the steps 1 and 3. In steady mode, a worker knows no cutoff.

    In a study with groups, a trial waits at a rung for its verdict.
    """
    rungs = [
        {
            "step": step,
            "cutoff": 0.5 if knows else None,
            "compared": 4 if knows else None,
            "stops": None,
            "last_step": None,
            "last_loss": None,
        }
        for step in (1, 3)
    ]
    stopping = {"eta": 2, "enforce": enforce, "audited": False, "waits": waits, "rungs": rungs}
    held = [
        ClaimedTrial(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 10.0, None, None, [], stopping)
        for trial in range(count)
    ]
    trials = ClaimedTrials(held, "w")
    trials.start()
    return trials


def test_a_pruned_attempt_is_written_after_its_reports(ledger):
    trials = claimed(2)
    trials.keep_reports([Report(1, 0.9)])
    trials.finish(PRUNED)
    trials.finish(AttemptOutcome("result", 1.0, 0.25, {}))
    ledger.reported = "stop"
    trials.deliver(ledger.call)
    assert ledger.calls == [("report", 0, [1], [0.9], None), ("complete", [(1, 0.25)]), ("prune", 0, 1.5, "said")]
    assert trials.attempts == 2


def test_without_a_verdict_the_attempt_fails_with_the_way_out(ledger):
    trials = claimed()
    ledger.pruned = "continue"
    trials.finish(PRUNED)
    trials.deliver(ledger.call)
    (_, _, error, seconds, outcome, output) = ledger.calls[-1]
    assert ledger.calls[-1][0] == "fail"
    assert error.startswith("the objective raised ledger.TrialPruned, but no verdict stops the trial: raise")
    assert (seconds, outcome, output) == (1.5, "failed", "said")


@pytest.mark.parametrize("answer", ["already", "stale", "unknown"])
def test_other_answers_end_the_attempt(ledger, answer, caplog):
    caplog.set_level("INFO")
    trials = claimed()
    ledger.pruned = answer
    trials.finish(PRUNED)
    trials.deliver(ledger.call)
    trials.deliver(ledger.call)
    assert [name for name, *_ in ledger.calls] == ["prune"]
    assert ("too late" in caplog.text) == (answer != "already")


def test_a_stopped_trial_keeps_its_claim_and_may_complete(ledger):
    trials = claimed()
    ledger.reported = "stop"
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call), "the claim is valid"
    trials.finish(AttemptOutcome("result", 1.0, 0.25, {}))
    trials.deliver(ledger.call)
    assert ledger.calls[-1] == ("complete", [(0, 0.25)])


@pytest.mark.parametrize(
    ("knows", "answer", "learned"),
    # in batch mode, the trainer computes the same verdict
    [
        (True, "stop", None),
        (True, "continue", None),
        (False, "stop", (1, True, False)),
        (False, "continue", (1, False, False)),
    ],
)
def test_the_trainer_learns_only_what_it_cannot_know(ledger, knows, answer, learned):
    ledger.reported = answer
    trials = claimed(knows=knows)
    trials.keep_reports([Report(0, 0.9)])
    assert trials.take_verdict() is None
    trials.keep_reports([Report(1, 0.9)])
    assert trials.take_verdict() is None
    assert trials.maintain(ledger.call)
    assert trials.take_verdict() == learned
    assert trials.take_verdict() is None


def test_the_trainer_does_not_wait_for_a_database_that_is_away(ledger):
    trials = claimed(knows=False)
    trials.keep_reports([Report(1, 0.9)])
    trials.postpone(60.0)
    assert trials.take_verdict() == (1, False, False)
    ledger.reported = "stop"
    assert trials.maintain(ledger.call)
    assert trials.take_verdict() == (None, True, False), "the verdict comes when the database is available again"


def test_the_trainer_does_not_wait_beside_trials_that_wait_for_it():
    trials = claimed(2, knows=False)
    trials.keep_reports([Report(1, 0.9)])
    assert trials.take_verdict() == (1, False, False)


def test_the_end_of_a_trial_ends_the_wait_for_its_verdict(ledger):
    trials = claimed(2, knows=False)
    trials.finish(AttemptOutcome("result", 1.0, 0.25, {}, reports=[Report(1, 0.9)]))
    trials.deliver(ledger.call)
    assert trials.take_verdict() is None


def test_a_report_at_a_rung_is_written_at_once():
    trials = claimed()
    trials.keep_reports([Report(0, 0.1)])
    assert trials.due_at > time.monotonic() + 0.1
    trials.keep_reports([Report(1, 0.1)])
    assert trials.due_at <= time.monotonic()


def test_an_enforced_rule_ends_the_attempt_at_the_next_report(ledger):
    trials = claimed(enforce=True)
    trials.keep_reports([Report(1, 0.9)])
    assert not trials.must_end
    trials.keep_reports([Report(2, 0.1)])
    assert trials.must_end


@pytest.mark.parametrize(("enforce", "kind"), [(False, "complete"), (True, "prune")])
def test_an_enforced_rule_replaces_a_result_after_another_report(ledger, enforce, kind):
    """The result can arrive together with the reports, before the worker could end the training."""
    trials = claimed(enforce=enforce)
    trials.finish(AttemptOutcome("result", 1.0, 0.25, {}, reports=[Report(1, 0.9), Report(2, 0.3)]))
    trials.deliver(ledger.call)
    assert ledger.calls[-1][0] == kind


def test_a_step_that_falls_is_written_in_a_call_of_its_own(ledger):
    trials = claimed()
    trials.keep_reports([Report(step, 0.1) for step in (0, 2, 1, 3, 4)])
    trials.maintain(ledger.call)
    assert [steps for _, _, steps, *_ in ledger.calls] == [[0, 2], [1], [3, 4]]


@pytest.mark.parametrize(("answer", "verdict"), [("continue", (1, False, False)), ("stop", (1, True, False))])
def test_a_worker_asks_again_while_a_trial_waits_for_earlier_groups(ledger, answer, verdict):
    trials = claimed(knows=False, waits=True)
    ledger.reported = "wait"
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call)
    assert trials.is_waiting
    assert trials.take_verdict() is None
    assert trials.due_at < time.monotonic() + 1.0
    assert trials.maintain(ledger.call)
    assert trials.take_verdict() is None
    ledger.reported = answer
    assert trials.maintain(ledger.call)
    assert trials.take_verdict() == verdict
    assert not trials.is_waiting
    assert trials.waited > 0
    assert ledger.calls == [("report", 0, [1], [0.9], None), *[("report", 0, [], [], None)] * 2]
    trials.finish(PRUNED)
    assert trials.waited == 0


def test_a_waiting_trial_waits_for_a_database_that_is_away():
    trials = claimed(knows=False, waits=True)
    trials.keep_reports([Report(1, 0.9)])
    trials.postpone(60.0)
    assert trials.take_verdict() is None


def test_a_report_at_a_rung_of_a_group_is_written_at_once(ledger):
    trials = claimed(2, knows=False, waits=True)
    trials.keep_reports([Report(1, 0.9)])
    assert trials.due_at <= time.monotonic()


@pytest.mark.parametrize("asked", ["by the ledger", "by a request to stop"])
def test_a_trial_that_waits_leaves_without_a_verdict(ledger, asked):
    trials = claimed(knows=False, waits=True)
    ledger.reported = "release" if asked == "by the ledger" else "wait"
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call)
    trials.leave()
    assert trials.take_verdict() == (1, True, True)
    assert trials.take_verdict() is None
    ledger.pruned = "continue"
    trials.finish(PRUNED)
    trials.deliver(ledger.call)
    assert [call[:2] for call in ledger.calls][-2:] == [("prune", 0), ("release", 0)]
    assert trials.start() == []


@pytest.mark.parametrize(("answer", "last"), [("wait", "release"), ("continue", "release"), ("stop", "complete")])
def test_a_result_of_a_trial_that_left_counts_only_after_a_verdict(ledger, answer, last):
    """The objective ended its loop because `context.should_prune()` returned True, and returned the last loss."""
    trials = claimed(knows=False, waits=True)
    ledger.reported = "release"
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call)
    ledger.reported = answer
    trials.finish(AttemptOutcome("left", 1.0, 0.9, {}))
    trials.deliver(ledger.call)
    assert [name for name, *_ in ledger.calls] == ["report", "report", last]
    trials.deliver(ledger.call)
    assert len(ledger.calls) == 3


def test_a_trial_that_leaves_can_still_be_pruned(ledger, caplog):
    caplog.set_level("INFO")
    trials = claimed(knows=False, waits=True)
    ledger.reported = "release"
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call)
    trials.finish(PRUNED)
    trials.deliver(ledger.call)
    assert ledger.calls[-1][:2] == ("prune", 0)
    assert "trial 0 pruned" in caplog.text


def test_a_trial_that_does_not_wait_does_not_leave(ledger):
    trials = claimed(knows=False, waits=True)
    trials.leave()
    assert trials.take_verdict() is None
    trials.keep_reports([Report(1, 0.9)])
    assert trials.maintain(ledger.call)
    trials.leave()
    assert trials.take_verdict() == (1, False, False)


def test_an_enforced_rule_ends_a_training_that_leaves(ledger):
    trials = claimed(enforce=True, knows=False, waits=True)
    ledger.reported = "release"
    trials.keep_reports([Report(1, 0.9)])
    assert not trials.must_end
    assert trials.maintain(ledger.call)
    assert trials.must_end
