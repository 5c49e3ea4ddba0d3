"""Whole studies with real processes that end in different ways."""

import os
import signal

import pytest

from ledger import embedded
from tests.system.programs import BLOCKING, Program, alive, own_study, wait_until


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def own(program, code, function, failures=3):
    own_study(program.folder, code, function, max_failures=failures)
    return ["run", "own.toml", "--allow", "mine", "--workers", "1"]


def results(document):
    return [(trial["number"], trial["params"], trial["loss"]) for trial in document["trials"]]


def test_a_run_finds_a_good_model_and_the_same_command_shows_it_again(tmp_path):
    program = Program(tmp_path, is_new=True)
    command = ["run", "--model", "xgb", "--iterations", "5", "--batch-size", "4", "--seed", "7", "--workers", "2"]
    out = program.run(*command)
    assert "20 complete" in out
    assert program.run(*command) == out
    document = program.document(out.split()[1])
    assert max(trial["metrics"]["accuracy"] for trial in document["trials"]) >= 0.95
    assert sum(row["size"] for row in document["iterations"] if row["surrogate"]) >= 12
    # trials that were claimed in advance and not begun may have been released
    outcomes = [attempt["outcome"] for attempt in document["attempts"] if attempt["outcome"] != "released"]
    assert outcomes == ["complete"] * 20


# The trials from number 3 on wait for as long as there is a file "hold".
HELD = """
import pathlib, time

def held(params, context):
    while context.trial >= 3 and pathlib.Path("hold").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""
HELD_COMMAND = ("run", "own.toml", "--allow", "mine", "--iterations", "4", "--workers", "2")


def held(folder):
    folder.mkdir(exist_ok=True)
    own_study(folder, HELD, "held", batch_size=3)
    return Program(folder, LEDGER_WORKER_GRACE="0.5")


def started(program, *options):
    """A run that has completed three trials and holds the next ones, and the process ids of its workers."""
    hold = program.folder / "hold"
    hold.touch()
    process = program.start(*HELD_COMMAND, *options)
    wait_until(lambda: program.query("select from ledger.trial where state = 'complete' offset 2"))
    wait_until(lambda: program.query("select from ledger.trial where state = 'running'"))
    return process, [pid for (pid,) in program.query("select pid from ledger.worker")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    calm = held(tmp_path_factory.mktemp("calm"))
    calm.run(*HELD_COMMAND)
    return results(calm.document("own"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_and_is_the_undisturbed_study(tmp_path, undisturbed, how):
    ended = held(tmp_path)
    process, workers = started(ended)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        os.kill(process.pid, how)
    _, error = process.communicate()
    assert "Traceback" not in error
    if how == signal.SIGKILL:
        assert process.returncode == -how
    else:
        assert process.returncode == 1, error
        assert "run the same command again" in error
        assert not embedded.is_running(ended.home)
    wait_until(lambda: not any(alive(pid) for pid in workers))

    (tmp_path / "hold").unlink()
    ended.run(*HELD_COMMAND)
    document = ended.document("own")
    assert results(document) == undisturbed
    assert {attempt["outcome"] for attempt in document["attempts"]} == {"complete", "released"}
    assert {(trial["failures"], trial["lost"]) for trial in document["trials"]} == {(0, 0)}
    assert not embedded.is_running(ended.home)


def test_a_killed_steady_run_goes_on_and_verifies(tmp_path):
    program = held(tmp_path)
    process, workers = started(program, "--mode", "steady")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not any(alive(pid) for pid in workers))
    (tmp_path / "hold").unlink()
    out = program.run(*HELD_COMMAND, "--mode", "steady")
    assert "12 of 12 trials" in out
    assert "12 complete" in out
    document = program.document("own")
    assert 9 <= sum(len(row["seen"]) for row in document["iterations"]) < 12, "all but those in flight at the end"
    assert "records of study own are consistent" in program.run("verify", "own")


def test_no_transaction_is_open_while_a_trial_trains(program):
    command = own(program, BLOCKING, "blocked")
    run = program.start(*command)
    wait_until((program.folder / "begun").exists)
    open_for = program.query(
        "select count(*) filter (where xact_start is not null), count(*) from pg_stat_activity"
        " where application_name like 'ledger worker%'"
    )
    assert open_for == [(0, 1)]
    ((pid,),) = program.query("select pid from ledger.worker")
    os.kill(pid, signal.SIGTERM)
    # the only worker has exited, so the run ends and reports this
    _, error = run.communicate()
    assert run.returncode == 1
    assert "released, not counted" in error
    assert "all 1 workers stopped" in error
    (program.folder / "go").touch()
    program.run(*command)
    document = program.document("own")
    assert [trial["state"] for trial in document["trials"]] == ["complete", "complete"]
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["released", "complete", "complete"]
    assert {(trial["failures"], trial["lost"]) for trial in document["trials"]} == {(0, 0)}


def test_a_loss_that_is_not_finite_is_a_failed_attempt_that_says_so(program):
    returned = {"float('nan')": "nan", "float('inf')": "inf", "'text'": "text", "None": "None", "1 / 0": "by zero"}
    code = f"def wrong(params, context):\n    return eval({[*returned]}[context.trial % {len(returned)}])\n"
    own_study(program.folder, code, "wrong", batch_size=len(returned))
    error = program.run("run", "own.toml", "--allow", "mine", "--workers", "1", code=1)
    assert "every trial of the first batch failed" in error
    assert "correct the cause, and run `ledger resume own`, which tries one more round" in error
    document = program.document("own")
    assert document["study"]["state"] == "failed"
    assert len(document["trials"]) == len(returned)
    for attempt, said in zip(document["attempts"], returned.values(), strict=True):
        assert said in attempt["error"].splitlines()[-1]


# An objective with a mistake, which a library of the standard library notices.
MISTAKE = """
import statistics

