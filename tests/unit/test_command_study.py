"""A study whose objective is a command: in a study file, after -- on a command line, and in Python."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import ledger
from ledger.cli.options import allow_command_option
from ledger.cli.study_options import StudyCommand, study_options
from ledger.errors import LedgerError, UsageError
from ledger.objectives import Context, load
from ledger.objectives.command import CommandPermissions
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from tests import variables
from tests.fuzz import run

SPACE = '[space]\nx = { type = "real", low = 0.0, high = 1.0 }\n'
FILE = '[objective]\ncommand = ["./train", "--x={x}"]\n' + SPACE
UNSET: dict[str, str | None] = dict.fromkeys(variables.ALL)


def parse(*words: str, **env: str) -> StudySpec:
    """Return the study that a command with the options of a study gets from a command line and variables."""
    studies: list[StudySpec] = []

    @click.command(cls=StudyCommand)
    @study_options
    def command(file: Path | None, options: dict[str, Any]) -> None:
        studies.append(assemble(options, file))

    result = CliRunner().invoke(command, words, env={**UNSET, **env})
    if isinstance(result.exception, UsageError):
        raise result.exception
    if result.exit_code:
        raise UsageError(result.stderr)
    return studies[0]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "study.toml").write_text(FILE + "[study]\nseed = 7\n")
    return tmp_path


def test_the_words_after_two_dashes_are_the_command():
    study = parse("--space", "space.toml", "--trials", "9", "--", "./train", "--x={x}", "--seed", "{trial.seed}", "--")
    assert study.spec()["objective"] == {"command": ["./train", "--x={x}", "--seed", "{trial.seed}", "--"]}
    assert (study.budget, study.space.names) == (9, ("x",))
    assert study.name.startswith("train-42-")
    assert StudySpec.from_spec(study.name, study.budget, study.spec()).spec_hash == study.spec_hash


def test_a_study_file_has_a_command_and_the_command_line_replaces_it():
    assert parse("study.toml").spec()["objective"] == {"command": ["./train", "--x={x}"]}
    study = parse("study.toml", "--", "./other", "{x}")
    assert study.objective.command == ["./other", "{x}"]
    assert (study.seed, study.space.names) == (7, ("x",))
    Path("space.toml").write_text(SPACE.replace("x =", "y ="))
    assert parse("study.toml", "--space", "space.toml", "--", "./other", "{y}").space.names == ("y",)
    with pytest.raises(UsageError, match=r"^study.toml: \[objective\] command: placeholder {x} names no parameter"):
        parse("study.toml", "--space", "space.toml")


def test_a_command_of_the_command_line_replaces_a_model_of_the_environment():
    environment = {"MODEL_CHOICE": "xgb", "LEDGER_DATASET": "iris", "LEDGER_CV": "5", "LEDGER_METRIC": "f1_macro"}
    study = parse("--space", "space.toml", "--", "./train", "{x}", **environment)
    assert study.spec()["objective"] == {"command": ["./train", "{x}"]}
    Path("study.toml").write_text('[objective]\ncommand = ["./train"]\nparams_as = "file"\n')
    assert parse("study.toml", "--model", "svm").objective.model == "svm"


@pytest.mark.parametrize("params_as", ["variable", "file"])
def test_params_as_is_an_option_a_variable_and_a_key(params_as):
    expected = {"command": ["./train"], "params_as": params_as}
    given = ("--space", "space.toml")
    assert parse(*given, "--params-as", params_as, "--", "./train").spec()["objective"] == expected
    assert parse(*given, "--", "./train", LEDGER_PARAMS_AS=params_as).spec()["objective"] == expected
    Path("study.toml").write_text(f'[objective]\ncommand = ["./train"]\nparams_as = "{params_as}"\n' + SPACE)
    assert parse("study.toml").spec()["objective"] == expected


def test_the_default_of_params_as_leaves_the_study_as_it_is():
    given = ("--space", "space.toml")
    study = parse(*given, "--params-as", "arguments", "--", "./train", "{x}")
    assert study.spec_hash == parse(*given, "--", "./train", "{x}").spec_hash


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--space", "space.toml", "--"],
            "the command after -- is missing; write the program and its arguments after --",
        ),
        (
            ["--", "./train", "{x}"],
            "[space] is missing: your own objective has no default space; add the table [space]",
        ),
        (["--space", "space.toml", "--", "./train"], "after --: no argument of the command contains parameter 'x'"),
        (["--space", "space.toml", "--", "./train", "{y}"], "the command after --: placeholder {y} names no parameter"),
        (["--space", "space.toml", "--", "./train", "{x"], 'the command after --: argument "{x" of the command has a'),
        (["--space", "space.toml", "--", "{x}"], 'the command after --: the program "{x}" must be a fixed text'),
        (["--space", "space.toml", "--model", "svm", "--", "a", "{x}"], "command and model exclude each other"),
        (["--space", "nothing.toml", "--", "a"], "--space nothing.toml: No such file or directory; give the path"),
        (
            ["--space", "study.toml", "--", "a"],
            "--space study.toml: the file has the table [objective], but a file for",
        ),
        (["--space", "flat.toml", "--", "a"], "--space flat.toml: 'x' is outside of the table [space]; write [space]"),
        (["--space", "empty.toml", "--", "a"], "--space empty.toml: the table [space] is missing"),
        (["--space", "wrong.toml", "--", "a"], "--space wrong.toml: [space] x: low 1.0 is not below high 0.0"),
        (["--space", "--"], "--space --: No such file or directory"),
        (["--params-as", "file"], "--params-as or LEDGER_PARAMS_AS: params_as needs a command; add a command after --"),
        (["--params-as", "files"], 'unknown "files"; choose arguments, variable, file'),
    ],
)
def test_wrong_words_are_refused_with_their_place(folder, words, said):
    (folder / "flat.toml").write_text("x = 5\n")
    (folder / "empty.toml").write_text("")
    (folder / "wrong.toml").write_text(SPACE.replace("0.0, high = 1.0", "1.0, high = 0.0"))
    with pytest.raises(UsageError) as refused:
        parse(*words)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ('command = "./train {x}"', "[objective] command: "),
        ("command = []", "[objective] command: command [] is not a list"),
        ('command = ["./train", 5]', "[objective] command: 5 must be a valid string"),
        ('command = ["./train", "{x}"]\nfunction = "a:b"', "function and command exclude each other"),
        ('command = ["./train", "{x}"]\nmodel = "svm"', "command and model exclude each other"),
        ('command = ["./train", "{x}"]\ncv = 5', "command and cv exclude each other"),
        ('command = ["./train", "{x}"]\nparams_as = "files"', '[objective] params_as: unknown "files"; choose'),
        ('params_as = "file"', "[objective] params_as: params_as needs a command"),
        ('command = ["./a\\u0000"]', "a NUL character is not allowed"),
    ],
)
def test_a_wrong_objective_of_a_study_file_is_refused(folder, objective, said):
    (folder / "study.toml").write_text(f"[objective]\n{objective}\n" + SPACE)
    with pytest.raises(UsageError) as refused:
        assemble({}, folder / "study.toml")
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{folder}/study.toml: ")


def test_a_choice_that_would_become_an_option_is_refused(folder):
    (folder / "study.toml").write_text(
        '[objective]\ncommand = ["cc", "{o}"]\n[space]\no = { type = "categorical", choices = ["-O2", "-O3"] }\n'
    )
    with pytest.raises(UsageError, match=r'parameter \'o\' would turn .* into an option: .* such as "--option={o}"$'):
        assemble({}, folder / "study.toml")


# In Python


def test_a_command_of_python_is_the_command_of_a_study_file():
    made = ledger.command([Path("code/train"), "--x={x}"], space={"x": (0.0, 1.0)}, params_as="variable")
    study = ledger.Study(made, trials=3)
    assert study.name.startswith("train-42-")
    Path("study.toml").write_text(
        '[study]\ntrials = 3\n[objective]\ncommand = ["code/train", "--x={x}"]\nparams_as = "variable"\n' + SPACE
    )
    assert study.name == assemble({}, Path("study.toml")).name


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        ("./train {x}", {}, "are a text, not a list: write"),
        ([], {}, "ledger.command: command [] is not a list of texts"),
        (["a"], {}, "ledger.command: no argument of the command contains parameter 'x'"),
        (["a", 5, "{x}"], {}, "ledger.command: argument 5 of the command: it is not a text"),
        (["a"], {"params_as": "files"}, "ledger.command: unknown params_as \"files\"; did you mean 'file'?"),
        (["a", "{x}"], {"space": {"x": (1.0, 0.0)}}, "ledger.command space: x: low 1.0 is not below high 0.0"),
        (["a"], {"parms_as": "file"}, "command() has no argument 'parms_as'; did you mean 'params_as'?"),
    ],
)
def test_a_wrong_command_of_python_is_refused(arguments, more, said):
    with pytest.raises(UsageError) as refused:
        ledger.command(arguments, **{"space": {"x": (0.0, 1.0)}, **more})
    assert said in str(refused.value)


# On a worker

MALFORMED: tuple[Any, ...] = (None, 5, "ls", [], {}, [5], ["ls", None], ["{x}"], ["ls", "{"], [""])
CONTEXT = Context(study="s", trial=0, attempt=1, seed=7, study_seed=1)


@pytest.mark.parametrize(
    "objective",
    [
        *({"command": command} for command in MALFORMED),
        *({"command": ["ls"], **more} for more in ({"params_as": 5}, {"params_as": None}, {"params_as": "stdin"})),
        *({"command": ["ls"], "direction": direction} for direction in (None, 5, "up", ["maximize"])),
        *({"command": ["ls"], **more} for more in ({"function": "a:b"}, {"model": "svm"}, {"x" * 100_000: 1})),
        {"command": ["ls"] * 100_000},
        {"command": ["ls", "\ud800"]},
    ],
)
def test_a_malformed_command_in_the_database_is_refused_in_one_line(objective):
    with pytest.raises(LedgerError, match="^the study's objective is malformed") as refused:
        load(objective, ["ls"], permissions=CommandPermissions(["ls {...}"]))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_a_command_prints_the_value_that_its_study_maximises():
    study = parse("study.toml", "--direction", "maximize", "--", "sh", "-c", "echo 0.75", "sh", "{x}")
    objective = study.spec()["objective"]
    assert objective == {"command": ["sh", "-c", "echo 0.75", "sh", "{x}"], "direction": "maximize"}
    permissions = CommandPermissions(["sh {...}"])
    assert load(objective, (), permissions=permissions)({"x": 0.5}, CONTEXT).loss == -0.75
    assert load({**objective, "direction": "minimize"}, (), permissions=permissions)({"x": 0.5}, CONTEXT).loss == 0.75
    assert parse("study.toml", "--direction", "minimize").spec_hash == parse("study.toml").spec_hash


def test_a_worker_runs_only_an_allowed_program_that_it_has():
    objective = {"command": ["no-such-program", "{x}"]}
    for permissions in (None, CommandPermissions(), CommandPermissions(["no-such-program {y}"])):
        with pytest.raises(LedgerError, match="no permission to run the command no-such-program"):
            load(objective, ["no-such-program"], permissions=permissions)
    with pytest.raises(LedgerError, match='^this machine has no program "no-such-program"'):
        load(objective, (), permissions=CommandPermissions(["no-such-program {...}"]))
    Path("no-such-program").write_text("#!/bin/sh\n")
    objective = {"command": ["./no-such-program"]}
    with pytest.raises(LedgerError, match="^this machine has no program"):  # it may not be executed
        load(objective, (), permissions=CommandPermissions(["./no-such-program"]))
    Path("no-such-program").chmod(0o700)
    load(objective, (), permissions=CommandPermissions(["./no-such-program"]))


@pytest.mark.parametrize("pattern", ["", "{...}", "a 'b", "a {...} b"])
def test_a_malformed_pattern_of_the_command_line_or_a_variable_is_refused(pattern):
    for words, environment in (
        (["worker", "--allow-command", pattern], {}),
        (["worker"], {"LEDGER_ALLOW_COMMAND": pattern}),
    ):
        if environment and not pattern:
            continue  # an empty variable counts as unset
        code, _, error = run(words, environment)
        assert code == 2
        assert "--allow-command" in error


def test_a_variable_has_one_pattern_on_each_line():
    got: list[tuple[str, ...]] = []

    @click.command()
    @allow_command_option
    def command(allow_command: tuple[str, ...]) -> None:
        got.append(allow_command)

    CliRunner().invoke(command, [], env={"LEDGER_ALLOW_COMMAND": "./a '{x}'\n./b {...}"})
    CliRunner().invoke(command, ["--allow-command", "./a '{x}'", "--allow-command", "./b {...}"])
    assert got == [("./a '{x}'", "./b {...}")] * 2
