"""`verify` raises no false alarm, whatever workers, managers, administrators and the clock did, in any order; and
a study with any history is the same in another ledger."""

import uuid
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ledger.database import protocol
from ledger.database.connection import engine
from ledger.database.store import Batch, Finished, Store
from ledger.errors import LedgerError
from ledger.proposals import mean_loss
from ledger.study.spec import assemble
from ledger.verification import verify
from tests.fuzz import cases
from tests.integration.ledgers import claim_one
from tests.integration.moving import as_it_is_elsewhere, exported, moved, without_releases

FILE = """
[objective]
function = "m:f"
[space]
x = { type = "integer", low = 0, high = 1000 }
[limits]
max_failures = 2
max_lost = 2
"""


def as_it_is(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {**document, "study": {**document["study"], "name": name}}


@pytest.mark.hypothesis
def test_any_history_verifies(url, advance, tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(FILE)

    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.connection = psycopg.connect(url, autocommit=True)
            self.database = engine(url).connect()
            self.store = Store(self.database)
            self.held: list[protocol.Claimed] = []
            self.now = 0.0
            self.own = 0
            advance(0)
            self.study = assemble({"name": f"s{uuid.uuid4().hex[:8]}", "iterations": 3, "batch_size": 2}, file)
            row = self.store.create(self.study.name, self.study.spec(), self.study.spec_hash, 3, {})
            assert row is not None
            self.id = row.id
            self.propose(0, 0)

        def propose(self, number: int, round: int) -> None:
            points = [{"x": 100 * number + 10 * round + index} for index in range(2)]
            # in no environment, so that these points are not compared
            self.store.propose(self.id, number, round, Batch(points, None, {}, 0.0, 0.0))

        def teardown(self) -> None:
            name = self.study.name
            document = exported(self.store, name)
            row = moved(self.store, document, f"{name}-moved")
            assert verify(self.store.snapshot(row.id)).trials == len(document["trials"])
            again = exported(self.store, row.name)
            assert without_releases(again) == as_it_is_elsewhere(document, row.name)
            # nothing of it runs, so that it is moved as it is
            back = moved(self.store, again, f"{name}-back")
            assert exported(self.store, back.name) == as_it_is(again, back.name)
            for study_id in (self.id, row.id, back.id):
                self.store.delete(study_id)
            self.database.close()
            self.connection.close()

        @rule(ends=st.sampled_from(["complete", "failed", "timeout", "released", "held", "held"]))
        def work(self, ends: str) -> None:
            held = claim_one(self.connection, self.study.name, uuid.uuid4(), "w")
            if held is not None:
                self.held.append(held)
                self.end(held, ends)

        @precondition(lambda self: self.held)
        @rule(data=st.data(), ends=st.sampled_from(["complete", "failed", "released", "held"]))
        def speak_late_or_again(self, data: st.DataObject, ends: str) -> None:
            self.end(data.draw(st.sampled_from(self.held)), ends)

        def end(self, held: protocol.Claimed, ends: str) -> None:
            if ends == "complete":
                protocol.complete(self.connection, held, 0.25, {}, 1.0)
            elif ends == "released":
                protocol.release(self.connection, held)
            elif ends == "held":
                protocol.heartbeat(self.connection, held)
            else:
                protocol.fail(self.connection, held, "error", 1.0, ends)

        @rule(seconds=st.sampled_from([5, 31]))
        def time_passes_and_leases_end(self, seconds: int) -> None:
            self.now += seconds
            advance(self.now)
            for trial in self.store.leases(self.id):
                self.store.reap(self.id, trial.number, trial.lease_until)

        @rule(ends=st.sampled_from(["complete", "failed"]))
        def work_off(self, ends: str) -> None:
            while (held := claim_one(self.connection, self.study.name, uuid.uuid4(), "w")) is not None:
                self.held.append(held)
                self.end(held, ends)
            self.manage()

        @rule(data=st.data())
        def retry(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.store.trials(self.id) if trial.state in ("failed", "cancelled")]
            if chosen:
                # refused where it was retried before
                with suppress(LedgerError):
                    self.store.retry(self.id, [data.draw(st.sampled_from(chosen))])

        def new_point(self) -> dict[str, int]:
            self.own += 1
            return {"x": 900 + self.own}

        @rule()
        def enqueue(self) -> None:
            self.store.enqueue(self.id, [self.new_point()])

        @rule(losses=st.lists(st.sampled_from([0.125, 0.5]), min_size=1, max_size=2))
        def import_history(self, losses: list[float]) -> None:
            finished = [Finished(self.new_point(), loss, {"from": "elsewhere"}) for loss in losses]
            self.store.import_trials(self.id, finished, mean_loss(losses))

        @rule(data=st.data())
        def cancel(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.store.trials(self.id) if trial.state in ("pending", "running")]
            if chosen:
                self.store.cancel_trials(self.id, [data.draw(st.sampled_from(chosen))], "test")

        @rule()
        def manage(self) -> None:
            last = self.store.last_iteration(self.id)
            assert last is not None
            trials = self.store.trials(self.id, iteration=last.number)
            losses = [trial.loss for trial in trials if trial.loss is not None]
            is_proven = any(trial.loss is not None and trial.source != "imported" for trial in trials)
            is_proposed = any(trial.source == "proposed" for trial in trials)
            if last.told_at is not None:
                if last.number + 1 < self.store.study(self.study.name).iterations:
                    self.propose(last.number + 1, 0)
                else:
                    self.store.finish(self.id, "complete", None)
            elif losses and (is_proven or not is_proposed):
                self.store.tell(self.id, last.number, mean_loss(losses), min(losses), len(trials))
            elif not is_proposed:
                self.store.tell(self.id, last.number, None, None, len(trials))
            elif all(trial.finished_at is not None for trial in trials):
                if last.round == 0:
                    self.propose(last.number, 1)
                else:
                    self.store.finish(self.id, "failed", "every trial failed")

        @invariant()
        def it_verifies(self) -> None:
            row = self.store.study(self.study.name)
            found = verify(self.store.snapshot(row.id))
            assert (found.trials > 0, found.recomputed) == (True, 0)

    run_state_machine_as_test(
        Histories,
        settings=settings(cases(30), stateful_step_count=40),
    )
