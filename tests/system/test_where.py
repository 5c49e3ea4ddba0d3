"""The ledger of a project is found from its subfolders, and messages lead to it."""

import json
import os
import signal
import tomllib
from pathlib import Path

import pytest

from tests.system.programs import Program, own_study, wait_until

# The first trial ends at once, and the others wait.
GATED = """
import pathlib, time

def gated(params):
    if pathlib.Path("begun").exists():
        pathlib.Path("waits").touch()
        time.sleep(1000)
    pathlib.Path("begun").touch()
    return params["x"] ** 2
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program whose ledger is the folder .ledger of the current folder."""
    made = Program(tmp_path)
    made.home.rename(tmp_path / ".ledger")
    made._environment.pop("LEDGER_HOME")
    return made


def below(program: Program, *names: str) -> Program:
    folder = program.folder.joinpath(*names)
    folder.mkdir(parents=True, exist_ok=True)
    inner = Program.__new__(Program)
    inner.__dict__.update(program.__dict__)
    inner.folder = folder
    return inner


def test_a_ledger_is_found_from_its_subfolders_and_a_variable_beats_it(program: Program) -> None:
    program.run("run", "--model", "svm", "--trials", "2", "--name", "mine", "--workers", "1")
    inner = below(program, "src", "deep")
    assert "mine" in inner.run("study", "list")
    assert not (inner.folder / ".ledger").exists()
    found = json.loads(inner.run("where", "--json"))
    assert (found["home"], "above" in found["because"]) == (str(program.folder / ".ledger"), True)
    assert "the current folder contains this folder" in program.run("where")
    inner._environment = {**program.environment, "LEDGER_HOME": str(program.folder / "other")}
    assert "LEDGER_HOME names" in inner.run("where")
    assert "no ledger exists" in inner.run("study", "list", code=1)
    inner._environment = {**program.environment, "DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/ledger"}
    said = inner.run("where")
    assert "127.0.0.1" in said
    assert "secret" not in said


def test_a_ledger_above_that_others_can_write_to_is_not_used(program: Program) -> None:
    program.run("run", "--model", "svm", "--trials", "2", "--name", "mine", "--workers", "1")
    inner = below(program, "src")
    (program.folder / ".ledger").chmod(0o777)
    assert "not created" in inner.run("where")
    assert "no ledger exists" in inner.run("study", "list", code=1)


def test_a_listing_in_a_place_without_a_ledger_names_the_ledgers_below(tmp_path: Path) -> None:
    for name in ("one", "two/deep"):
        (tmp_path / name / ".ledger" / "data").mkdir(parents=True)
    program = Program(tmp_path, LEDGER_HOME="")
    said = program.run("study", "list", code=1)
    assert f"ledgers exist in {tmp_path}/one/.ledger, {tmp_path}/two/deep/.ledger: change to" in said


def test_the_best_parameters_are_printed_to_paste(program: Program) -> None:
    program.run("run", "--model", "svm", "--trials", "3", "--name", "mine", "--workers", "1")
    best = json.loads(program.run("best", "mine", "--json"))
    printed: dict[str, float] = {}
    exec("printed.update(" + program.run("best", "mine").partition("\n")[2] + ")", {"printed": printed})
    assert printed == best["params"]
    assert [*printed] == ["C", "gamma"]
    assert tomllib.loads(program.run("best", "mine", "--as", "toml")) == best["params"]
    assert "has no complete trial" not in program.run("best", "mine")


def test_an_unknown_command_gets_the_nearest(program: Program) -> None:
    for word, said in (("list", "`ledger study list`"), ("dashboards", "'dashboard'"), ("frobnicate", "there are run")):
        assert said in program.run(word, code=2)


def test_ctrl_c_prints_the_best_so_far(program: Program) -> None:
    own_study(program.folder, GATED, "gated")
    run = program.start("run", "own.toml", "--allow", "mine", "--workers", "1")
    wait_until((program.folder / "waits").exists)
    wait_until(lambda: json.loads(program.run("trial", "list", "own", "--state", "complete", "--json")))
    os.killpg(run.pid, signal.SIGINT)
    os.killpg(run.pid, signal.SIGINT)
    _, error = run.communicate()
    assert run.returncode == 1
    assert "best so far: value 0." in error
    assert "run the same command again" in error
