"""A death of the trainer costs one attempt with a recorded cause, and never ends the worker."""

import os
import signal
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.worker.trainer import TrainerHandle
from tests.system.programs import Program, alive, children_of, own_study, wait_for_text, wait_until

OBJECTIVE = """
import ctypes, os, pathlib, re, signal, subprocess, sys, time

def dies_at_first(params, context):
    if context.attempt == 1:
        print("last words of", context.trial, file=sys.stderr, flush=True)
        DEATHS[context.trial]()
    return params["x"] ** 2

def endless_loop_in_c():
    re.match("(a+)+$", "a" * 64 + "b")

def too_much_memory():
    return bytearray(1 << 34)

def a_child_of_its_own():
    child = subprocess.Popen(["sleep", "1000"])
    pathlib.Path("grandchild").write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGTERM)  # as of a service manager that signals everybody: it goes on
    endless_loop_in_c()

def killed_beside_a_copy():
    # which holds the trainer's files open
    if os.fork() == 0:
        pathlib.Path("copy").write_text(str(os.getpid()))
        time.sleep(1000)
    while not pathlib.Path("copy").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

def copied(params):
    os.fork()
    return params["x"] ** 2

DEATHS = [lambda: ctypes.string_at(0), lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL), os.abort,
          too_much_memory, a_child_of_its_own, lambda: sys.exit("enough"), lambda: os.kill(os.getpid(), 40),
          killed_beside_a_copy]

def prompt(params):
    return params["x"] ** 2

def loop(params):
    pathlib.Path("trainer").write_text(str(os.getpid()))
    endless_loop_in_c()
"""


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path, LEDGER_WORKER_MEMORY_LIMIT="2G", LEDGER_WORKER_TRIAL_TIMEOUT="5")


def own(program, function, points, **limits):
    own_study(program.folder, OBJECTIVE, function, points, **limits)
    return ["own.toml", "--allow", "mine", "--workers", "1"]


def test_the_death_of_a_trainer_costs_one_attempt_and_not_the_worker(program):
    program.run("run", *own(program, "dies_at_first", 9, max_failures=2, max_crashes=2))
    document = program.document("own")
    assert [trial["state"] for trial in document["trials"]] == ["complete"] * 9
    assert {(trial["failures"] + trial["crashes"], trial["lost"]) for trial in document["trials"]} == {(1, 0)}
    first = [attempt for attempt in document["attempts"] if attempt["number"] == 1]
    assert [attempt["outcome"] for attempt in first] == ["crashed"] * 5 + ["timeout", "failed"] + ["crashed"] * 2
    causes = [attempt["error"].splitlines()[-1] for attempt in first]
    for cause, said in zip(
        causes,
        [
            *("signal SIGSEGV", "exit code 3", "signal SIGKILL", "signal SIGABRT", "--memory-limit"),
            *("within 5 s", "enough", "signal 40", "signal SIGKILL"),
        ],
        strict=True,
    ):
        assert said in cause
    for trial in (0, 1, 2, 3):
        assert f"last words of {trial}" in first[trial]["error"]
    assert "Fatal Python error: Segmentation fault" in first[0]["error"]
    assert len({attempt["worker"] for attempt in document["attempts"]}) == 1
    for left in ("grandchild", "copy"):
        assert not alive(int((program.folder / left).read_text())), "what an objective started ends with it"


def test_a_forked_copy_of_the_trainer_answers_for_no_other_trial(program):
    program.run("run", *own(program, "copied", 6))
    document = program.document("own")
    assert [trial["loss"] for trial in document["trials"]] == [
        trial["params"]["x"] ** 2 for trial in document["trials"]
    ]
    outcomes = [attempt["outcome"] for attempt in document["attempts"] if attempt["outcome"] != "released"]
    assert outcomes == ["complete"] * 6


def test_a_memory_limit_that_cannot_be_set_costs_no_trial_an_attempt():
    trainer = TrainerHandle((), 1, 2**70)
    with pytest.raises(LedgerError, match="--memory-limit .* cannot be set on this machine"):
        trainer.check({"model": "svm", "dataset": "iris"}, [], 0)
    trainer.kill()


def test_a_study_may_limit_the_time_of_a_trial_too(program):
    arguments = own(program, "loop", 1, max_failures=1, trial_timeout=1.0)
    error = program.run("run", *arguments, code=1)
    assert "not done within 1 s" in error
    document = program.document("own")
    assert {attempt["outcome"] for attempt in document["attempts"]} == {"timeout"}
    program.run("run", "--name", "s", "--trial-timeout", "60", "--iterations", "1", "--batch-size", "1")
    assert program.document("s")["study"]["spec"]["limits"]["trial_timeout"] == 60


def test_the_time_that_an_import_takes_is_not_the_trials(program):
    arguments = own(program, "prompt", 1, trial_timeout=2.0)
    (program.folder / "mine.py").write_text(f"import time\ntime.sleep(3)\n{OBJECTIVE}")
    program.run("run", *arguments)
    assert [attempt["outcome"] for attempt in program.document("own")["attempts"]] == ["complete"]


def test_the_trainer_dies_with_its_worker_even_in_an_endless_loop_in_c(tmp_path):
    program = Program(tmp_path)
    run = program.start("run", *own(program, "loop", 1))
    pid = int(wait_for_text(tmp_path / "trainer"))
    ((worker,),) = program.query("select pid from ledger.worker")
    assert pid in list(children_of(worker))
    badness = [int(Path(f"/proc/{one}/oom_score_adj").read_text()) for one in (worker, pid)]
    assert badness[0] < badness[1], "the kernel ends the trainer first"
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    _, error = run.communicate()
    assert run.returncode == 1
    assert "all 1 workers stopped" in error
