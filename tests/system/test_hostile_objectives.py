"""Objectives that attack their worker: with answers, with inherited descriptors, and with processes that they leave."""

import hashlib
import os
import signal
import sys
from pathlib import Path

import pytest

from ledger.objectives import Context, orphans
from ledger.objectives.form import FileReference
from ledger.worker import cgroup
from ledger.worker.dataset_file import DatasetFile
from ledger.worker.outcome import AttemptOutcome
from ledger.worker.trainer import TrainerHandle
from tests.system.programs import Program, alive, own_study, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="the objective uses /proc, or a feature of Linux")

# The objective writes lines to the answer pipe of its trainer, whose arguments name the pipe. It also shuts
# down the socket of the tokens.
FORGERY = """
import json, math, os, socket, sys, time

LOADED = {"loaded": True, "code": None, "differing": None}

def forged(params, context):
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    real = {"job": frame.f_locals["job"]["job"], "kind": "result", "seconds": 0.1, "loss": 0.5, "metrics": {},
            "error": None}
    lines = [
        {"loss": math.nan}, {"loss": None}, {"seconds": "abc"}, {"kind": "failed", "loss": None, "metrics": None},
        {"kind": "banana"}, {"kind": "refused", "loss": None, "metrics": None, "error": "go away"}, {"metrics": "x"},
        "[" * 100_000, "no JSON", LOADED, {"job": None},
    ]
    answers, tokens = int(sys.argv[3]), int(sys.argv[4])
    if context.trial < len(lines):
        line = lines[context.trial]
        if line == LOADED:
            real = {"job": real["job"]}
        os.write(answers, (line if isinstance(line, str) else json.dumps(real | line)).encode() + b"\\n")
        time.sleep(1000)
    elif context.trial == len(lines):
        while True:
            os.write(answers, b"x" * 65_536)
    elif context.trial == len(lines) + 1:
        socket.socket(fileno=tokens).shutdown(socket.SHUT_RDWR)
        time.sleep(1000)
    return params["x"] ** 2
"""
FORGED = 13


@linux
def test_what_an_objective_writes_to_its_trainers_pipe_fails_its_trial(tmp_path, url):
    own_study(tmp_path, FORGERY, "forged", FORGED + 2, max_failures=1, heartbeat=1.0, lease=30.0)
    program = Program(tmp_path, DATABASE_URL=url)
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
    document = program.document("own")
    assert [trial["state"] for trial in document["trials"]] == ["failed"] * FORGED + ["complete"] * 2
    assert len({attempt["worker"] for attempt in document["attempts"]}) == 1
    ended = [attempt for attempt in document["attempts"] if attempt["outcome"] != "released"]
    assert [attempt["outcome"] for attempt in ended] == ["failed"] * FORGED + ["complete"] * 2
    for attempt in ended[:FORGED]:
        assert "the trainer process wrote a malformed answer (" in attempt["error"].splitlines()[-1]


