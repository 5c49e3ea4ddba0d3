"""Any sequence of what workers, managers and the clock may do leaves the ledger consistent."""

import uuid
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ledger.database import protocol
from ledger.database.connection import engine
from ledger.database.store import Store
from tests.integration.ledgers import make_study

CONSISTENT = {
    "a complete trial has exactly one complete attempt, with its loss": """
        select from ledger.trial where (state = 'complete') <> ((
          select count(*) from ledger.attempt
          where attempt.trial = trial.number and outcome = 'complete' and attempt.loss = trial.loss) = 1)""",
    "no trial has two complete attempts": """
        select trial from ledger.attempt where outcome = 'complete' group by trial having count(*) > 1""",
    "a running trial's attempt has not ended, or was presumed lost": """
        select from ledger.trial where state = 'running' and not exists (
          select from ledger.attempt where attempt.claim = trial.claim and coalesce(outcome, 'lost') = 'lost')""",
    "at most one attempt of a trial has not ended": """
        select trial from ledger.attempt where outcome is null group by trial having count(*) > 1""",
    "a trial counts its attempts": """
        select from ledger.trial where attempts <> (
          select count(*) from ledger.attempt where attempt.trial = trial.number)""",
    "no trial fails or is lost more often than it may": """
        select from ledger.trial where failures > 3 or lost > 4""",
}


def test_any_history_leaves_the_ledger_consistent(url, advance):
    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.connection = psycopg.connect(url, autocommit=True)
            self.held: list[protocol.Claimed] = []
            self.ended: dict[int, Any] = {}
            self.now = 0.0
            advance(0)
            self.database = engine(url).connect()
            self.store = Store(self.database)
            self.study = make_study(self.store, f"s{uuid.uuid4().hex[:8]}", trials=3, max_lost=4)

        def teardown(self) -> None:
            self.store.delete(self.study.id)
            self.database.close()
            self.connection.close()

        def any_claim(self, data: st.DataObject) -> protocol.Claimed:
            return data.draw(st.sampled_from(self.held))

        @rule(worker=st.sampled_from(["a", "b"]))
        def claim(self, worker: str) -> None:
            before = self.connection.execute("select number from ledger.trial where state = 'running'").fetchall()
            held = protocol.claim(self.connection, self.study.name, uuid.uuid4(), worker)
            if held is not None:
                assert (held.trial,) not in before, "handed out while another holds it"
                self.held.append(held)

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def ask_again(self, data: st.DataObject) -> None:
            held = self.any_claim(data)
            again = protocol.claim(self.connection, self.study.name, held.claim, "a")
            assert again is None or again == held

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def heartbeat(self, data: st.DataObject) -> None:
            protocol.heartbeat(self.connection, self.any_claim(data))

        @precondition(lambda self: self.held)
        @rule(data=st.data(), loss=st.floats(0, 1))
        def complete(self, data: st.DataObject, loss: float) -> None:
            answer = protocol.complete(self.connection, self.any_claim(data), loss, {}, 1.0)
            assert answer in ("recorded", "already", "stale")

        @precondition(lambda self: self.held)
        @rule(data=st.data(), outcome=st.sampled_from(["failed", "timeout"]))
        def fail(self, data: st.DataObject, outcome: str) -> None:
            answer = protocol.fail(self.connection, self.any_claim(data), "error", 1.0, outcome)
            assert answer in ("retry", "failed", "already", "stale")

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def release(self, data: st.DataObject) -> None:
            protocol.release(self.connection, self.any_claim(data))

        @rule(seconds=st.sampled_from([5, 31]))
        def time_passes(self, seconds: int) -> None:
            self.now += seconds
            advance(self.now)

        @rule()
        def reap(self) -> None:
            for trial in self.store.expired(self.study.id):
                self.store.reap(self.study.id, trial.number, trial.lease_until)

        @rule(pause=st.booleans())
        def pause_or_run(self, pause: bool) -> None:
            (self.store.pause if pause else self.store.run)(self.study.id)

        @invariant()
        def the_ledger_is_consistent(self) -> None:
            for rule_of_it, counterexample in CONSISTENT.items():
                assert self.connection.execute(counterexample).fetchall() == [], rule_of_it

        @invariant()
        def what_has_ended_does_not_change(self) -> None:
            rows = self.connection.execute(
                "select number, trial::text from ledger.trial where state in ('complete', 'failed')"
            ).fetchall()
            now: dict[int, Any] = dict(rows)
            assert {number: now[number] for number in self.ended} == self.ended
            self.ended = now

    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
