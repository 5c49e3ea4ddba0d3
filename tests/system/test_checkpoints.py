"""Checkpoints of real trainings: a trial whose worker was killed or told to stop continues as itself."""

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ledger import embedded
from tests.system.programs import Program, own_study, wait_until
from tests.system.test_leaving import LONG

EPOCHS, EVERY, KILLED_AT = 30, 5, 17

# Stochastic gradient descent for a linear model. The batches depend on the state of the random generator, which belongs
# into the checkpoint. The first attempt waits in the epoch KILLED_AT, unless the file `go` exists.
SGD = f"""
import json, pathlib, time
import numpy as np

def sgd(params, context):
    here = pathlib.Path(context.study)
    here.mkdir(exist_ok=True)
    rng = np.random.default_rng(context.seed)
    features = rng.normal(size=(64, 5))
    target = features @ np.arange(5.0) + rng.normal(size=64)
    weights, first = np.zeros(5), 0
    if (last := context.restore()) is not None:
        weights = np.load(last.folder / "weights.npy")
        rng.bit_generator.state = json.loads((last.folder / "generator.json").read_text())
        first = last.step + 1
    for epoch in range(first, {EPOCHS}):
        batch = rng.integers(0, 64, size=8)
        error = features[batch] @ weights - target[batch]
        weights = weights - 0.01 * (1 + params["x"]) * features[batch].T @ error
        loss = float(np.mean((features @ weights - target) ** 2))
        with open(here / f"epochs{{context.trial}}", "a") as log:
            log.write(f"{{context.attempt}} {{epoch}}\\n")
        context.report(loss, epoch)
        if epoch % {EVERY} == {EVERY - 1}:
            with context.checkpoint(epoch) as folder:
                np.save(folder / "weights.npy", weights)
                (folder / "generator.json").write_text(json.dumps(rng.bit_generator.state))
        if epoch == {KILLED_AT} and context.attempt == 1:
            (here / f"begun{{context.trial}}").touch()
            while not pathlib.Path("go").exists():
                time.sleep(0.02)
    np.save(here / f"weights{{context.trial}}.npy", weights)
    return loss
"""


def epochs_of(folder: Path, trial: int) -> list[tuple[int, int]]:
    lines = (folder / f"epochs{trial}").read_text().splitlines()
    return [(int(attempt), int(epoch)) for attempt, epoch in (line.split() for line in lines)]


def files_of(program: Program) -> list[Path]:
    return [path for path in (program.home / "artifacts").rglob("*") if path.is_file()]


def kill(worker: "subprocess.Popen[str]") -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate()


def worker_of(program: Program, *options: str) -> "subprocess.Popen[str]":
    return program.start("worker", "--study", "own", "--allow", "mine", *options)


def finish(*processes: "subprocess.Popen[str]") -> str:
    """Return the standard error of the last process."""
    for process in processes:
        _, error = process.communicate()
        assert process.returncode == 0, error
    return error


@pytest.mark.parametrize("store", ["folder", "ledger"])
def test_a_killed_training_ends_as_the_undisturbed_one(tmp_path, store):
    own_study(tmp_path, SGD, "sgd", batch_size=2, lease=3.0, heartbeat=0.5)
    program = Program(tmp_path) if store == "folder" else Program(tmp_path, LEDGER_STORE="ledger")
    with embedded.running(program.home, create=False):
        manager = program.start("manager", "own.toml", "--seed", "7")
        wait_until(lambda: program.query("select from ledger.trial"))
        workers = [worker_of(program) for _ in range(2)]
        for trial in range(2):
            wait_until((tmp_path / "own" / f"begun{trial}").exists)
        for worker in workers:
            kill(worker)
        assert program.query("select trial, attempt, step from ledger.checkpoints order by trial, step") == [
            (trial, 1, step) for trial in range(2) for step in (9, 14)
        ]
        finish(worker_of(program, "--until-complete"), manager)
        (tmp_path / "go").touch()
        program.run("run", "own.toml", "--name", "calm", "--seed", "7", "--allow", "mine", "--workers", "1")

        for trial in range(2):
            weights, calm = (np.load(tmp_path / study / f"weights{trial}.npy") for study in ("own", "calm"))
            assert np.array_equal(weights, calm)
            assert [epoch for _, epoch in epochs_of(tmp_path / "calm", trial)] == list(range(EPOCHS))
            trained = epochs_of(tmp_path / "own", trial)
            assert {epoch for _, epoch in trained} == set(range(EPOCHS))
            times = Counter(epoch for _, epoch in trained)
            assert sorted(epoch for epoch in times if times[epoch] > 1) == [15, 16, 17], "those since the checkpoint"
            assert max(times.values()) == 2
        losses = "select trial, loss from ledger.trials where study = '{}' order by trial"
        assert program.query(losses.format("own")) == program.query(losses.format("calm"))
        reported = (
            "select trial, array_agg(step order by step) from ledger.reports where study = 'own'"
            " and (attempt = 2 or step < 15) group by trial order by trial"
        )
        assert program.query(reported) == [(trial, list(range(EPOCHS))) for trial in range(2)]
        assert program.query("select from ledger.checkpoints") == []
        assert files_of(program) == []


