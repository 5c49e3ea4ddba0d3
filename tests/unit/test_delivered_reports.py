"""The order and the size of the calls with which a worker writes reports, without a database."""

import time
import uuid

import pytest

from ledger.database import protocol
from ledger.database.bounds import MOST_REPORTS_OF_CALL
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import DatabaseUnavailable, ValuesRefused
from ledger.worker.claimed_trials import REPORT_SECONDS, ClaimedTrials
from ledger.worker.outcome import AttemptOutcome, Report


class Ledger:
    """A ledger that lists the calls, and answers each report with `answer`."""

    def __init__(self):
        self.calls, self.answer = [], "continue"

    def call(self, function, *arguments):
        if isinstance(self.answer, Exception):
            raise self.answer
        if function is protocol.report:
            held, steps, _losses, metrics = arguments
            self.calls.append((held.trial, list(steps)) if metrics is None else (held.trial, list(steps), metrics))
            return self.answer
        self.calls.append(function.__name__)
        results = {
            protocol.complete_together: lambda: ["recorded"] * len(arguments[0]),
            protocol.heartbeat: lambda: True,
        }
        return results[function]()


def claimed(count=1):
    held = [ClaimedTrial(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 10.0, None, None) for trial in range(count)]
    trials = ClaimedTrials(held, "w")
    trials.start()
    return trials


def reports(*steps):
    return [Report(step, 0.5) for step in steps]


@pytest.fixture
def ledger():
    return Ledger()


def test_reports_that_arrive_one_by_one_are_written_together(ledger):
    trials = claimed()
    for step in range(5):
        trials.keep_reports(reports(step))
    assert trials.due_at <= time.monotonic() + REPORT_SECONDS
    assert trials.maintain(ledger.call)
    assert ledger.calls == [(0, [0, 1, 2, 3, 4])]
    assert trials.due_at > time.monotonic() + 1, "the next call is the heartbeat"


def test_the_metrics_of_some_reports_are_written_with_their_steps(ledger):
    trials = claimed()
    trials.keep_reports([Report(0, 0.5), Report(1, 0.5, {"rate": 0.1})])
    trials.maintain(ledger.call)
    assert ledger.calls == [(0, [0, 1], [None, {"rate": 0.1}])]


def test_many_reports_are_written_in_calls_of_bounded_size(ledger):
    trials = claimed()
    trials.keep_reports(reports(*range(2 * MOST_REPORTS_OF_CALL + 1)))
    trials.maintain(ledger.call)
    assert [len(steps) for _, steps in ledger.calls] == [MOST_REPORTS_OF_CALL, MOST_REPORTS_OF_CALL, 1]
    assert [step for _, steps in ledger.calls for step in steps] == list(range(2 * MOST_REPORTS_OF_CALL + 1))


def test_reports_come_before_the_results_of_their_trials(ledger):
    trials = claimed(3)
    before = trials.due_at
    trials.keep_reports(reports(0))
    assert trials.due_at == before, "trials that wait are not given back because of a report"
    trials.finish(AttemptOutcome("result", 1.0, 0.5, {}, reports=reports(1)))
    trials.finish(AttemptOutcome("result", 1.0, 0.5, {}, reports=reports(0, 1)))
    trials.keep_reports(reports(7))
    trials.deliver(ledger.call)
    assert ledger.calls == [(0, [0, 1]), (1, [0, 1]), (2, [7]), "complete_together"]


def test_reports_of_an_outage_are_kept_and_do_not_hasten_the_next_try(ledger):
    trials = claimed()
    trials.keep_reports(reports(0))
    ledger.answer = DatabaseUnavailable(60.0)
    with pytest.raises(DatabaseUnavailable):
        trials.maintain(ledger.call)
    trials.postpone(60.0)
    trials.keep_reports(reports(1, 2))
    assert trials.due_at > time.monotonic() + 50
    ledger.answer = "continue"
    assert trials.maintain(ledger.call)
    assert ledger.calls == [(0, [0, 1, 2])]


@pytest.mark.parametrize("answer", ["stale", "unknown"])
def test_a_refused_report_of_the_trial_in_training_ends_the_training(ledger, answer, caplog):
    trials = claimed()
    ledger.answer = answer
    trials.keep_reports(reports(*range(MOST_REPORTS_OF_CALL + 1)))
    assert not trials.maintain(ledger.call)
    assert len(ledger.calls) == 1, "the other reports are not sent"
    assert "the claim is no longer valid, so the worker stops the training" in caplog.text


def test_reports_that_the_database_refuses_are_named_and_left_out(ledger, caplog):
    trials = claimed()
    ledger.answer = ValuesRefused("too many")
    trials.keep_reports(reports(0))
    assert trials.maintain(ledger.call)
    assert "the database refused 1 reports (too many)" in caplog.text
    ledger.answer = "continue"
    assert trials.maintain(ledger.call)
    assert ledger.calls == []
