"""A worker that is told to stop loses no trial and costs no attempt."""

import os
import signal

import pytest

from tests.system.programs import BLOCKING, Program, own_study, wait_until

# Longer than the timeout of a test, so that a test cannot pass by waiting for it.
LONG = "600"


@pytest.fixture
def program(tmp_path):
    own_study(tmp_path, BLOCKING, "blocked")
    return Program(tmp_path)


@pytest.fixture
def manager(program):
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trial"))
    yield manager
    manager.communicate()
    assert manager.returncode == 0


def begun(program, grace):
    worker = program.start("worker", "--allow", "mine", "--until-complete", "--grace", grace)
    wait_until((program.folder / "begun").exists)
    return worker


def finish(program):
    (program.folder / "go").touch()
    program.run("worker", "--allow", "mine", "--until-complete")


def attempts(program):
    return program.query("select trial, outcome from ledger.attempt order by claimed_at")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_leave_finishes_its_trial_and_claims_no_other(program, manager, how):
    worker = begun(program, LONG)
    os.kill(worker.pid, how)
    (program.folder / "go").touch()
    _, error = worker.communicate()
    assert worker.returncode == 0, error
    assert attempts(program) == [(0, "complete")]
    assert "after it ran 1 attempts of trials" in error
    finish(program)


def test_after_the_grace_time_the_trial_is_released_uncounted(program, manager):
    worker = begun(program, "0.5")
    os.kill(worker.pid, signal.SIGTERM)
    _, error = worker.communicate()
    assert worker.returncode == 0, error
    assert "released, not counted" in error
    assert attempts(program) == [(0, "released")]
    assert program.query(
        "select state, failures, lost, available_at <= ledger.clock() from ledger.trial where number = 0"
    ) == [("pending", 0, 0, True)]
    finish(program)


def test_a_second_signal_releases_at_once(program, manager):
    worker = begun(program, LONG)
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGINT)
    # two pending signals of the same kind arrive as one, so send two kinds
    _, error = worker.communicate()
    assert worker.returncode == 0, error
    assert attempts(program) == [(0, "released")]
    finish(program)


def test_ctrl_c_of_a_run_gives_the_grace_time_and_a_second_one_none(program):
    for signals, outcome in ((1, "complete"), (2, "released")):
        (program.folder / "begun").unlink(missing_ok=True)
        (program.folder / "go").unlink(missing_ok=True)
        run = program.start("run", "own.toml", "--allow", "mine", "--workers", "1")
        wait_until((program.folder / "begun").exists)
        os.killpg(run.pid, signal.SIGINT)
        assert run.stderr is not None
        while "press Ctrl-C again to stop the workers immediately" not in run.stderr.readline():
            assert run.poll() is None
        if signals == 2:
            os.killpg(run.pid, signal.SIGINT)
        else:
            (program.folder / "go").touch()
        _, error = run.communicate()
        assert run.returncode == 1
        assert "run the same command again" in error
        with_attempts = program.document("own")["attempts"]
        assert with_attempts[-1]["outcome"] == outcome
    (program.folder / "go").touch()
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
    assert {trial["state"] for trial in program.document("own")["trials"]} == {"complete"}