WAITS = """
import pathlib, time

def waits(params, context):
    last = context.restore()
    with open("restored", "a") as log:
        print(context.attempt, None if last is None else (last.step, (last.folder / "state").read_text()), file=log)
    if pathlib.Path("go").exists():
        return params["x"] ** 2
    for step in (1, 2):
        with context.checkpoint(step) as folder:
            (folder / "state").write_text(f"state {step} of attempt {context.attempt}")
    pathlib.Path(f"begun{context.attempt}").touch()
    while not context.should_leave():
        time.sleep(0.02)
    with context.checkpoint(3) as folder:
        (folder / "state").write_text("the last state")
    while True:
        time.sleep(1)
"""


@pytest.fixture
def program(tmp_path):
    own_study(tmp_path, WAITS, "waits", batch_size=1, lease=3.0, heartbeat=0.5)
    return Program(tmp_path)


@pytest.fixture
def manager(program):
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trial"))
    return manager


def restored(program: Program) -> list[str]:
    return (program.folder / "restored").read_text().splitlines()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_trial_that_must_leave_keeps_a_checkpoint_and_continues(program, manager, how):
    worker = worker_of(program, "--grace", LONG)
    wait_until((program.folder / "begun1").exists)
    os.kill(worker.pid, how)
    assert "released, not counted" in finish(worker), "the worker leaves before the end of its grace time"
    assert program.query("select trial, number, outcome from ledger.attempt") == [(0, 1, "released")]
    (program.folder / "go").touch()
    error = finish(worker_of(program, "--until-complete"))
    assert "own trial 0: the training continues after step 3 of attempt 1" in error
    finish(manager)
    assert restored(program) == ["1 None", "2 (3, 'the last state')"]


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_is_left_out_and_named(program, manager, damaged):
    worker = worker_of(program)
    wait_until((program.folder / "begun1").exists)
    kill(worker)
    last, before = (
        path
        for (sha256,) in program.query("select sha256 from ledger.checkpoints order by step desc")
        for path in files_of(program)
        if sha256 in path.name
    )
    last.write_bytes(last.read_bytes().replace(b"state", b"STATE"))
    if damaged == 2:
        before.unlink()
    (program.folder / "go").touch()
    error = finish(manager, worker_of(program, "--until-complete"))
    assert "own trial 0: the checkpoint of step 2 of attempt 1 cannot be used: the content is damaged" in error
    assert ("the checkpoint of step 1 of attempt 1 cannot be used: the store" in error) == (damaged == 2)
    assert ("so the training starts from its beginning" in error) == (damaged == 2)
    assert restored(program) == ["1 None", "2 (1, 'state 1 of attempt 1')" if damaged == 1 else "2 None"]


CRASHES = """
import os

def crashes(params, context):
    last = context.restore()
    if last is not None:
        return params["x"] ** 2
    try:
        with context.checkpoint(1) as folder:
            raise ValueError
    except ValueError:
        pass
    with context.checkpoint(2) as folder:
        (folder / "state").write_text("x")
    with context.checkpoint(3) as folder:
        (folder / "half").write_text("x")
        os._exit(3)
"""


def test_a_checkpoint_in_whose_block_the_process_ends_is_not_kept(tmp_path):
    own_study(tmp_path, CRASHES, "crashes", batch_size=1)
    program = Program(tmp_path)
    with embedded.running(program.home, create=False):
        program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
        assert program.query("select number, outcome from ledger.attempt order by number") == [
            (1, "crashed"),
            (2, "complete"),
        ]
    assert files_of(program) == []


COUNTS = """
set -e
count=0
if [ -n "$LEDGER_TRIAL_RESTORED_FOLDER" ]; then count=$(cat "$LEDGER_TRIAL_RESTORED_FOLDER/count"); fi
while [ "$count" -lt 4 ]; do
  count=$((count + 1))
  echo "$LEDGER_TRIAL_ATTEMPT $count" >> counted
  mkdir "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new"
  echo "$count" > "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new/count"
  if [ "$LEDGER_TRIAL_ATTEMPT" = 1 ] && [ "$count" = 3 ]; then kill -KILL $$; fi
  mv "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new" "$LEDGER_TRIAL_CHECKPOINT_FOLDER/$count"
  while [ -e "$LEDGER_TRIAL_CHECKPOINT_FOLDER/$count" ]; do sleep 0.05; done
done
echo "$1"
"""
ODD = """
mkdir "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new"
ln -s /etc/passwd "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new/odd"
mv "$LEDGER_TRIAL_CHECKPOINT_FOLDER/new" "$LEDGER_TRIAL_CHECKPOINT_FOLDER/1"
sleep 600
"""
SPACE = '[space]\nx = { type = "real", low = -1.0, high = 1.0 }\n'


def run_script(folder: Path, script: str, code: int = 0) -> tuple[Program, str]:
    (folder / "script.sh").write_text(script)
    (folder / "space.toml").write_text(SPACE)
    program = Program(folder)
    options = ("--space", "space.toml", "--trials", "1", "--batch-size", "1", "--workers", "1", "--name", "own")
    return program, program.run("run", *options, "--", "bash", "script.sh", "{x}", code=code)


def test_a_killed_program_continues_from_its_checkpoint(tmp_path):
    program, _ = run_script(tmp_path, COUNTS)
    assert (tmp_path / "counted").read_text().splitlines() == ["1 1", "1 2", "1 3", "2 3", "2 4"]
    assert [attempt["outcome"] for attempt in program.document("own")["attempts"]] == ["crashed", "complete"]
    assert files_of(program) == []


def test_a_checkpoint_of_a_program_that_cannot_be_kept_fails_the_attempt(tmp_path):
    _, said = run_script(tmp_path, ODD, code=1)
    assert "checkpoint: odd is a link or a special file: write a copy into the folder" in said
