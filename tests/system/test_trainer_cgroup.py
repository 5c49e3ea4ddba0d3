"""The cgroup of a trainer, which ends all processes of a trial, even after SIGKILL of the worker."""

import fcntl
import os
import signal

import pytest

from ledger.objectives import Context
from ledger.worker.trainer import TrainerHandle
from tests.system import cgroups
from tests.system.accounts import USER, can_change_user, open_folder, with_python
from tests.system.programs import Program, alive, own_study, wait_until

pytestmark = pytest.mark.skipif(not cgroups.is_available(), reason="needs root, who can mount cgroups of version 2")


@pytest.fixture
def group():
    with cgroups.new_cgroup() as group:
        yield group


def trainer_groups(group):
    return list(group.glob("ledger-trainer-*"))


# All processes of the bomb share the lock of one open file.
BOMB = f"""
import fcntl, os, pathlib, subprocess, sys, time

PROGRAM = {cgroups.FORK_BOMB!r}

def scatters(params):
    bomb = os.open("bomb", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(bomb, fcntl.LOCK_EX)
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(bomb), "3900000001"]
    subprocess.run(["sh", "-c", '"$@" &', "sh", *command], pass_fds=[bomb], start_new_session=True, check=True)
    while os.fstat(bomb).st_size < 100:
        time.sleep(0.01)
    os.close(bomb)
    return 0.5

def explodes(params):
    scatters(params)
    pathlib.Path("exploded").touch()
    time.sleep(1000)
"""


def assert_the_bomb_has_ended(folder):
    with (folder / "bomb").open() as bomb:
        fcntl.flock(bomb, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused as long as any process of the bomb lives
        assert set(bomb.read()) == {"."}


def test_a_fork_bomb_ends_with_the_time_limit_of_its_trial(group, tmp_path):
    own_study(tmp_path, BOMB, "explodes", 1, max_failures=1, trial_timeout=3.0)
    program = Program(tmp_path, prefix=cgroups.inside(group))
    assert "not done within 3 s" in program.run("run", "own.toml", "--allow", "mine", "--workers", "1", code=1)
    assert (tmp_path / "exploded").exists()
    assert_the_bomb_has_ended(tmp_path)
    assert trainer_groups(group) == []


@pytest.mark.usefixtures("group")
def test_a_fork_bomb_ends_with_a_trial_that_returns(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(BOMB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    trainer = TrainerHandle(["mine"], 1, adopts=True)
    try:
        for number in range(2):
            (tmp_path / "bomb").unlink(missing_ok=True)
            trainer.start({"function": "mine:scatters"}, [({}, Context("s", number, 1, 0, 0))])
            ended = []
            while trainer.jobs:
                ended += trainer.wait(None)
            assert [(outcome.loss, outcome.error) for outcome in ended] == [(0.5, None)]
            assert_the_bomb_has_ended(tmp_path)
    finally:
        trainer.kill()


DETACHED = """
import os, pathlib, time

def detaches(params):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            pathlib.Path("detached.new").write_text(str(os.getpid()))
            os.rename("detached.new", "detached")
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    os.wait()
    time.sleep(1000)
"""


def test_a_workers_start_ends_what_a_killed_worker_left(group, tmp_path):
    own_study(tmp_path, DETACHED, "detaches", 1, heartbeat=1.0, lease=600.0)
    program = Program(tmp_path, prefix=cgroups.inside(group))
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trial"))
    killed = program.start("worker", "--allow", "mine")
    wait_until((tmp_path / "detached").exists)
    detached = int((tmp_path / "detached").read_text())
    others = [program.start("worker", "--allow", "mine")]
    wait_until(lambda: len(program.query("select from ledger.worker")) == 2)
    assert alive(detached), "the start of a worker ended a process of a live worker"
    killed.kill()
    killed.communicate()
    assert alive(detached)
    assert len(trainer_groups(group)) == 1
    others += [program.start("worker", "--allow", "mine") for _ in range(2)]
    wait_until(lambda: not alive(detached))
    wait_until(lambda: trainer_groups(group) == [])
    wait_until(lambda: len(program.query("select from ledger.worker")) == 4)
    for worker in others:
        worker.send_signal(signal.SIGTERM)
        _, error = worker.communicate()
        assert worker.returncode == 0, error
        assert "Traceback" not in error
    manager.terminate()
    manager.communicate()


# Tries to move its process into each of the cgroups above its own.
LEAVER = """
import os, pathlib

def leaves(params):
    for name in GROUPS:
        try:
            with open(os.path.join(name, "cgroup.procs"), "w") as processes:
                processes.write(str(os.getpid()))
        except PermissionError:
            pass
    pathlib.Path("cgroup").write_text(pathlib.Path("/proc/self/cgroup").read_text())
    return 0.5
"""


@pytest.mark.skipif(not can_change_user(), reason="only root can run a trainer as another user")
def test_the_trainer_user_cannot_leave_the_cgroup_of_the_trainer(group):
    group.parent.chmod(0o755)
    with open_folder() as folder:
        code = LEAVER + f"\nGROUPS = {[str(group), str(group.parent)]!r}\n"
        own_study(folder, code, "leaves", 1)
        program = Program(folder, prefix=(*cgroups.inside(group), *with_python()))
        program.run("run", "own.toml", "--allow", "mine", "--workers", "1", "--trainer-user", USER)
        assert f"/{group.name}/ledger-trainer-" in (folder / "cgroup").read_text()
    assert trainer_groups(group) == []
