"""Random histories of workers, managers, administrators and the clock.

`verify` raises no false alarm, the kept totals agree with all trials, and an imported study is the same in another
ledger.
"""

import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.database import managing, protocol, studies, transfer, trials
from ledger.database.managing import ProposedBatch
from ledger.database.rows import StudyRow, TrialRow
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.proposals import mean_loss
from ledger.study.file import assemble
from ledger.verification import VerificationResult, verify
from tests.fuzz import cases
from tests.integration.ledgers import claim_one, hold, stop_clock
from tests.integration.moving import as_it_is_elsewhere, exported, moved, without_releases
from tests.integration.recounting import check_totals

FILE = """
[objective]
function = "m:f"
[space]
x = { type = "integer", low = 0, high = 1000 }
[limits]
max_failures = 2
max_crashes = 2
max_lost = 2
"""


def as_it_is(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {**document, "study": {**document["study"], "name": name}}


@pytest.mark.hypothesis
def test_any_history_verifies(db, connection, tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(FILE)

    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.held: list[protocol.ClaimedTrial] = []
            self.now = 0.0
            self.own = self.batches = self.ended = 0

        @initialize(direction=st.sampled_from(["minimize", "maximize"]))
        def begin(self, direction: str) -> None:
            self.direction = direction
            stop_clock(connection, 0)
            asked = {"name": f"s{uuid.uuid4().hex[:8]}", "iterations": 3, "batch_size": 2, "direction": direction}
            self.study = register(db, assemble(asked, file))
            # for longer than a history lasts
            self.managed = hold(db, self.study)
            self.propose(0, 0, 2)

        def propose(self, number: int, round: int, size: int) -> None:
            points = [{"x": 3 * self.batches + index} for index in range(size)]
            self.batches += 1
            # in no environment, so that these points are not compared
            batch_size = studies.get(db, self.study.name).batch_size
            batch = ProposedBatch(number, round, len(self.trials()), points, None, {}, 0.0, 0.0, None, batch_size)
            assert managing.propose(db, self.managed, batch) == "proposed"

        def trials(self) -> list[TrialRow]:
            return trials.all_of(db, self.study.id)

        def verify(self, study: StudyRow) -> VerificationResult:
            return verify(transfer.snapshot(db, study.id))

        def teardown(self) -> None:
            name = self.study.name
            document = exported(db, name)
            row = moved(db, document, f"{name}-moved")
            assert self.verify(row).trials == len(document["trials"])
            again = exported(db, row.name)
            assert without_releases(again) == as_it_is_elsewhere(document, row.name)
            # nothing of it runs, so that it is moved as it is
            back = moved(db, again, f"{name}-back")
            assert exported(db, back.name) == as_it_is(again, back.name)
            for study in (row, back):
                check_totals(connection, study.id)
            managing.leave_study(db, self.managed)
            for study in (self.study, row, back):
                assert studies.delete(db, study) == "deleted"

        @rule(ends=st.sampled_from(["complete", "failed", "crashed", "timeout", "released", "held", "held"]))
        def work(self, ends: str) -> None:
            held = claim_one(connection, self.study.name, uuid.uuid4(), "w")
            if held is not None:
                self.held.append(held)
                self.end(held, ends)

        @precondition(lambda self: self.held)
        @rule(data=st.data(), ends=st.sampled_from(["complete", "failed", "crashed", "released", "held"]))
        def speak_late_or_again(self, data: st.DataObject, ends: str) -> None:
            self.end(data.draw(st.sampled_from(self.held)), ends)

        def end(self, held: protocol.ClaimedTrial, ends: str) -> None:
            if ends == "complete":
                self.ended += 1
                # some losses in any order, some equal
                protocol.complete(connection, held, (7 * self.ended % 11) / 16, {}, 1.0)
            elif ends == "released":
                protocol.release(connection, held)
            elif ends == "held":
                protocol.heartbeat(connection, held)
            else:
                protocol.fail(connection, held, "error", 1.0, ends)

        @rule(seconds=st.sampled_from([5, 31]))
        def time_passes_and_leases_end(self, seconds: int) -> None:
            self.now += seconds
            stop_clock(connection, self.now)
            for lease in managing.leases(db, self.study.id):
                managing.reap(db, self.managed, lease)

        @rule(ends=st.sampled_from(["complete", "failed"]))
        def work_off(self, ends: str) -> None:
            while (held := claim_one(connection, self.study.name, uuid.uuid4(), "w")) is not None:
                self.held.append(held)
                self.end(held, ends)
            self.manage()

        @rule(data=st.data())
        def retry(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.trials() if trial.state in ("failed", "cancelled")]
            if chosen:
                # the ledger refuses a second retry
                with suppress(LedgerError):
                    trials.retry(db, self.study.id, [data.draw(st.sampled_from(chosen))])

        def new_point(self) -> dict[str, int]:
            self.own += 1
            return {"x": 500 + self.own}

        @rule()
        def enqueue(self) -> None:
            trials.enqueue(db, self.study.id, [self.new_point()])

        @rule(
            losses=st.lists(st.sampled_from([0.125, 0.5]), min_size=1, max_size=2), pruned_step=st.none() | st.just(3)
        )
        def import_history(self, losses: list[float], pruned_step: int | None) -> None:
            finished = [ExternalTrial(self.new_point(), loss, {"from": "elsewhere"}, pruned_step) for loss in losses]
            trials.import_finished(db, self.study.id, finished, mean_loss(losses) if pruned_step is None else None)

        @rule(data=st.data())
        def cancel(self, data: st.DataObject) -> None:
            chosen = [trial.number for trial in self.trials() if trial.is_open]
            if chosen:
                trials.cancel(db, self.study.id, [data.draw(st.sampled_from(chosen))], "test")

        @rule(
            aim=st.none() | st.sampled_from([0.125, 0.25]),
            patience=st.none() | st.integers(1, 3),
            timeout=st.none() | st.sampled_from([20.0, 60.0]),
        )
        def set_criteria(self, aim: float | None, patience: int | None, timeout: float | None) -> None:
            sign = 1 if self.direction == "minimize" else -1
            assert studies.set_criteria(db, self.study.id, None if aim is None else sign * aim, patience, timeout) in (
                "changed",
                "unchanged",
            )

        @rule(batch_size=st.integers(1, 3))
        def change_batch_size(self, batch_size: int) -> None:
            assert studies.set_batch_size(db, self.study.id, batch_size) in ("changed", "unchanged")

        @rule()
        def extend(self) -> None:
            assert studies.extend(db, self.study.id, self.study.budget + 1) == "extended"
            self.study = studies.get(db, self.study.name)

        @rule()
        def manage(self) -> None:
            """Do the next thing that a manager of batches does; a study that has ended is left as it is."""
            now = managing.state(db, self.study.id)
            budget = now.budget
            if managing.stop(db, self.managed) != "none":
                return
            rounds = {each.number: each for each in studies.iterations(db, self.study.id)}
            last = rounds[max(rounds)]
            proposed = [trial for trial in self.trials() if trial.source == "proposed"]
            own = trials.all_of(db, self.study.id, iteration=last.number)
            losses = [trial.loss for trial in own if trial.loss is not None]
            is_proven = any(trial.loss is not None and trial.source != "imported" for trial in own)
            replaced = [trial for trial in own if trial.source == "proposed"]
            if last.told_at is not None:
                left = budget - sum(trial.round == rounds[trial.iteration].round for trial in proposed)
                if left > 0:
                    self.propose(last.number + 1, 0, min(now.batch_size, left))
                else:
                    self.finish("complete", None, budget)
            elif losses and (is_proven or not replaced):
                self.tell(last.number, len(own), mean_loss(losses), min(losses))
            elif not replaced:
                self.tell(last.number, len(own), None, None)
            elif not any(trial.is_open for trial in own):
                if last.round == 0:
                    self.propose(last.number, 1, len(replaced))
                else:
                    self.finish("failed", "every trial failed", budget)

        def tell(self, number: int, size: int, mean: float | None, best: float | None) -> None:
            assert managing.tell(db, self.managed, number, size, mean, best) in ("told", "changed")

        def finish(self, state: str, reason: str | None, budget: int) -> None:
            assert managing.finish(db, self.managed, state, reason, budget) == "finished"

        @invariant()
        def it_verifies(self) -> None:
            found = self.verify(self.study)
            assert (found.trials > 0, found.recomputed) == (True, 0)

        @invariant()
        def its_totals_agree_with_all_trials(self) -> None:
            check_totals(connection, self.study.id)

    run_state_machine_as_test(
        Histories,
        settings=settings(cases(30), stateful_step_count=40),
    )
