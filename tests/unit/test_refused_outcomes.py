"""Outcomes that the database refuses, which end the attempt and not the worker."""

import uuid

import pytest

from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import ValuesRefused
from ledger.worker.claimed_trials import ClaimedTrials
from ledger.worker.outcome import AttemptOutcome


class Ledger:
    """A ledger that refuses losses above 1 and errors with the word "bad"."""

    def __init__(self, *, refuses_all=False):
        self.losses, self.errors, self._refuses_all = {}, {}, refuses_all

    def call(self, function, *arguments):
        if function is protocol.complete_together:
            (results,) = arguments
            if self._refuses_all or any(result.loss > 1 for result in results):
                raise ValuesRefused("the loss is too large")
            self.losses |= {result.held.trial: result.loss for result in results}
            return ["recorded"] * len(results)
        assert function is protocol.fail
        held, error, _seconds, _kind, _output = arguments
        if self._refuses_all or "bad" in error:
            raise ValuesRefused("the error is too rude")
        self.errors[held.trial] = error
        return "retry"


OUTCOMES = [
    AttemptOutcome("result", 1.0, 0.5, {}),
    AttemptOutcome("result", 1.0, 2.0, {}),
    AttemptOutcome("failed", 1.0, error="bad words"),
    AttemptOutcome("result", 1.0, 0.75, {}),
    AttemptOutcome("timeout", 1.0, error="not done"),
]


def delivered(ledger):
    claimed = [
        ClaimedTrial(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 10.0, None, None)
        for trial in range(len(OUTCOMES))
    ]
    trials = ClaimedTrials(claimed, "w")
    trials.start()
    for outcome in OUTCOMES:
        trials.finish(outcome)
    trials.deliver(ledger.call)
    return trials


def test_a_refused_outcome_fails_its_own_attempt_with_the_reason():
    ledger = Ledger()
    delivered(ledger)
    assert ledger.losses == {0: 0.5, 3: 0.75}
    assert ledger.errors == {
        1: "the database refused the result of this attempt: the loss is too large",
        2: "the database refused the error of this attempt: the error is too rude",
        4: "not done",
    }


def test_an_attempt_whose_every_outcome_is_refused_is_left_and_named(caplog):
    ledger = Ledger(refuses_all=True)
    with caplog.at_level("WARNING", "ledger.worker"):
        trials = delivered(ledger)
        trials.deliver(ledger.call)
    assert ledger.losses == ledger.errors == {}
    assert [record.message for record in caplog.records] == [
        f"s trial {trial}: the database refused each outcome of this attempt (the error is too rude); after the"
        " end of the lease, the ledger will record the attempt as lost"
        for trial in range(len(OUTCOMES))
    ]


@pytest.mark.parametrize(
    "outcome", [AttemptOutcome("result", 1.0, 0.5, {}), AttemptOutcome("failed", 1.0, error="it failed")]
)
def test_a_worker_that_has_delivered_nothing_keeps_its_outcomes(outcome):
    ledger = Ledger()
    trials = ClaimedTrials([ClaimedTrial(uuid.uuid4(), 1, "s", 0, 1, {}, {}, 7, 30.0, 10.0, None, None)], "w")
    trials.start()
    trials.finish(outcome)

    def unavailable(*_):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        trials.deliver(unavailable)
    trials.deliver(ledger.call)
    assert ledger.losses or ledger.errors
