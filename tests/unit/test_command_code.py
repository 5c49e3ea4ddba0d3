"""The recorded code of a command: its arguments, its script, and the other files that its arguments name."""

import hashlib
import os
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.objectives import command_code
from ledger.objectives.command_code import code_of_command
from ledger.objectives.command_template import pattern_of
from ledger.objectives.fingerprint import changes
from ledger.objectives.objective_code import code_of, worker_changes

COMMAND = ["python", "train.py", "--config=config.yaml", "--log", "out.log", "out.log", "--lr", "{lr}"]
OBJECTIVE = {"command": COMMAND}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "config.yaml").write_text("depth: 3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code(command=COMMAND, pattern=None, **more):
    return code_of_command(command, [pattern or pattern_of(command)], **more)


def files(found):
    return [part.name for part in found.parts if part.kind == "command file"]


def test_the_script_and_the_files_of_the_arguments_are_watched():
    found = code(recordable=True)
    assert [(str(part), part.code is None) for part in found.parts] == [
        ("command `train`", False),
        ("command file `train.py`", False),
        ("command file `config.yaml`", True),
    ]
    assert found.texts == {"train.py": "print(1)\n"}
    assert found.sources == {"train.py": hashlib.sha256(b"print(1)\n").hexdigest()}
    assert code().parts == found.parts
    assert code().texts == {}


@pytest.mark.parametrize(("file", "text"), [("train.py", "print(2)\n"), ("config.yaml", "depth: 4\n")])
def test_a_changed_file_is_named(folder, file, text):
    before = code()
    (folder / file).write_text(text)
    assert changes(before.parts, code().parts) == [f"command file `{file}`"]


def test_a_file_that_the_program_creates_is_no_change(folder):
    before = code()
    (folder / "out.log").write_text("1\n")
    assert files(code()) == ["train.py", "config.yaml", "out.log"]
    assert changes(before.parts, code().parts) == []
    assert changes(code().parts, before.parts) == []


def test_a_worker_needs_the_recorded_script_and_trains_with_other_files(folder):
    recorded = code().to_json()
    (folder / "config.yaml").write_text("depth: 4\n")
    assert worker_changes(OBJECTIVE, recorded, code()) == ([], ["command file `config.yaml`"])
    (folder / "train.py").write_text("print(2)\n")
    assert worker_changes(OBJECTIVE, recorded, code()) == (["command file `train.py`"], [])


def test_no_file_outside_the_folder_is_watched(folder):
    inside = folder / "inside"
    inside.mkdir()
    (inside / "run.sh").write_text("echo 1\n")
    (inside / "link.sh").symlink_to("../train.py")
    os.chdir(inside)
    given = ["sh", "link.sh", "../train.py", "/etc/passwd", "no-such-file", "", ".", "run.sh", "run.sh"]
    assert files(code(given)) == ["run.sh"]
    assert files(code(["sh", str(inside / "run.sh")])) == [str(inside / "run.sh")]
    # the system looks for a program without a folder in PATH
    assert files(code(["run.sh"])) == []
    assert files(code(["./run.sh"])) == ["./run.sh"]


def test_a_pattern_gives_no_text_of_a_file_that_it_does_not_name():
    named, free = code(pattern="python train.py {...}", recordable=True), code(pattern="python {...}", recordable=True)
    assert (list(named.texts), list(free.texts)) == (["train.py"], [])
    assert named.parts == free.parts
    with pytest.raises(LedgerError, match="no permission to run the command"):
        code_of(OBJECTIVE, ["train"], commands=["other {...}"])


def test_the_source_text_is_left_out_if_the_study_says_so():
    def found(**setting):
        return code_of({**OBJECTIVE, **setting}, (), commands=["python train.py {...}"], recordable=True)

    assert list(found().texts) == ["train.py"]
    assert found(record_source=False).texts == {}
    assert found(record_source=False).sha256 == found().sha256


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a\0b", b"x" * 500_000])
def test_a_binary_or_long_program_has_a_hash_and_no_text(folder, content):
    (folder / "train").write_bytes(content)
    found = code(["./train", "{lr}"], recordable=True)
    assert found.parts[1].code == hashlib.sha256(content).hexdigest()
    assert (found.sources, found.texts) == ({}, {})


def test_a_huge_file_is_named_and_not_watched(monkeypatch):
    monkeypatch.setattr(command_code, "_LARGEST_FILE", 8)
    assert [part.unwatched for part in code().parts] == [None, "more than 8 bytes", "more than 8 bytes"]


def test_a_file_that_cannot_be_read_is_named_and_not_watched(folder, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert [part.unwatched for part in code().parts] == [None, "not readable", "not readable"]