def inner(values):
    return statistics.mean(values)

def mistaken(params):
    return inner([])
"""


def test_a_failed_study_shows_the_last_frames_within_the_users_code(program):
    error = program.run(*own(program, MISTAKE, "mistaken", failures=1), code=1)
    mine = program.folder / "mine.py"
    shown = [line for line in error.splitlines() if line.startswith("  ") and "File" in line]
    assert [line.strip() for line in shown] == [
        f'File "{mine}", line 8, in mistaken',
        f'File "{mine}", line 5, in inner',
    ]
    assert error.splitlines()[-1].startswith("ledger: study own is failed: correct the cause, and run `ledger resume")
    document = program.document("own")
    assert {(trial["attempts"], trial["failures"]) for trial in document["trials"]} == {(1, 1)}
    assert len(document["trials"]) == 2


SCRIPT = """
import ledger

@ledger.objective(space={"x": (0.0, 1.0)})
def mistaken(params):
    return wrong(params["x"])

def wrong(x):
    raise TypeError(f"no {'number' if x >= 0 else ''}")

if __name__ == "__main__":
    study = ledger.Study(mistaken, name="two", trials=2)
    for tries in (1, 2):
        try:
            study.run(workers=1)
        except ledger.StudyFailedError as error:
            print(error.exception, len(error.user_frames()), "in wrong" in error.traceback, error.__notes__[0] ==
                  error.traceback, "call run() again" in str(error))
    mistaken.__code__ = (lambda params: params["x"]).__code__
    print(study.run(workers=1).state)
