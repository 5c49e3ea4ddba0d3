"""Random histories of workers, managers, administrators and the clock.

`verify` raises no false alarm, and an imported study is the same in another ledger.
"""

import uuid
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ledger.database import managing, protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.rows import StudyRow, TrialRow
from ledger.database.trials import Finished
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.proposals import mean_loss
from ledger.study.file import assemble
from ledger.verification import Verified, verify
from tests.fuzz import cases
from tests.integration.ledgers import claim_one, finish, propose, reap, tell
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
            self.db = engine(url).connect()
            self.held: list[protocol.Claimed] = []
            self.now = 0.0
            self.own = self.batches = 0
            advance(0)
            asked = {"name": f"s{uuid.uuid4().hex[:8]}", "iterations": 3, "batch_size": 2}
            self.study = register(self.db, assemble(asked, file))
            self.propose(0, 0)

        def propose(self, number: int, round: int) -> None:
            # the budget may end with a smaller iteration; a round is as large as the one that it replaces
            replaced = [trial for trial in self.trials() if (trial.iteration, trial.source) == (number, "proposed")]
            size = len(replaced) or min(2, self.study.budget - self.counted())
            points = [{"x": 2 * self.batches + index} for index in range(size)]
            self.batches += 1
            # in no environment, so that these points are not compared
            propose(self.db, self.study, number, points, round=round)

        def trials(self) -> list[TrialRow]:
            return trials.all_of(self.db, self.study.id)

        def verify(self, study: StudyRow) -> Verified:
            return verify(transfer.snapshot(self.db, study.id))

        def teardown(self) -> None:
            name = self.study.name
            document = exported(self.db, name)
            row = moved(self.db, document, f"{name}-moved")
            assert self.verify(row).trials == len(document["trials"])
            again = exported(self.db, row.name)
            assert without_releases(again) == as_it_is_elsewhere(document, row.name)
            # nothing of it runs, so that it is moved as it is
            back = moved(self.db, again, f"{name}-back")
            assert exported(self.db, back.name) == as_it_is(again, back.name)
            for study in (self.study, row, back):
                assert studies.delete(self.db, study) == "deleted"
            self.db.close()
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
            for lease in managing.leases(self.db, self.study.id):
                reap(self.db, self.study, lease)

        @rule(ends=st.sampled_from(["complete", "failed"]))
        def work_off(self, ends: str) -> None:
            while (held := claim_one(self.connection, self.study.name, uuid.uuid4(), "w")) is not None:
                self.held.append(held)
                self.end(held, ends)
            self.manage()

        @rule(data=st.data())
        def retry(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.trials() if trial.state in ("failed", "cancelled")]
            if chosen:
                # the ledger refuses a second retry
                with suppress(LedgerError):
                    trials.retry(self.db, self.study.id, [data.draw(st.sampled_from(chosen))])

        def new_point(self) -> dict[str, int]:
            self.own += 1
            return {"x": 500 + self.own}

        @rule()
        def enqueue(self) -> None:
            trials.enqueue(self.db, self.study.id, [self.new_point()])

        @rule(losses=st.lists(st.sampled_from([0.125, 0.5]), min_size=1, max_size=2))
        def import_history(self, losses: list[float]) -> None:
            finished = [Finished(self.new_point(), loss, {"from": "elsewhere"}) for loss in losses]
            trials.import_finished(self.db, self.study.id, finished, mean_loss(losses))

        @rule(data=st.data())
        def cancel(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.trials() if trial.is_open]
            if chosen:
                trials.cancel(self.db, self.study.id, [data.draw(st.sampled_from(chosen))], "test")

        @rule()
        def extend(self) -> None:
            assert studies.extend(self.db, self.study.id, self.study.budget + 1) == "extended"
            self.study = studies.get(self.db, self.study.name)

        def counted(self) -> int:
            """How many trials count against the budget."""
            rounds = {each.number: each.round for each in studies.iterations(self.db, self.study.id)}
            return sum(trial.source == "proposed" and trial.round == rounds[trial.iteration] for trial in self.trials())

        @rule()
        def manage(self) -> None:
            """Do the next thing that a manager of batches does; a study that has ended is left as it is."""
            last = studies.iterations(self.db, self.study.id)[-1]
            own = [trial for trial in self.trials() if trial.iteration == last.number]
            losses = [trial.result for trial in own if trial.loss is not None]
            is_proven = any(trial.loss is not None and trial.source != "imported" for trial in own)
            is_proposed = any(trial.source == "proposed" for trial in own)
            if studies.get(self.db, self.study.name).has_ended:
                return
            if last.told_at is not None:
                if self.counted() < self.study.budget:
                    self.propose(last.number + 1, 0)
                else:
                    finish(self.db, self.study, "complete")
            elif losses and (is_proven or not is_proposed):
                tell(self.db, self.study, last.number, mean_loss(losses), min(losses))
            elif not is_proposed:
                tell(self.db, self.study, last.number, None, None)
            elif not any(trial.is_open for trial in own):
                if last.round == 0:
                    self.propose(last.number, 1)
                else:
                    finish(self.db, self.study, "failed", "every trial failed")

        @invariant()
        def it_verifies(self) -> None:
            found = self.verify(self.study)
            assert (found.trials > 0, found.recomputed) == (True, 0)

    run_state_machine_as_test(
        Histories,
        settings=settings(cases(30), stateful_step_count=40),
    )
