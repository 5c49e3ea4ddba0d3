"""A cancellation ends the training within a heartbeat, and the worker continues."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.programs import Program, alive, own_study, wait_until

OBJECTIVE = """
import os, pathlib, time

def blocked(params):
    pathlib.Path("pid").write_text(f"{os.getpid()}\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""


@pytest.fixture
def program(tmp_path):
    own_study(tmp_path, OBJECTIVE, "blocked", heartbeat=0.2)
    return Program(tmp_path)


@contextmanager
def worker(program: Program) -> Iterator[Any]:
    """Start a worker for all studies, and stop it at the end."""
    process = program.start("worker", "--allow", "mine")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
    assert process.returncode == 0, error
    assert "the claim is no longer valid, so the worker stops the training" in error


def trainer(program: Program) -> int:
    """Return the process id of the trainer."""

    def pid() -> str:
        file = program.folder / "pid"
        return file.read_text() if file.exists() else ""

    return int(wait_until(lambda: pid().endswith("\n") and pid()))


def test_a_cancelled_study_ends_its_training_and_not_the_worker(program):
    manager = program.start("manager", "own.toml", "--name", "gone")
    with worker(program) as working:
        training = trainer(program)
        assert program.run("study", "cancel", "gone") == "study gone is cancelled\n"
        wait_until(lambda: not alive(training))
        _, error = manager.communicate()
        assert manager.returncode == 1
        assert "study gone is cancelled" in error
        (program.folder / "go").touch()
        program.run("manager", "own.toml", "--name", "next")
        assert working.poll() is None
        names = program.query("select distinct worker from ledger.attempt")
        assert len(names) == 1
        (listed,) = program.run("worker", "list").splitlines()[1:]
        assert listed.split()[0] == names[0][0]
        assert "alive" in listed
        program.run("verify", "gone")


def test_a_cancelled_trial_ends_its_training_and_can_be_retried(program):
    manager = program.start("manager", "own.toml", "--name", "s")
    with worker(program):
        training = trainer(program)
        (program.folder / "pid").unlink()
        assert program.run("trial", "cancel", "s", "0") == "trial 0 of study s is cancelled\n"
        wait_until(lambda: not alive(training))
        assert trainer(program) != training, "the worker trains the next"
        (program.folder / "go").touch()
        out, error = manager.communicate()
        assert manager.returncode == 0, error
        assert "1 complete, 1 cancelled" in out
        assert "1 proposals recomputed, 0 not comparable" in program.run("verify", "s")
        assert "`ledger resume s` continues the study" in program.run("trial", "retry", "s", "0")
        assert "2 complete, 1 cancelled" in program.run("resume", "s", "--workers", "0")
    program.run("verify", "s")
    document = program.document("s")
    assert [trial["state"] for trial in document["trials"]] == ["cancelled", "complete", "complete"]
    assert [trial["retry_of"] for trial in document["trials"]] == [None, None, 0]
    attempts = [(attempt["trial"], attempt["outcome"]) for attempt in document["attempts"]]
    assert attempts == [(0, "lost"), (1, "complete"), (2, "complete")]
    assert document["attempts"][0]["error"] == "cancelled by `ledger trial cancel`"
