"""Workers that were stopped for longer than their lease, and continue."""

import os
import signal

import pytest

from tests.system.programs import Program, alive, own_study, wait_for_text, wait_until

OBJECTIVE = """
import os, pathlib, sys, threading, time

def tell_when_delivered():
    trainer, calm = threading.main_thread().ident, 0
    while calm < 5:
        calm = calm + 1 if sys._current_frames()[trainer].f_code.co_name == "wait" else 0
        time.sleep(0.01)
    pathlib.Path("delivered").touch()

def waits(params, context):
    threading.Thread(target=tell_when_delivered, daemon=True).start()
    pathlib.Path(f"begun{context.attempt}").write_text(str(os.getpid()))
    while not pathlib.Path(f"go{context.attempt}").exists():
        time.sleep(0.02)
    return params["x"] ** 2 + context.attempt
"""


class Search:
    def __init__(self, folder):
        own_study(folder, OBJECTIVE, "waits", batch_size=1, heartbeat=0.5, lease=5.0)
        self.folder, self.program = folder, Program(folder)
        self.manager = self.program.start("manager", "own.toml")
        wait_until(lambda: self.program.query("select from ledger.trial"))

    def worker(self, attempt):
        """Start a worker, and return the process id of its trainer after the training has begun."""
        worker = self.program.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
        return worker, int(wait_for_text(self.folder / f"begun{attempt}"))

    def let(self, attempt):
        (self.folder / f"go{attempt}").touch()

    def trial(self):
        return self.program.query("select state, loss is not null, attempts, failures, lost from ledger.trial")[0]

    def attempts(self):
        return self.program.query("select number, outcome, loss is not null from ledger.attempt order by number")

    def stands_still_until_it_is_lost(self, worker):
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: self.trial()[0] == "pending")
        assert self.trial() == ("pending", False, 1, 0, 1)

    def ends(self, *workers):
        errors = []
        for process in (*workers, self.manager):
            _, error = process.communicate()
            assert process.returncode == 0, error
            assert "Traceback" not in error
            errors.append(error)
        return errors


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def test_a_heartbeat_revives_a_claim_that_was_taken_back_and_not_replaced(search):
    worker, _ = search.worker(1)
    search.stands_still_until_it_is_lost(worker)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: search.trial()[0] == "running")
    search.let(1)
    search.ends(worker)
    # the embedded server has stopped after its last user
    document = search.program.document("own")
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["complete"]


def test_the_late_result_of_a_claim_that_was_not_replaced_is_kept(search):
    worker, _ = search.worker(1)
    search.stands_still_until_it_is_lost(worker)
    # the trainer continues, and ends before its worker continues
    search.let(1)
    wait_until((search.folder / "delivered").exists)
    os.kill(worker.pid, signal.SIGCONT)
    search.ends(worker)
    document = search.program.document("own")
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["complete"]
    assert (document["trials"][0]["state"], document["trials"][0]["lost"]) == ("complete", 1)


def test_the_late_result_of_a_replaced_claim_is_refused_and_kept(search):
    worker, _ = search.worker(1)
    search.stands_still_until_it_is_lost(worker)
    other, _ = search.worker(2)
    search.let(1)
    wait_until((search.folder / "delivered").exists)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: ("stale",) in search.program.query("select outcome from ledger.attempt"))
    assert search.attempts() == [(1, "stale", True), (2, None, False)]
    search.let(2)
    said, *_ = search.ends(worker, other)
    assert "too late, because the trial was claimed again" in said
    document = search.program.document("own")
    first, second = document["attempts"]
    assert (first["outcome"], second["outcome"]) == ("stale", "complete")
    assert document["trials"][0]["loss"] == second["loss"] == first["loss"] + 1


def test_a_heartbeat_of_a_lost_claim_ends_its_training_not_the_worker(search):
    worker, trainer = search.worker(1)
    search.stands_still_until_it_is_lost(worker)
    other, _ = search.worker(2)
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: not alive(trainer))
    search.let(2)
    said, *_ = search.ends(worker, other)
    assert "the claim is no longer valid, so the worker stops the training" in said
    assert "has stopped after it ran 1 attempts of trials" in said
    document = search.program.document("own")
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["lost", "complete"]
