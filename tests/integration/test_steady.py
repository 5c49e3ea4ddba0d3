"""Steady mode: a fixed number of trials in flight, and a record of the ends that each proposal saw, for `verify`."""

import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.database import protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.manager.loop import StudyProgress
from ledger.manager.registration import register
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.verification import VerificationResult, verify
from tests.integration.ledgers import UNTOLD, claim_one, managed

FILE = """
[study]
name = "s"
mode = "steady"
iterations = 5
batch_size = 4
seed = 1
[objective]
function = "m:f"
[space]
x = { type = "real", low = -1.0, high = 1.0 }
k = { type = "categorical", choices = ["a", "b"] }
[limits]
max_failures = 1
"""
Work = Callable[[StudyProgress], None]


class Killed(BaseException):
    """Like a SIGKILL."""


@pytest.fixture
def study(tmp_path: Path) -> StudySpec:
    file = tmp_path / "s.toml"
    file.write_text(FILE)
    return assemble({}, file)


def manage(url: str, study: StudySpec, work: Work, *, another_round: bool = False) -> StudyRow:
    with engine(url).connect() as connection:
        return managed(connection, register(connection, study), work).run(another_round=another_round)


def verified(url: str) -> VerificationResult:
    with engine(url).connect() as connection:
        db = connection
        return verify(transfer.snapshot(db, studies.get(db, "s").id))


class Fleet:
    """Two workers that end one trial at each poll of the manager, in another order than they were claimed."""

    def __init__(
        self, connection: psycopg.Connection[Any], fails: Callable[[int], bool] = lambda _trial: False
    ) -> None:
        self._connection, self._fails = connection, fails
        self._held: list[ClaimedTrial] = []
        self._random = random.Random(3)
        self.in_flight: list[int] = []

    def __call__(self, _progress: StudyProgress) -> None:
        row = self._connection.execute("select count(*) from ledger.trial where finished_at is null").fetchone()
        assert row is not None
        self.in_flight.append(row[0])
        while len(self._held) < 2 and (held := claim_one(self._connection, "s", uuid.uuid4(), "w")):
            self._held.append(held)
        if self._held:
            self.end(self._held.pop(self._random.randrange(len(self._held))))

    def end(self, held: ClaimedTrial) -> None:
        if self._fails(held.trial):
            protocol.fail(self._connection, held, "ValueError: no", 0.5)
        else:
            loss = held.params["x"] ** 2 + (held.params["k"] == "b")
            protocol.complete(self._connection, held, loss, {}, 0.5)


def test_a_fixed_number_of_trials_is_in_flight_and_every_proposal_verifies(connection, url, study):
    fleet = Fleet(connection, fails=lambda trial: trial in (2, 9))
    assert manage(url, study, fleet).state == "complete"
    trials = connection.execute("select state, count(*) from ledger.trial group by 1").fetchall()
    assert dict(trials) == {"complete": 18, "failed": 2}
    assert max(fleet.in_flight) == 4
    seen = [row for (row,) in connection.execute("select seen from ledger.iteration order by number")]
    assert seen[0] == []
    assert all(1 <= len(ends) <= 4 for ends in seen[1:]), "each end is replaced at once"
    ends = [number for row in seen for number in row]
    assert len(set(ends)) == len(ends) == 16
    assert ends != sorted(ends), "in the order in which they were seen"
    found = verified(url)
    assert (found.trials, found.iterations, found.recomputed) == (20, len(seen), len(seen))
    assert connection.execute("select ended, budget from ledger.progress").fetchone() == (20, 20)
    assert not connection.execute("select from ledger.iteration where told_at is null").fetchall()


def test_each_proposal_costs_a_fit_for_each_compared_model(connection, url, study, monkeypatch):
    fits = []
    fit = GaussianProcessRegressor.fit

    def counted(self, X, y):
        fits.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(GaussianProcessRegressor, "fit", counted)
    manage(url, study, Fleet(connection))
    modelled = "select surrogate from ledger.iteration where surrogate is not null"
    surrogates = [surrogate for (surrogate,) in connection.execute(modelled)]
    # With few losses, no transform is compared.
    expected = [2 if "transform" in surrogate else 1 for surrogate in surrogates]
    assert set(expected) == {1, 2}
    assert len(fits) == sum(expected)


