"""Artifacts of real studies: saved by objectives, read by commands and Python, and lost by no kill."""

import hashlib
import json
import os
import signal
from typing import Any

import pytest

import ledger
from ledger.objectives import Context
from ledger.worker.artifact_messages import ArtifactAnnouncement, reply
from ledger.worker.trainer import TrainerHandle
from tests.system import disks
from tests.system.programs import Program, own_study, wait_until

OBJECTIVE = """
import pathlib, time

def saves(params, context):
    path = pathlib.Path(f"model{context.trial}.bin")
    path.write_bytes(bytes([context.trial]) * 1_500_000)
    context.save_artifact("model.bin", path)
    context.save_artifact("notes.txt", b"equal in all trials")
    return params["x"] ** 2

def waits(params, context):
    context.save_artifact("early.bin", b"early")
    pathlib.Path(f"begun{context.attempt}").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    context.save_artifact("late.bin", str(context.attempt).encode())
    return params["x"] ** 2
"""


def model(trial: int) -> bytes:
    return bytes([trial]) * 1_500_000


def listed(program: Program, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(program.run("artifact", "list", "own", "--json", *options))
    return found


def best_trial(program: Program) -> int:
    complete = [trial for trial in program.document("own")["trials"] if trial["state"] == "complete"]
    return int(min(complete, key=lambda trial: (trial["loss"], trial["number"]))["number"])


@pytest.fixture(params=["folder", "ledger"])
def program(request, tmp_path):
    """Return the program after a study whose two trials have saved artifacts."""
    own_study(tmp_path, OBJECTIVE, "saves")
    program = Program(tmp_path) if request.param == "folder" else Program(tmp_path, LEDGER_STORE="ledger")
    program.run("run", "own.toml", "--allow", "mine", "--workers", "2")
    return program


def test_commands_list_download_and_remove_artifacts(program):
    rows = listed(program)
    assert [(row["trial"], row["attempt"], row["name"]) for row in rows] == [
        (trial, 1, name) for trial in (0, 1) for name in ("model.bin", "notes.txt")
    ]
    kept_in = {row["store"] for row in rows}
    folder = program.home / "artifacts"
    is_folder = kept_in == {folder.resolve().as_uri()}
    assert is_folder or kept_in == {None}
    for row in rows:
        program.run("artifact", "get", "own", str(row["trial"]), row["name"], "--output", "got", "--force")
        content = (program.folder / "got").read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (row["size"], row["sha256"])

    said = program.run("artifact", "get", "own", "0", "model.bin", "--output", "got", code=1)
    assert said == "ledger: got exists: choose another path, or overwrite the file with --force (overwrite=True)\n"
    said = program.run("artifact", "get", "own", "0", "modl.bin", code=1)
    assert said.startswith("ledger: trial 0 of study own has no artifact 'modl.bin': its artifacts are model.bin")
    said = program.run("artifact", "get", "own", "0", "model.bin", "--attempt", "2", code=1)
    assert said.startswith(
        "ledger: attempt 2 of trial 0 of study own has no artifact 'model.bin': `ledger artifact list`"
    )
    said = program.run("artifact", "get", "own", "0", "model.bin", "--output", "a" * 300, code=1)
    assert said.endswith("aaa cannot be written (File name too long): choose another path\n")
    os.mkfifo(program.folder / "pipe")
    said = program.run("artifact", "get", "own", "0", "model.bin", "--output", "pipe", "--force", code=1)
    assert said == "ledger: pipe is not a regular file: choose another path\n"
    assert program.run("artifact", "rm", "own", code=2).startswith("ledger: the command would remove 4 artifacts")

    assert program.run("artifact", "rm", "own", "0") == "2 artifacts removed\n"
    assert [row["trial"] for row in listed(program)] == [1, 1]
    assert len(listed(program, "--removed")) == 4
    said = program.run("artifact", "get", "own", "0", "model.bin", code=1)
    assert "artifact model.bin of trial 0 was removed at" in said
    # the notes of trial 1 are equal to those of trial 0
    program.run("artifact", "get", "own", "1", "notes.txt", "--output", "notes")
    assert (program.folder / "notes").read_bytes() == b"equal in all trials"
    assert program.run("artifact", "rm", "own", "--yes") == "2 artifacts removed\n"
    assert program.run("artifact", "sweep") == "all contents without an artifact are deleted\n"
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_deleted_study_leaves_no_content(program):
    program.run("study", "delete", "own", "--yes")
    assert [path for path in (program.home / "artifacts").rglob("*") if path.is_file()] == []


def test_python_reads_artifacts(program, monkeypatch):
    for name in ("LEDGER_HOME", "LEDGER_STORE"):
        if value := program.environment.get(name):
            monkeypatch.setenv(name, value)
    found = ledger.load_study("own").artifacts()
    assert [(artifact.trial, artifact.name) for artifact in found] == [
        *((0, "model.bin"), (0, "notes.txt"), (1, "model.bin"), (1, "notes.txt"))
    ]
    assert found[2].read() == model(1)
    target = found[0].download(program.folder)
    assert target == program.folder / "model.bin"
    assert target.read_bytes() == model(0)
    with pytest.raises(ledger.LedgerError, match="exists: choose another path"):
        found[2].download(target)
    assert found[2].download(target, overwrite=True).read_bytes() == model(1)
    found[0].remove()
    with pytest.raises(ledger.LedgerError, match="was removed"):
        found[0].read()
    assert [artifact.name for artifact in ledger.load_study("own").artifacts(trial=0)] == ["notes.txt"]


def test_a_damaged_content_is_never_written(tmp_path):
    own_study(tmp_path, OBJECTIVE, "saves")
    program = Program(tmp_path)
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1")
    damaged = max((program.home / "artifacts").rglob("*"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(b"\1" + damaged.read_bytes()[1:-1] + b"\1")
    (row,) = [row for row in listed(program) if row["sha256"] in damaged.name]
    (tmp_path / "kept").write_bytes(b"kept")
    command = ("artifact", "get", "own", str(row["trial"]), row["name"], "--output")
    for target, options in (("kept", ["--force"]), ("new", [])):
        said = program.run(*command, target, *options, code=1)
        assert said == (
            f"ledger: artifact model.bin of trial {row['trial']}: the content is damaged, its SHA-256 differs from the"
            " recorded SHA-256: restore the content from a backup\n"
        )
    damaged.unlink()
    assert "has no file" in program.run(*command, "new", code=1)
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} == {
        *("home", "mine.py", "own.toml", "model0.bin", "model1.bin", "kept"),
        *({"__pycache__"} if (tmp_path / "__pycache__").exists() else ()),
    }


def test_an_artifact_is_read_only_from_the_store_that_the_user_names(tmp_path):
    own_study(tmp_path, OBJECTIVE, "saves")
    program = Program(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    program.run("run", "own.toml", "--allow", "mine", "--workers", "1", "--store", "elsewhere")
    url = (tmp_path / "elsewhere").as_uri()
    command = ("artifact", "get", "own", "0", "model.bin")
    said = program.run(*command, code=1)
    assert said.endswith(f", or name the store by --store or LEDGER_STORE; the artifact was saved in {url}\n")
    assert f"the artifact is in the store {url}: name this store by --store" in program.run(
        *command, "--store", "ledger", code=1
    )
    program.run(*command, "--store", url)
    assert (tmp_path / "model.bin").read_bytes() == model(0)
    # a command on a machine without the store keeps the contents for another one
    assert program.run("artifact", "rm", "own", "--yes").endswith(" artifacts removed\n")
    said = program.run("artifact", "sweep", code=1)
    assert f"contents of removed artifacts are still in {url}: run `ledger artifact sweep --store {url}`" in said
    program.run("artifact", "sweep", "--store", "elsewhere")
    assert [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()] == []


def test_a_killed_worker_leaves_whole_artifacts_only(tmp_path):
    own_study(tmp_path, OBJECTIVE, "waits", batch_size=1, heartbeat=0.5, lease=3.0)
    program = Program(tmp_path)
    manager = program.start("manager", "own.toml")
    wait_until(lambda: program.query("select from ledger.trial"))
    worker = program.start("worker", "--study", "own", "--allow", "mine")
    wait_until((tmp_path / "begun1").exists)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate()
    other = program.start("worker", "--study", "own", "--until-complete", "--allow", "mine")
    wait_until((tmp_path / "begun2").exists)
    (tmp_path / "go").touch()
    for process in (other, manager):
        _, error = process.communicate()
        assert process.returncode == 0, error
    assert [(row["attempt"], row["name"]) for row in listed(program)] == [
        *((1, "early.bin"), (2, "early.bin"), (2, "late.bin"))
    ]
    program.run("artifact", "get", "own", "0", "late.bin")
    assert (tmp_path / "late.bin").read_bytes() == b"2"


REPLACES = """
def replaces(params, context):
    for epoch in range(3):
        context.save_artifact("best.bin", f"trial {context.trial}, epoch {epoch}".encode())
    if context.trial == 1:
        raise ValueError("no result")
    return params["x"] ** 2
"""


@pytest.mark.parametrize("mode", ["batch", "steady"])
@pytest.mark.parametrize("store", ["folder", "ledger"])
def test_the_manager_removes_the_artifacts_of_beaten_trials(tmp_path, mode, store):
    own_study(tmp_path, REPLACES, "replaces")
    program = Program(tmp_path) if store == "folder" else Program(tmp_path, LEDGER_STORE="ledger")
    options = ("--iterations", "3", "--mode", mode, "--keep-artifacts", "best")
    program.run("run", "own.toml", "--allow", "mine", "--workers", "2", *options)
    best = best_trial(program)
    assert [row["trial"] for row in listed(program)] == [best]
    assert len(listed(program, "--removed")) == 6
    program.run("artifact", "get", "own", str(best), "best.bin")
    assert (tmp_path / "best.bin").read_text() == f"trial {best}, epoch 2"
    files = [path for path in (program.home / "artifacts").rglob("*") if path.is_file()]
    assert len(files) == (1 if store == "folder" else 0)


def test_an_export_says_that_it_contains_no_artifacts(program):
    process = program.start("export", "own", "--output", "own.json")
    _, error = process.communicate()
    assert process.returncode == 0
    assert error == (
        "trials written to own.json\n"
        "study own has 4 artifacts, but the export does not contain artifacts: download them by `ledger artifact get`\n"
    )
    program.run("import", "own.json", "--name", "copy")
    assert program.run("artifact", "list", "copy") == "study copy has no artifacts\n"
    program.run("study", "delete", "copy", "--yes")
    assert len(listed(program)) == 4


def test_a_command_removes_the_artifacts_of_beaten_trials(program):
    best = best_trial(program)
    said = program.run("artifact", "rm", "own", "0", "--keep", "1", code=2)
    assert said.startswith("ledger: --keep chooses the trials by their values")
    assert program.run("artifact", "rm", "own", "--keep", "2") == "0 artifacts removed\n"
    assert program.run("artifact", "rm", "own", "--keep", "1") == "2 artifacts removed\n"
    assert {row["trial"] for row in listed(program)} == {best}


def test_a_manager_without_the_store_leaves_the_contents_to_a_sweep(tmp_path):
    own_study(tmp_path, REPLACES, "replaces")
    program = Program(tmp_path)
    options = ("--iterations", "2", "--keep-artifacts", "1", "--store", "ledger")
    manager = program.start("manager", "own.toml", *options)
    wait_until(lambda: program.query("select from ledger.trial"))
    (tmp_path / "far").mkdir()
    program.run("worker", "--study", "own", "--until-complete", "--allow", "mine", "--store", "far")
    _, error = manager.communicate()
    assert manager.returncode == 0, error
    files = [path for path in (tmp_path / "far").rglob("*") if path.is_file()]
    assert len(files) == 12, "three contents of each trial"
    assert len({row["trial"] for row in listed(program)}) == 1
    said = program.run("artifact", "sweep", "--store", "nothing://far", code=2)
    assert said.startswith("ledger: the store nothing://far cannot be opened")
    said = program.run("artifact", "sweep", "--store", "nothing://far", "--forget", "nothing://far", code=1)
    way_out = f"give one of {(tmp_path / 'far').as_uri()}"
    assert said == f"ledger: no contents without an artifact are in nothing://far: {way_out}\n"
    assert "--forget ledger" in program.run("artifact", "sweep", "--forget", "ledger", code=2)
    program.run("artifact", "sweep", "--store", "far")
    assert len([path for path in (tmp_path / "far").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("store", ["own.toml", "nothing://far", "none/far", "memory://far"])
def test_a_search_with_an_unusable_store_records_nothing(tmp_path, store):
    own_study(tmp_path, OBJECTIVE, "saves")
    program = Program(tmp_path)
    said = program.run("run", "own.toml", "--allow", "mine", "--workers", "1", "--store", store, code=2)
    assert said.splitlines()[-1].startswith("ledger: ")
    assert "store" in said
    assert program.run("study", "list", "--json").strip() == "[]"


FAILS = """
def fails(params, context):
    context.save_artifact("model.bin", bytes(4_000_000))
    return params["x"] ** 2
"""


@pytest.mark.skipif(not disks.is_available(), reason="needs root, who can mount a small disk")
def test_a_full_store_fails_the_trial_with_its_reason(tmp_path):
    own_study(tmp_path, FAILS, "fails", batch_size=1, max_failures=1)
    program = Program(tmp_path)
    with disks.small_disk(1) as disk:
        said = program.run("run", "own.toml", "--allow", "mine", "--store", str(disk.mount), code=1)
        assert "save_artifact: the store" in said
        assert "cannot keep the content: No space left on device" in said
        assert [path for path in disk.mount.rglob("*") if path.is_file()] == []
    assert listed(program) == []


TRAINER = """
import signal

def saves(params, context):
    for number in range(params["number"]):
        context.save_artifact(f"a{number}", bytes(params["size"]))
    return 1.0

def leaves(params, context):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(1)
    try:
        context.save_artifact("never", b"x")
    except KeyboardInterrupt:
        pass
    context.save_artifact("then", b"y")
    return 1.0
"""


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(TRAINER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    trainer = TrainerHandle(["mine"], 1)
    yield trainer
    trainer.kill()


def start(trainer: TrainerHandle, function: str, **params: Any) -> None:
    trainer.start({"function": f"mine:{function}"}, [(params, Context("s", 0, 1, 0, 0))])


def test_an_objective_waits_for_each_reply_of_its_supervisor(trainer):
    start(trainer, "saves", number=2, size=1_000_000)
    received = []
    outcomes = []
    while trainer.jobs:
        outcomes += trainer.wait(None)
        for message in trainer.take_messages():
            received.append(type(message).__name__)
            if isinstance(message, ArtifactAnnouncement) or received[-2:] == ["ArtifactPiece"] * 2:
                trainer.reply(reply(message.request))
    assert received == ["ArtifactAnnouncement", "ArtifactPiece", "ArtifactPiece"] * 2
    assert [outcome.kind for outcome in outcomes] == ["result"]


def test_a_reply_that_comes_too_late_is_ignored(trainer):
    start(trainer, "leaves")
    names, late = [], []
    outcomes = []
    while trainer.jobs:
        outcomes += trainer.wait(None)
        for message in trainer.take_messages():
            if isinstance(message, ArtifactAnnouncement):
                names.append(message.name)
            if len(names) == 1:
                late.append(message.request)
                continue
            for request in (*late, message.request):
                trainer.reply(reply(request))
            late.clear()
    assert names == ["never", "then"]
    assert [outcome.kind for outcome in outcomes] == ["result"]
