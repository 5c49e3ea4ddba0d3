"""The rule promotion with real workers: trials pause, and continue after their checkpoints on any worker."""

import os
import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import new_database
from tests.system.programs import CURVE, Program, wait_for_text, wait_until

# The weight is carried through the checkpoints. A part of the loss is an offset that no surrogate can learn. If the
# file `disturbed` exists, the first attempt that trains step 2 waits there until it is killed. If the file `slow`
# exists, an attempt is so long that a worker claims one trial at a time. If the file `worse` exists, each trial is
# worse than the trials before it, so that paused trials of steady mode become some of the best.
OBJECTIVE = """
import pathlib, random, time

import ledger

def curve(params, context):
    weight, first = 1.0, 1
    worse = context.trial if pathlib.Path("worse").exists() else 0
    if pathlib.Path("slow").exists():
        time.sleep(0.25)
    if (last := context.restore()) is not None:
        weight, first = float((last.folder / "weight").read_text()), last.step + 1
    for step in range(first, 10):
        weight = weight / 3 + random.Random(f"{context.seed} {step}").random()
        if step == 2 and pathlib.Path("disturbed").exists():
            wait(context.trial)
        context.report(worse + (params["x"] - 0.3) ** 2 + context.seed % 101 / 50 + weight / step, step)
        with context.checkpoint(step) as folder:
            (folder / "weight").write_text(repr(weight))
        with open(f"steps{context.trial}", "a") as log:
            print(step, file=log)
        if context.should_prune():
            raise ledger.TrialPruned
    value = worse + (params["x"] - 0.3) ** 2 + context.seed % 101 / 50 + weight / 9
    return {"value": value, "weight": weight}

def wait(trial):
    try:
        with open("begun", "x") as file:
            file.write(str(trial))
    except FileExistsError:
        return
    while True:
        time.sleep(0.02)
"""
FILE = """
[study]
name = "own"
trials = 18
batch_size = 9
seed = 3
[objective]
{objective}
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
[optimizer]
base_estimator = "ET"
[stopping]
rule = "promotion"
eta = 3
max_resource = 9
brackets = 2
audit = 0.1
[limits]
lease = 3.0
heartbeat = 0.5
"""
FUNCTION, COMMAND = 'function = "mine:curve"', 'command = ["python", "train.py", "{x}"]'
ALLOWED = ("--allow", "mine", "--allow-command", "python train.py {x}")


def made(folder: Path, url: str, objective: str = FUNCTION) -> Program:
    folder.mkdir()
    (folder / "mine.py").write_text(OBJECTIVE)
    (folder / "train.py").write_text(CURVE)
    (folder / "own.toml").write_text(FILE.format(objective=objective))
    return Program(folder, DATABASE_URL=url, LEDGER_STORE=str(folder / "store"))