def test_wrong_metrics_of_reports_raise_and_harm_no_trial(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    trainer = TrainerHandle(["tests.attack"], 1, adopts=True)
    try:
        trainer.start(
            {"function": "tests.attack.objectives:hostile_metrics_of_reports"}, [({"x": 1.0}, Context("s", 0, 1, 0, 0))]
        )
        ended, reports = [], []
        while trainer.jobs:
            ended += trainer.wait(None)
            reports += trainer.take_reports()
    finally:
        trainer.close()
    assert [(outcome.error, outcome.metrics) for outcome in ended] == [(None, {"wrong": []})]
    (report,) = [*reports, *ended[0].reports]
    assert report.metrics == {"rate": 0.25, "tiny": 5e-324, "-\x1b[2J\u202e": 0.0}


CLOCK = """
import sys, time
time.perf_counter = lambda: CLOCKS[0]
CLOCKS = [0.0]

def clocked(params, context):
    CLOCKS[0] = [-1e9, float("inf"), float("nan"), 1e9][context.trial % 4]
    return params["x"]

def forged_clock(params, context):
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    frame.f_locals["channel"].answer({
        "job": frame.f_locals["job"]["job"], "kind": "result", "loss": 1.0, "metrics": {}, "error": None,
        "seconds": [-1e9, 1e9, 5e300][context.trial % 3],
    })
    return params["x"]
"""


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    trainer = TrainerHandle(["mine"], 1, adopts=True)
    yield trainer
    trainer.kill()


def outcomes(trainer, function, trials, **params):
    trainer.start(
        {"function": f"mine:{function}"}, [(params, Context("s", number, 1, 0, 0)) for number in range(trials)]
    )
    ended = []
    while trainer.jobs:
        ended += trainer.wait(None)
    return ended


@pytest.mark.parametrize("function", ["clocked", "forged_clock"])
def test_the_seconds_of_a_trial_are_bounded_by_the_workers_clock(trainer, tmp_path, function):
    (tmp_path / "mine.py").write_text(CLOCK)
    ended = outcomes(trainer, function, 6, x=1.0)
    assert [(outcome.kind, outcome.error) for outcome in ended] == [("result", None)] * 6
    assert all(0 <= outcome.seconds < 1e6 for outcome in ended)


# A traced process that has ended stays in the kernel's table of processes until its tracer has seen the end.
TRACER = """
import ctypes, os, pathlib, signal, time

def traced(params, context):
    trainer, ready = os.getpid(), pathlib.Path(params["folder"], "ready")
    begun = ready.with_name("begun")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    libc.prctl(0x59616D61, ctypes.c_ulong(-1 & 2**64 - 1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            # A signal such as SIGCHLD stops a traced process.
            while not begun.exists():
                time.sleep(0.01)
            result = libc.ptrace(0x4206, trainer, 0, 0)  # PTRACE_SEIZE
            ready.with_suffix(".new").write_text(f"{os.getpid()} {result}")
            ready.with_suffix(".new").rename(ready)
            time.sleep(10_000)
        os._exit(0)
    os.waitpid(child, 0)
    begun.touch()
    while not ready.exists():
        time.sleep(0.01)
    if params["dies"]:
        os.kill(trainer, signal.SIGKILL)
    time.sleep(10_000)
"""


@linux
@pytest.mark.parametrize("dies", [True, False])
def test_a_process_that_traces_the_trainer_cannot_delay_its_end(trainer, tmp_path, monkeypatch, dies):
    # On a machine with cgroups, the end of the trainer's cgroup would also end the tracer.
    monkeypatch.setattr(cgroup, "_own_folders", list)
    (tmp_path / "mine.py").write_text(TRACER)
    job = ({"folder": str(tmp_path), "dies": dies}, Context("s", 0, 1, 0, 0))
    trainer.start({"function": "mine:traced"}, [job])
    ended = []
    while dies and trainer.jobs:
        ended += trainer.wait(None)
    wait_until((tmp_path / "ready").exists)
    tracer, result = (tmp_path / "ready").read_text().split()
    assert result == "0", "the kernel refuses to let the process trace the trainer"
    trainer.kill()
    assert [outcome.kind for outcome in ended] == ["crashed"] * dies
    assert not alive(int(tracer))


# Each `way` changes what the trainer shares with its supervisor, or stops the reader of the trainer.
CHANNEL = """
import fcntl, os, pathlib, re, socket, struct, sys, threading, time

def each(change):
    for name in os.listdir("/proc/self/fd"):
        try:
            change(int(name))
        except OSError:
            pass

def flags(descriptor):
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_NONBLOCK)

def shutdown(descriptor):
    socket.socket(fileno=os.dup(descriptor)).shutdown(socket.SHUT_RDWR)

def buffers(descriptor):
    flags(descriptor)
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)

def locks(descriptor):
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

def tokens(descriptor):
    if descriptor == int(sys.argv[4]):
        os.set_blocking(descriptor, False)
        os.read(descriptor, 3)

SERVERS = []

def passes(descriptor):
    with socket.socket(fileno=os.dup(descriptor)) as inherited:
        SERVERS.append(socket.create_server(("127.0.0.1", 0)))
        with socket.create_connection(SERVERS[-1].getsockname()) as lingering:
            lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10_000))
            lingering.setblocking(False)
            try:
                while True:
                    lingering.send(bytes(65_536))
            except BlockingIOError:
                pass
            lingering = socket.socket(fileno=lingering.detach())
            try:
                socket.send_fds(inherited, [b"x"], [lingering.fileno()])
            except OSError:
                lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            lingering.close()

def changes(params, context):
    each(globals()[params["way"]])
    pathlib.Path(params["folder"], "begun").touch()
    time.sleep(10_000)

def changes_flags(params, context):
    changes({"way": "flags", "folder": "."}, context)

def keeps_the_interpreter(go, held):
    while not go.exists():
        time.sleep(0.01)
    held.touch()
    re.match("(a+)+$", "a" * 64 + "b")

def stops_reading(params, context):
    if context.trial == 0:
        files = [pathlib.Path(params["folder"], name) for name in ("go", "held")]
        threading.Thread(target=keeps_the_interpreter, args=files, daemon=True).start()
    return 0.5

def files(params, context):
    found = []
    each(lambda descriptor: descriptor > 2 and found.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    return {"loss": 0.5, "files": [name for name in found if not name.startswith(("pipe:", "socket:", "/proc/"))]}
"""


@linux
@pytest.mark.parametrize("way", ["flags", "shutdown", "buffers", "locks", "tokens", "passes"])
def test_no_change_of_an_inherited_descriptor_blocks_the_supervisor(trainer, tmp_path, way):
    (tmp_path / "mine.py").write_text(CHANNEL)
    params = {"folder": str(tmp_path), "way": way}
    trainer.start({"function": "mine:changes"}, [(params, Context("s", number, 1, 0, 0)) for number in range(4)])
    ended: list[AttemptOutcome] = []
    # The supervisor sees a shut down pipe only when it reads. A withdrawal before this read would be the first to fail.
    while not ended and (way == "shutdown" or not (tmp_path / "begun").exists()):
        ended += trainer.wait(0.05)
    if trainer.jobs:
        trainer.withdraw()
        # no token is left now
        assert trainer.withdraw() == 0
        ended += trainer.wait(0)
    assert [outcome.kind for outcome in ended] == {"shutdown": ["crashed"], "tokens": ["failed"]}.get(way, [])
    trainer.kill()
    (tmp_path / "mine.py").write_text(LEFT)
    (outcome,) = outcomes(trainer, "leaves", 1, folder=str(tmp_path), ends="returns")
    assert outcome.loss == 0.5


@linux
def test_a_trainer_that_stops_reading_does_not_block_the_supervisor(trainer, tmp_path):
    (tmp_path / "mine.py").write_text(CHANNEL)
    (outcome,) = outcomes(trainer, "stops_reading", 1, folder=str(tmp_path))
    assert outcome.loss == 0.5
    (tmp_path / "go").touch()
    wait_until((tmp_path / "held").exists)
    params = {"folder": str(tmp_path), "long": "x" * 4_000_000}
    trainer.start({"function": "mine:stops_reading"}, [(params, Context("s", number, 1, 0, 0)) for number in range(4)])
    assert trainer.wait(0) == trainer.wait(0.01) == []
    assert trainer.withdraw() == 3
    assert trainer.jobs == 1
    trainer.kill()
    (tmp_path / "go").unlink()
    assert [ended.loss for ended in outcomes(trainer, "stops_reading", 4, **params)] == [0.5] * 4


@linux
def test_a_worker_stays_in_control_if_an_objective_changes_its_descriptors(tmp_path):
    own_study(tmp_path, CHANNEL, "changes_flags", 1, max_failures=1, heartbeat=0.2, lease=60.0)
    program = Program(tmp_path)
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trial"))
    worker = program.start("worker", "--allow", "mine", "--grace", "0.5")
    wait_until((tmp_path / "begun").exists)
    # the heartbeats renew the lease
    lease = program.query("select lease_until from ledger.trial")
    wait_until(lambda: program.query("select lease_until from ledger.trial") > lease)
    worker.send_signal(signal.SIGTERM)
    _, error = worker.communicate()
    assert worker.returncode == 0, error
    assert program.query("select outcome from ledger.attempt") == [("released",)]
    program.run("worker", "--allow", "mine", "--trial-timeout", "1", "--until-complete")
    manager.communicate()
    first, *others = (attempt["outcome"] for attempt in program.document("own")["attempts"])
    assert (first, set(others)) == ("released", {"timeout"})


@linux
def test_an_objective_inherits_no_dataset_of_another_study(trainer, tmp_path):
    (tmp_path / "mine.py").write_text(CHANNEL)
    content, dataset = b"a,y\n" + b"1,no\n2,yes\n" * 10, DatasetFile()
    entry = FileReference("a.csv", hashlib.sha256(content).hexdigest(), "csv")
    assert dataset.fetch(entry, lambda *_: content, lambda: True)
    objective = {"model": "svm", "data": {**vars(entry), "target_column": "y"}}
    for number in range(2):
        trainer.start(objective, [({"C": 1.0}, Context("s", number, 1, 0, 0))], [dataset.open])
        ended = []
        while trainer.jobs:
            ended += trainer.wait(None)
        assert [(outcome.kind, outcome.error) for outcome in ended] == [("result", None)]
        (outcome,) = outcomes(trainer, "files", 1)
        assert outcome.metrics["files"] == []
    dataset.close()


# Processes in a session of their own: a child of the trainer, and a process whose parent has ended.
LEFT = """
import os, pathlib, subprocess, sys, time

def detach(folder, name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            pathlib.Path(folder, name + ".new").write_text(str(os.getpid()))
            os.rename(pathlib.Path(folder, name + ".new"), pathlib.Path(folder, name))
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    os.wait()
    while not pathlib.Path(folder, name).exists():
        time.sleep(0.01)

def child(folder, name):
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    pathlib.Path(folder, name).write_text(str(process.pid))

def leaves(params, context):
    child(params["folder"], f"child{context.trial}")
    detach(params["folder"], f"detached{context.trial}")
    if params["ends"] == "dies":
        os._exit(3)
    if params["ends"] == "hangs":
        pathlib.Path(params["folder"], "hangs").touch()
        time.sleep(1000)
    if params["ends"] == "sees":
        return {"loss": 0.5, "found": [os.path.exists(f"/proc/{pid}") for pid in params["pids"]]}
    return 0.5

def left_in_a_study(params):
    child(".", "child")
    detach(".", "detached")
    time.sleep(1000)
"""


def pid_in(file):
    return int(file.read_text())


@linux
@pytest.mark.parametrize("ends", ["dies", "hangs"])
def test_the_processes_of_a_trial_end_with_its_trainer_in_any_session(trainer, tmp_path, ends):
    (tmp_path / "mine.py").write_text(LEFT)
    params = {"folder": str(tmp_path), "ends": ends}
    trainer.start({"function": "mine:leaves"}, [(params, Context("s", 0, 1, 0, 0))])
    if ends == "hangs":
        while not (tmp_path / "hangs").exists():
            assert trainer.wait(0.1) == []
        assert alive(pid_in(tmp_path / "child0"))
        assert alive(pid_in(tmp_path / "detached0"))
        trainer.kill()
    else:
        (outcome,) = trainer.wait(None) or trainer.wait(None)
        assert outcome.kind == "crashed"
    assert not alive(pid_in(tmp_path / "child0"))
    assert not alive(pid_in(tmp_path / "detached0"))


@linux
@pytest.mark.parametrize("has_lists", [True, False])
def test_detached_processes_end_with_their_trial_and_a_pool_does_not(trainer, tmp_path, monkeypatch, has_lists):
    if not has_lists:  # as on a kernel without the files that list the children of a process
        monkeypatch.setattr(orphans, "_LIST", tmp_path / "none")
    (tmp_path / "mine.py").write_text(LEFT)
    (outcome,) = outcomes(trainer, "leaves", 1, folder=str(tmp_path), ends="returns")
    assert outcome.loss == 0.5
    pids = [pid_in(tmp_path / "child0"), pid_in(tmp_path / "detached0")]
    assert [alive(pid) for pid in pids] == [True, False]
    assert not Path(f"/proc/{pids[1]}").exists(), "it is not a zombie"
    (outcome,) = outcomes(trainer, "leaves", 1, folder=str(tmp_path), ends="sees", pids=pids)
    assert outcome.metrics["found"] == [True, False]
    trainer.kill()
    assert not alive(pids[0])


@linux
def test_the_time_limit_ends_processes_in_a_session_of_their_own(tmp_path, url):
    own_study(tmp_path, LEFT, "left_in_a_study", 1, max_failures=1, trial_timeout=6.0)
    program = Program(tmp_path, DATABASE_URL=url)
    assert "not done within 6 s" in program.run("run", "own.toml", "--allow", "mine", "--workers", "1", code=1)
    for name in ("child", "detached"):
        assert not alive(pid_in(tmp_path / name))


@linux
def test_other_children_of_a_process_survive_its_trainer(trainer, tmp_path):
    other = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
    try:
        (tmp_path / "mine.py").write_text(LEFT)
        outcomes(trainer, "leaves", 1, folder=str(tmp_path), ends="returns")
        trainer.kill()
        assert alive(other)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


CHANGED = """
import sys, threading, time

def changes(params):
    sys.path.clear()
    for name in [name for name in sys.modules if name.startswith("sklearn")]:
        del sys.modules[name]
    return 1.0

def stops(params):
    threading.Thread(target=time.sleep, args=[1000]).start()
    raise KeyboardInterrupt
"""


def test_an_objective_changes_no_process_that_trains_another_objective(trainer, tmp_path):
    (tmp_path / "mine.py").write_text(CHANGED)
    trainer.start({"function": "mine:changes"}, [({}, Context("s", 0, 1, 0, 0))])
    while trainer.jobs:
        trainer.wait(None)
    trainer.start({"model": "svm", "dataset": "iris"}, [({"C": 1.0}, Context("t", 0, 1, 0, 0))])
    ended = []
    while trainer.jobs:
        ended += trainer.wait(None)
    assert [(outcome.kind, outcome.error) for outcome in ended] == [("result", None)]


def test_the_threads_of_an_objective_do_not_delay_the_end_of_its_trainer(trainer, tmp_path):
    (tmp_path / "mine.py").write_text(CHANGED)
    (ended,) = outcomes(trainer, "stops", 1)
    assert ended.kind == "crashed"
    assert ended.error.endswith("the trainer process died during the training: exit code 1")
