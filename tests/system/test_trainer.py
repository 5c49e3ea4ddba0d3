"""A trainer that gets several jobs at once, and ends or is stopped at any of them."""

import os
from pathlib import Path

import pytest

from ledger.objectives import Context
from ledger.worker.trainer import TrainerHandle
from tests.system.programs import trainers_of, wait_until

OBJECTIVE = """
import os, pathlib, time

def loss(params, context):
    pathlib.Path(params["folder"], f"begun{context.trial}").touch()
    while context.trial == 3 and not pathlib.Path(params["folder"], "go").exists():
        time.sleep(0.01)
    if context.trial == params["dies_at"]:
        os._exit(3)
    return {"loss": context.trial, "long": "m" * (params["lengths"][context.trial])}

def asks(params, context):
    answers = []
    for step in range(3):
        context.report(0.5, step)
        answers.append(context.should_prune())
    return {"loss": 0.5, "answers": answers}
"""
# the rungs of a trial in steady mode
RUNGS = [
    {"step": step, "cutoff": None, "compared": None, "stops": None, "last_step": None, "last_loss": None}
    for step in (1, 2)
]
# sizes around the guaranteed capacity of a pipe, and above any capacity
LENGTHS = [0, 3_000, 1_500, 0, 4_096, 0, 900_000, 10, 4_000, 4_000]


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    trainer = TrainerHandle(["mine"], 1)
    yield trainer
    trainer.kill()


def start(trainer, folder, dies_at=None, lengths=(0,) * 10):
    params = {"folder": str(folder), "dies_at": dies_at, "lengths": lengths}
    jobs = [(params, Context("s", number, 1, 0, 0)) for number in range(10)]
    trainer.start({"function": "mine:loss"}, jobs)


def ends(trainer):
    ended = []
    while trainer.jobs:
        ended += trainer.wait(None)
    return ended


def losses(ended):
    return [trained.loss for trained in ended]


def test_every_answer_comes_once_and_in_order_however_long_it_is(trainer, tmp_path):
    (tmp_path / "go").touch()
    for _ in range(2):
        start(trainer, tmp_path, lengths=LENGTHS)
        ended = ends(trainer)
        assert losses(ended) == list(range(10))
        assert [len(trained.metrics["long"]) for trained in ended] == LENGTHS


@pytest.mark.usefixtures("new_processes")
def test_the_trainer_of_a_model_loads_no_pandas(trainer):
    trainer.start({"model": "svm"}, [({"C": 1.0}, Context("s", 0, 1, 0, 0))])
    (ended,) = ends(trainer)
    assert 0 <= ended.loss < 0.2
    (child,) = trainers_of(os.getpid())
    libraries = Path(f"/proc/{child}/maps").read_text()
    assert "sklearn" in libraries
    assert "pandas" not in libraries


def test_what_is_withdrawn_never_begins_and_what_is_sent_next_does(trainer, tmp_path):
    start(trainer, tmp_path)
    wait_until((tmp_path / "begun3").exists)
    assert trainer.withdraw() == 6
    assert trainer.withdraw() == 0
    (tmp_path / "go").touch()
    assert losses(ends(trainer)) == [0, 1, 2, 3]
    assert not (tmp_path / "begun4").exists()
    start(trainer, tmp_path)
    assert losses(ends(trainer)) == list(range(10))


def test_a_trainer_that_has_not_begun_keeps_its_first_job(trainer, tmp_path):
    # the trainer is starting or loading the objective at this moment
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path)!r}, 'go').exists():\n    time.sleep(0.01)\n"
    (tmp_path / "mine.py").write_text(waits + OBJECTIVE)
    start(trainer, tmp_path)
    assert trainer.withdraw() == 9
    (tmp_path / "go").touch()
    assert losses(ends(trainer)) == [0]


def test_what_has_ended_outlives_the_trainer_and_one_job_ends_with_it(trainer, tmp_path):
    (tmp_path / "go").touch()
    start(trainer, tmp_path, dies_at=5, lengths=LENGTHS)
    *results, last = ends(trainer)
    assert losses(results) == [0, 1, 2, 3, 4]
    assert (last.kind, last.loss) == ("crashed", None)
    assert last.error.endswith("exit code 3")
    assert not (tmp_path / "begun6").exists()
    start(trainer, tmp_path)
    assert losses(ends(trainer)) == list(range(10))


@pytest.mark.parametrize("stopped_at", [1, 2, None])
def test_in_steady_mode_an_objective_waits_for_the_verdict_at_a_rung(trainer, stopped_at):
    stopping = {"eta": 2, "enforce": False, "audited": False, "rungs": RUNGS}
    trainer.start({"function": "mine:asks"}, [({}, Context("s", 0, 1, 0, 0))], stopping=[stopping])
    ended, told = [], []
    while trainer.jobs:
        ended += trainer.wait(None)
        for report in trainer.take_reports():
            if report.step > 0:
                told.append(report.step)
                trainer.tell_verdict(report.step, is_stopped=report.step == stopped_at, leaves=False)
    # After a verdict that stops the trial, the objective does not wait, so that its report can arrive with the outcome.
    assert told in ([[1], [1, 2]] if stopped_at == 1 else [[1, 2]])
    assert ended[0].metrics["answers"] == [False, stopped_at == 1, stopped_at in (1, 2)]


@pytest.mark.parametrize(("verdict_comes", "kind"), [(False, "left"), (True, "result")])
def test_a_result_without_a_verdict_says_that_the_objective_left(trainer, verdict_comes, kind):
    stopping = {"eta": 2, "enforce": False, "audited": False, "waits": True, "rungs": RUNGS}
    trainer.start({"function": "mine:asks"}, [({}, Context("s", 0, 1, 0, 0))], stopping=[stopping])
    ended = []
    while trainer.jobs:
        ended += trainer.wait(None)
        if any(report.step == 1 for report in trainer.take_reports()):
            trainer.tell_verdict(1, is_stopped=True, leaves=not verdict_comes)
    assert [outcome.kind for outcome in ended] == [kind]
    assert ended[0].metrics["answers"] == [False, True, True]


def test_an_objective_goes_on_if_no_verdict_comes(trainer):
    stopping = {"eta": 2, "enforce": False, "audited": False, "rungs": RUNGS}
    trainer.start({"function": "mine:asks"}, [({}, Context("s", 0, 1, 0, 0))], stopping=[stopping])
    (outcome,) = ends(trainer)
    assert outcome.metrics["answers"] == [False, False, False]