def facts(url: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the trials and the verdicts of the study."""
    with psycopg.connect(url) as connection:
        return (
            connection.execute(
                "select params, state, loss, metrics, pruned_step, pruned_loss from ledger.trial order by number"
            ).fetchall(),
            connection.execute(
                "select trial, rung, step, loss, cutoff, compared, stops, audited from ledger.verdict order by 1, 2"
            ).fetchall(),
        )


def log_of(program: Program, *arguments: str) -> str:
    process = program.start("run", "own.toml", *ALLOWED, *arguments)
    _, error = process.communicate()
    assert process.returncode == 0, error
    return error


@pytest.fixture
def calm(url, tmp_path):
    """An undisturbed study with one worker: its program, and what its worker and its manager said."""
    program = made(tmp_path / "calm", url)
    return program, log_of(program, "--workers", "1")


def test_a_killed_worker_changes_no_trial_and_no_verdict(calm, url, server, template, tmp_path):
    undisturbed = facts(url)
    with new_database(server, template) as other:
        program = made(tmp_path / "disturbed", other)
        (program.folder / "disturbed").touch()
        manager = program.start("manager", "own.toml")
        workers = [program.start("worker", *ALLOWED, "--until-complete") for _ in range(4)]
        trial = int(wait_for_text(program.folder / "begun"))
        with psycopg.connect(other, autocommit=True) as connection:
            row = connection.execute("select worker from ledger.trial where number = %s", (trial,)).fetchone()
        assert row is not None
        (killed,) = [worker for worker in workers if f"-{worker.pid}-" in row[0]]
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        for process in (manager, *(worker for worker in workers if worker is not killed)):
            _, error = process.communicate()
            assert process.returncode == 0, error
        assert facts(other) == undisturbed
        assert "18 trials" in program.run("verify", "own")
        with psycopg.connect(other) as connection:
            lost = connection.execute("select trial from ledger.attempt where outcome = 'lost'").fetchall()
            assert (trial,) in lost
            assert connection.execute("select from ledger.checkpoints").fetchall() == []
        steps = (program.folder / f"steps{trial}").read_text().split()
        assert sorted(set(steps)) == steps, "after its checkpoint, no step is trained again"


def test_the_iterations_use_the_brackets_in_turn_and_the_log_says_so(calm, url):
    program, said = calm
    assert "paused at step 1 after" in said
    assert "own iteration 0: rung 1: " in said
    assert " trials go on" in said
    assert "begins again" not in said
    trials, verdicts = facts(url)
    assert {rung for trial, rung, *_ in verdicts if trial < 9} == {1, 3}
    assert {rung for trial, rung, *_ in verdicts if trial >= 9} == {3}
    states = [state for _, state, *_ in trials]
    assert set(states) == {"complete", "pruned"}
    assert 9 <= states.count("pruned") <= 16
    assert "18 trials" in program.run("verify", "own")
    for number, state in enumerate(states):
        steps = (program.folder / f"steps{number}").read_text().split()
        assert steps == [str(step) for step in range(1, len(steps) + 1)], "each step is trained once"
        assert (len(steps) == 9) == (state == "complete")


def test_a_program_pauses_at_its_report_and_begins_again(url, tmp_path):
    program = made(tmp_path / "program", url, COMMAND)
    said = log_of(program, "--workers", "2")
    assert "goes on without a checkpoint, so its training begins again from the start" in said
    trials, verdicts = facts(url)
    assert {state for _, state, *_ in trials} == {"complete", "pruned"}
    assert any(stops for *_, stops, _ in verdicts)
    assert "18 trials" in program.run("verify", "own")


def test_steady_mode_promotes_after_a_manager_was_killed(url, tmp_path):
    program = made(tmp_path / "steady", url)
    steady = FILE.replace("batch_size = 9", 'batch_size = 4\nmode = "steady"').replace("brackets = 2\n", "")
    (program.folder / "own.toml").write_text(steady.replace("eta = 3", "eta = 2").format(objective=FUNCTION))
    (program.folder / "slow").touch()
    (program.folder / "worse").touch()
    manager = program.start("manager", "own.toml")
    workers = [program.start("worker", *ALLOWED, "--until-complete") for _ in range(3)]
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(lambda: connection.execute("select from ledger.promotion").fetchall())
        os.killpg(manager.pid, signal.SIGKILL)
        manager.communicate()
        successor = program.start("manager", "own.toml")
        said = ""
        for process in (successor, *workers):
            _, error = process.communicate()
            assert process.returncode == 0, error
            said += error
        states: dict[str, int] = dict(
            connection.execute("select state, count(*) from ledger.trial group by state").fetchall()
        )
        assert set(states) == {"complete", "pruned"}
        assert sum(states.values()) == 18
        waited = connection.execute("select count(*) from ledger.attempt where outcome = 'paused'").fetchone()
        promoted = connection.execute("select count(*) from ledger.promotion").fetchone()
        assert waited is not None
        assert promoted is not None
        assert waited[0] == promoted[0] + states["pruned"]
    assert "paused at step" in said
    assert "18 trials" in program.run("verify", "own")
    for number in range(18):
        steps = (program.folder / f"steps{number}").read_text().split()
        assert sorted(set(steps)) == steps, "after its checkpoint, no step is trained again"