"""


def test_a_failed_study_raises_the_traceback_in_python_and_runs_again(program):
    (program.folder / "script.py").write_text(SCRIPT)
    done = program.run_python("script.py")
    assert done.splitlines() == ["TypeError 5 True True True"] * 2 + ["complete"]
    assert len(program.document("two")["trials"]) == 6


def test_an_objective_that_is_not_allowed_is_refused_before_any_write(tmp_path):
    program = Program(tmp_path, is_new=True)
    command = own(program, BLOCKING, "blocked")
    error = program.run(*[word for word in command if word not in ("--allow", "mine")], code=1)
    assert "--allow" in error
    assert error.count("\n") == 1
    assert not program.home.exists()


PLAIN = "def plain(params):\n    return params['x'] ** 2\n"


def test_a_worker_waits_for_its_study_and_leaves_after_max_trials(program):
    own_study(program.folder, PLAIN, "plain")
    worker = program.start("worker", "--study", "own", "--allow", "mine", "--max-trials", "1")
    wait_until(lambda: program.query("select from ledger.worker"))
    manager = program.start("manager", "own.toml")
    _, error = worker.communicate()
    assert worker.returncode == 0, error
    assert "after it ran 1 attempts of trials" in error
    program.run("worker", "--study", "own", "--allow", "mine", "--until-complete")
    out, error = manager.communicate()
    assert manager.returncode == 0, error
    assert "2 complete" in out


def test_a_paused_study_hands_out_nothing_and_is_resumed(program):
    own_study(program.folder, PLAIN, "plain")
    manager = program.start("manager", "own.toml", "--iterations", "2")
    wait_until(lambda: program.query("select from ledger.trial"))
    assert "is paused" in program.run("study", "pause", "own")
    worker = program.start("worker", "--study", "own", "--allow", "mine", "--until-complete")
    wait_until(lambda: program.query("select from ledger.worker"))
    assert program.query("select count(*) from ledger.attempt") == [(0,)]
    assert "4 complete" in program.run("resume", "own", "--workers", "0", "--wait")
    for process in (worker, manager):
        _, error = process.communicate()
        assert process.returncode == 0, error
    assert "paused" in error
    assert "runs again" in error
    out = program.run("resume", "own", "--iterations", "3", "--workers", "1", "--allow", "mine")
    assert "6 of 6 trials" in out


def test_a_time_budget_ends_a_run_whose_trials_do_not_end(program):
    command = own(program, BLOCKING, "blocked")
    # on a busy machine, a run can end before its worker has begun a trial
    for seconds in (1, 10, 60):
        out = program.run(*command, "--timeout", str(seconds))
        assert f"state       complete: timeout: managers have held the study for {seconds} seconds\n" in out
        assert "trials      2 pending\n" in out
        if (program.folder / "begun").exists():
            break
    document = program.document("own")
    assert {(trial["failures"], trial["lost"]) for trial in document["trials"]} == {(0, 0)}
    assert {attempt["outcome"] for attempt in document["attempts"]} == {"released"}
    assert program.run(*command, "--timeout", str(seconds)) == out, "the same command shows the result"
    (program.folder / "go").touch()
    out = program.run(*command, "--timeout", "600")
    assert "state       complete\n" in out
    assert "2 complete" in out
    assert "the records of study own are consistent" in program.run("verify", "own")


def test_a_target_ends_a_run_early_and_another_target_continues_it(program):
    command = own(program, PLAIN, "plain")
    out = program.run(*command, "--trials", "20", "--target", "1e9")
    assert "state       complete: target 1000000000: trial 1 has the value 0.0919" in out
    assert "budget      2 of 20 trials" in out
    assert "20 complete" in program.run(*command, "--trials", "20")


def test_a_study_continues_on_more_workers_with_a_larger_batch_size(program):
    command = own(program, PLAIN, "plain")
    assert "2 complete" in program.run(*command)
    program.run("resume", "own", "--workers", "0", "--batch-size", "6", "--trials", "2")
    manager = program.start("resume", "own", "--workers", "0", "--trials", "20")
    # a worker with --until-complete ends at once if the study is still complete
    wait_until(lambda: program.query("select from ledger.studies where state = 'running' and budget = 20"))
    workers = [program.start("worker", "--study", "own", "--allow", "mine", "--until-complete") for _ in range(3)]
    out, error = manager.communicate()
    assert "budget      20 of 20 trials" in out, error
    for worker in workers:
        _, error = worker.communicate()
        assert worker.returncode == 0, error
    document = program.document("own")
    assert [(row["size"], row["batch_size"]) for row in document["iterations"]] == [(2, 2), (6, 6), (6, 6), (6, 6)]
    assert "4 proposals recomputed, 0 not comparable" in program.run("verify", "own")
