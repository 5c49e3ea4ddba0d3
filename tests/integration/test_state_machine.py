"""Any history of what workers, managers and the clock may do is answered as the protocol says and leaves the ledger
consistent; whatever language the workers are written in."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ledger.database.protocol import Claimed
from ledger.database.store import Store
from tests.fuzz import cases
from tests.integration.ledgers import make_study
from tests.integration.workers import PackageWorker, PsqlWorker, Worker

LEASE, MAX_FAILURES, MAX_LOST = 30.0, 2, 3

CONSISTENT = {
    "a complete trial has exactly one complete attempt, with its loss": """
        select from ledger.trial where (state = 'complete') <> ((
          select count(*) from ledger.attempt
          where attempt.trial = trial.number and outcome = 'complete' and attempt.loss = trial.loss) = 1)""",
    "no trial has two complete attempts": """
        select trial from ledger.attempt where outcome = 'complete' group by trial having count(*) > 1""",
    "the attempt of a running trial has not ended, or was presumed lost": """
        select from ledger.trial where state = 'running' and not exists (
          select from ledger.attempt where attempt.claim = trial.claim and coalesce(outcome, 'lost') = 'lost')""",
    "at most one attempt of a trial has not ended": """
        select trial from ledger.attempt where outcome is null group by trial having count(*) > 1""",
    "a trial counts its attempts": """
        select from ledger.trial where attempts <> (
          select count(*) from ledger.attempt where attempt.trial = trial.number)""",
    "no trial is pending, or running, that failed or was lost as often as it may": f"""
        select from ledger.trial where state in ('pending', 'running')
          and (failures >= {MAX_FAILURES} or lost >= {MAX_LOST})""",
    "no trial fails or is lost more often than it may": f"""
        select from ledger.trial where failures > {MAX_FAILURES} or lost > {MAX_LOST}""",
}
INCONSISTENT = " union all ".join(
    f"select '{rule}' where exists ({counterexample})" for rule, counterexample in CONSISTENT.items()
)


@dataclass
class Trial:
    """What the protocol says of a trial."""

    state: str = "pending"
    claim: uuid.UUID | None = None
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    loss: float | None = None
    leased_at: float = 0.0


@dataclass
class Attempt:
    """And of an attempt."""

    held: Claimed
    outcome: str | None = None
    loss: float | None = None


def some_run(self: Any) -> bool:
    return any(trial.state == "running" for trial in self.trials.values())


class Histories(RuleBasedStateMachine):
    """Compares every answer, and after every step the rows, with a model of the protocol."""

    # the same for all histories, each of which has a study of its own
    advance: Callable[[float], None]
    connection: psycopg.Connection[Any]
    store: Store
    workers: Mapping[str, Worker]

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.advance(0)
        name = f"s{uuid.uuid4().hex[:8]}"
        self.study = make_study(self.store, name, 3, lease=LEASE, max_failures=MAX_FAILURES, max_lost=MAX_LOST)
        self.state = "running"
        self.trials = {number: Trial() for number in range(3)}
        self.attempts: dict[uuid.UUID, Attempt] = {}
        # the claims that were sent with each
        self.asked: dict[uuid.UUID, list[uuid.UUID]] = {}
        self.seen: list[tuple[int, datetime]] = []
        self.ended: dict[Any, str] = {}

    def teardown(self) -> None:
        self.store.delete(self.study.id)

    def any_worker(self, data: st.DataObject) -> Worker:
        """Any worker's connection: what counts is the claim, not who sends it from where."""
        return data.draw(st.sampled_from(list(self.workers.values())))

    def of(self, attempt: Attempt) -> tuple[Trial, bool]:
        """The trial of an attempt, and whether it is still the attempt's to write."""
        trial = self.trials[attempt.held.trial]
        return trial, trial.claim == attempt.held.claim and trial.state in ("pending", "running")

    @rule(names=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3), wanted=st.integers(1, 3))
    def claims(self, names: list[str], wanted: int) -> None:
        for name in names:
            self.claim(name, wanted)

    def claim(self, name: str, wanted: int = 1) -> None:
        pending = [number for number, trial in self.trials.items() if trial.state == "pending"]
        if self.state != "running":
            pending = []
        claims = [uuid.uuid4() for _ in range(wanted)]
        taken = self.workers[name].claim(self.study.name, claims, name)
        assert [held.trial for held in taken] == pending[:wanted]
        assert [held.claim for held in taken] == claims[: len(taken)]
        for held in taken:
            trial = self.trials[held.trial]
            trial.state, trial.claim, trial.leased_at = "running", held.claim, self.now
            trial.attempts += 1
            assert (held.attempt, held.lease_seconds) == (trial.attempts, LEASE)
            self.attempts[held.claim] = Attempt(held)
            self.asked[held.claim] = claims

    # one rule for all that can be said of a claim: hypothesis leaves whole rules out of a history
    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def any_words(self, data: st.DataObject) -> None:
        self.say_anything(data)

    @precondition(lambda self: self.state == "running" and self.trials[2].state == "pending")
    @rule(data=st.data())
    def a_poisonous_trial(self, data: st.DataObject) -> None:
        """Fails whoever claims it, until it may no more."""
        for _ in range(MAX_FAILURES):
            self.claim("a")
            self.fail(list(self.attempts.values())[-1], data)

    def say_anything(self, data: st.DataObject) -> None:
        words = [self.heartbeat, self.complete, self.fail, self.release, self.claim_again, self.a_claim_that_never_was]
        for _ in range(data.draw(st.integers(1, 4))):
            attempt = data.draw(st.sampled_from(list(self.attempts.values())))
            data.draw(st.sampled_from(words))(attempt, data)
            self.the_ledger_is_as_the_protocol_says()

    def take_back_one(self, data: st.DataObject, replaced: bool) -> Attempt:
        """Take back every claim, perhaps have the first trial claimed again, and return one that was taken back."""
        held = [trial.claim for trial in self.trials.values() if trial.state == "running"]
        self.leases_run_out(True, data)
        if replaced:
            self.claim("b")
        claim = data.draw(st.sampled_from(held))
        assert claim is not None
        return self.attempts[claim]

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_loss(self, data: st.DataObject, replaced: bool) -> None:
        self.complete(self.take_back_one(data, replaced), data)

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_heartbeat(self, data: st.DataObject, replaced: bool) -> None:
        self.heartbeat(self.take_back_one(data, replaced), data)

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_failure(self, data: st.DataObject, replaced: bool) -> None:
        self.fail(self.take_back_one(data, replaced), data)

    def claim_again(self, attempt: Attempt, data: st.DataObject) -> None:
        asked = self.asked[attempt.held.claim]
        again = self.any_worker(data).claim(self.study.name, asked, "a")
        mine = [self.attempts[claim] for claim in asked if claim in self.attempts]
        assert again == [one.held for one in mine if self.of(one)[1] and self.of(one)[0].state == "running"]

    def heartbeat(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        assert self.any_worker(data).heartbeat(attempt.held) == mine
        if mine:  # revived, where it was taken back and not replaced
            trial.state, trial.leased_at = "running", self.now

    def complete(self, attempt: Attempt, data: st.DataObject) -> None:
        """Of this claim, and perhaps of others in the same statement: each is answered as if it were alone."""
        others = st.lists(st.sampled_from(list(self.attempts.values())), max_size=2)
        results = [(one, data.draw(st.floats(-1e9, 1e9))) for one in (attempt, *data.draw(others))]
        answers = self.any_worker(data).complete([(one.held, loss) for one, loss in results])
        for (one, loss), answer in zip(results, answers, strict=True):
            self.completed(one, loss, answer)

    def completed(self, attempt: Attempt, loss: float, answer: str) -> None:
        trial, mine = self.of(attempt)
        if mine:
            assert answer == "recorded"
            trial.state, trial.loss = "complete", loss
            attempt.outcome, attempt.loss = "complete", loss
        elif attempt.outcome == "complete":
            assert answer == "already"
        else:
            assert answer == "stale"
            if attempt.outcome in (None, "lost"):
                attempt.outcome, attempt.loss = "stale", loss

    def fail(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        outcome = data.draw(st.sampled_from(["failed", "timeout"]))
        answer = self.any_worker(data).fail(attempt.held, "it broke", outcome)
        if mine:
            trial.failures += 1
            trial.state, trial.claim = ("failed" if trial.failures == MAX_FAILURES else "pending"), None
            assert answer == ("failed" if trial.state == "failed" else "retry")
            attempt.outcome = outcome
        elif attempt.outcome in ("failed", "timeout"):
            assert answer == "already"
        else:
            assert answer == "stale"
            if attempt.outcome in (None, "lost"):
                attempt.outcome = "stale"

    def release(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        assert self.any_worker(data).release(attempt.held) == mine
        if mine:  # counted against nothing
            trial.state, trial.claim = "pending", None
            attempt.outcome = "released"

    def a_claim_that_never_was(self, attempt: Attempt, data: st.DataObject) -> None:
        stranger = Claimed(**{**vars(attempt.held), "claim": uuid.uuid4()})
        worker = self.any_worker(data)
        assert worker.complete([(stranger, 0.5)]) == ["unknown"]
        assert worker.fail(stranger, "it broke", "failed") == "unknown"
        assert not worker.heartbeat(stranger)
        assert not worker.release(stranger)

    @rule(seconds=st.sampled_from([5, 31]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.advance(self.now)

    @rule(at_once=st.booleans(), data=st.data())
    def leases_run_out(self, at_once: bool, data: st.DataObject) -> None:
        """See which claims are late, and take back those, or one that was seen to be late before."""
        self.time_passes(31)
        late = [number for number, trial in self.trials.items() if trial.state == "running"]
        rows = self.store.leases(self.study.id)
        assert sorted(row.number for row in rows) == late
        # sorted, because a history must be the same each time that hypothesis tries it
        self.seen += sorted((row.number, row.lease_until) for row in rows)
        if at_once:
            for row in rows:
                self.take_back(row.number, row.lease_until)
        elif self.seen:
            self.take_back(*data.draw(st.sampled_from(self.seen)))

    def take_back(self, number: int, lease_until: datetime) -> None:
        trial = self.trials[number]
        current = self.connection.execute(
            "select lease_until from ledger.trial where study_id = %s and number = %s", (self.study.id, number)
        ).fetchone()
        answer = self.store.reap(self.study.id, number, lease_until)
        if current != (lease_until,):
            assert answer is None, "renewed, taken back, ended or claimed again since it was seen"
            return
        trial.lost += 1
        trial.state = "failed" if trial.lost == MAX_LOST else "pending"
        assert answer == trial.state
        assert trial.claim is not None
        attempt = self.attempts[trial.claim]
        attempt.outcome = attempt.outcome or "lost"

    @precondition(lambda self: self.state in ("running", "paused"))
    @rule(pause=st.sampled_from([False, False, True]))
    def pause_or_run(self, pause: bool) -> None:
        (self.store.pause if pause else self.store.run)(self.study.id)
        self.state = "paused" if pause else "running"

    @precondition(lambda self: len(self.attempts) > 6 and self.state != "cancelled")
    @rule()
    def cancel(self) -> None:
        self.store.cancel(self.study.id, "enough")
        self.state = "cancelled"
        for trial in self.trials.values():
            if trial.state in ("pending", "running"):
                trial.state = "cancelled"
                if trial.claim is not None:
                    attempt = self.attempts[trial.claim]
                    attempt.outcome = attempt.outcome or "lost"

    @invariant()
    def the_ledger_is_consistent(self) -> None:
        assert self.connection.execute(INCONSISTENT).fetchall() == []

    @invariant()
    def the_ledger_is_as_the_protocol_says(self) -> None:
        rows = self.connection.execute(
            "select number, state, attempts, failures, lost, loss from ledger.trial order by number"
        ).fetchall()
        assert rows == [(n, t.state, t.attempts, t.failures, t.lost, t.loss) for n, t in self.trials.items()]
        kept = self.connection.execute("select claim, trial, outcome, loss from ledger.attempt").fetchall()
        assert {claim: tuple(rest) for claim, *rest in kept} == {
            claim: (attempt.held.trial, attempt.outcome, attempt.loss) for claim, attempt in self.attempts.items()
        }

    @invariant()
    def what_has_ended_does_not_change(self) -> None:
        rows = self.connection.execute(
            "select number::text, trial::text from ledger.trial where state in ('complete', 'failed', 'cancelled')"
            " union all select claim::text, attempt::text from ledger.attempt where outcome <> 'lost'"
        ).fetchall()
        now: dict[Any, str] = dict(rows)
        assert {key: now.get(key) for key in self.ended} == self.ended
        self.ended = now


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    ("made", "examples"), [(PackageWorker, 80), (PsqlWorker, 20)], ids=["by the package", "by psql alone"]
)
def test_any_history_is_answered_as_the_protocol_says(url, connection, store, advance, made, examples):
    workers = {name: made(url) for name in ("a", "b")}
    shared = {"connection": connection, "store": store, "workers": workers, "advance": staticmethod(advance)}
    run_state_machine_as_test(
        type("Histories", (Histories,), shared),
        settings=settings(cases(examples), stateful_step_count=30),
    )
    for worker in workers.values():
        worker.close()