def test_a_steady_manager_killed_goes_on_with_what_it_had_seen(connection, url, study):
    fleet, polls = Fleet(connection), 0

    def until_killed(progress: StudyProgress) -> None:
        nonlocal polls
        polls += 1
        fleet(progress)
        if polls % 3 == 0:
            raise Killed

    for _ in range(30):
        try:
            assert manage(url, study, until_killed).state == "complete"
        except Killed:
            continue
        break
    assert polls > 9
    assert connection.execute("select count(*) from ledger.trial where state = 'complete'").fetchone() == (20,)
    assert verified(url).recomputed > 5


def test_a_retry_in_steady_mode_joins_the_flight_and_the_budget_stays(connection, url, study):
    manage(url, study, Fleet(connection, fails=lambda trial: trial in (2, 9)))
    with engine(url).connect() as own:
        assert trials.retry(own, studies.get(own, "s").id, [2, 9]) == [20, 21]
    fleet = Fleet(connection)
    assert manage(url, study, fleet).state == "complete"
    assert connection.execute("select budget from ledger.study").fetchone() == (20,)
    assert connection.execute("select count(*) from ledger.trial where state = 'complete'").fetchone() == (20,)
    with engine(url).connect() as own:
        assert studies.extend(own, studies.get(own, "s").id, 24) == "extended"
    more = study.model_copy(update={"budget": 24})
    assert manage(url, more, fleet).state == "complete"
    assert connection.execute("select count(*) from ledger.trial").fetchone() == (26,)
    verified(url)


def test_a_steady_study_without_a_complete_trial_fails(connection, url, study):
    row = manage(url, study, Fleet(connection, fails=lambda _trial: True))
    assert row.state == "failed"
    # while the first batch of 4 trials fails, the manager replaces each failed trial
    (count,) = connection.execute("select count(*) from ledger.trial").fetchone() or (0,)
    assert 4 <= count <= 8
    said = (
        f"none of {count} trials completed; the last failed trial is trial {count - 1}, with the error: ValueError: no"
    )
    assert row.reason == said
    verified(url)
    with engine(url).connect() as own:
        studies.resume(own, row.id)
    row = manage(url, study, Fleet(connection, fails=lambda trial: trial < count + 2), another_round=True)
    assert row.state == "complete"
    verified(url)


def test_cancelled_trials_count_before_any_trial_completes(connection, url, study):
    def cancelled(_progress: StudyProgress) -> None:
        with engine(url).connect() as own:
            db = own
            numbers = [trial.number for trial in trials.all_of(db, 1) if trial.state == "pending"]
            trials.cancel(db, 1, numbers, "not wanted")

    row = manage(url, study, cancelled)
    assert row.state == "failed"
    assert connection.execute("select count(*) from ledger.trial").fetchone() == (20,)
    verified(url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "update ledger.iteration set seen = seen[2:] || seen[1] where cardinality(seen) > 1",
            "the recorded value of x is",
        ),
        (
            "update ledger.iteration set seen = seen || 19 where number = 2",
            "records the end of trial 19, but the trial does not b",
        ),
        (
            "update ledger.iteration set seen = array[0] where number > 2",
            "an earlier entry of `seen` also records this end",
        ),
        ("update ledger.iteration set seen = array[77] where number = 2", "trial 77, but the trial does not exist"),
        (
            "update ledger.study set state = 'running', finished_at = null;"
            "delete from ledger.attempt where trial = 3;"
            "update ledger.trial set state = 'pending', attempts = 0, claim = null, worker = null, claimed_at = null,"
            " finished_at = null, loss = null, metrics = null where number = 3;"
            f"update ledger.iteration set {UNTOLD} where number = 0",
            "records the end of trial 3, but the trial has not ended",
        ),
        ("update ledger.study set budget = 12", "budget is 12 trials, but the study has 20 proposed"),
    ],
)
def test_verify_names_what_a_steady_study_cannot_have_seen(connection, url, study, change, said):
    class InPairs(Fleet):
        def __call__(self, progress: StudyProgress) -> None:
            super().__call__(progress)
            super().__call__(progress)

    manage(url, study, InPairs(connection))
    for table in ("attempt", "iteration", "trial"):
        connection.execute(f"alter table ledger.{table} disable trigger user")
    connection.execute(change)
    with pytest.raises(LedgerError, match=said):
        verified(url)
