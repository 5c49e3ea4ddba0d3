"""The options that define a study: their limits, and which source of a setting counts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ledger.cli.study_options import study_options
from ledger.errors import UsageError
from ledger.study.criteria import StoppingCriteria
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.study.tables import OPTIONS
from tests import variables
from tests.fuzz import run

NOWHERE = "postgresql://me:secret@127.0.0.1:1/nowhere"


def parse(*words: str, env: Mapping[str, str] | None = None) -> StudySpec:
    """Return the study that a command with the options of a study gets from a command line and variables."""
    studies: list[StudySpec] = []

    @click.command()
    @study_options
    def command(file: Path | None, options: dict[str, Any]) -> None:
        studies.append(assemble(options, file))

    unset: dict[str, str | None] = dict.fromkeys(variables.ALL)
    result = CliRunner().invoke(command, words, env={**unset, **(env or {})})
    if isinstance(result.exception, UsageError):
        raise result.exception
    if result.exit_code:
        raise UsageError(result.stderr)
    return studies[0]


@pytest.mark.parametrize(
    ("words", "env", "budget"),
    [
        ([], {}, 6),
        (["--trials", "7"], {}, 7),
        ([], {"LEDGER_TRIALS": "7"}, 7),
        (["--trials", "7"], {"NUM_ITERATIONS": "3"}, 7),
        (["--iterations", "5"], {"LEDGER_TRIALS": "7"}, 10),
        (["--iterations", "5"], {"NUM_ITERATIONS": "3"}, 10),
        (["study.toml"], {}, 9),
        (["study.toml", "--iterations", "5"], {}, 10),
        (["study.toml"], {"NUM_ITERATIONS": "5"}, 10),
        (["study.toml", "--trials", "7"], {"NUM_ITERATIONS": "5"}, 7),
    ],
)
def test_a_budget_of_the_command_line_overrides_all_others(tmp_path, monkeypatch, words, env, budget):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("[study]\ntrials = 9")
    assert parse(*words, env=env).budget == budget


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--iterations", "5", "--trials", "7"], {}),
        ([], {"NUM_ITERATIONS": "5", "LEDGER_TRIALS": "7"}),
    ],
)
def test_two_budgets_of_one_source_are_refused(words, env):
    with pytest.raises(UsageError, match=r"^iterations and trials exclude each other; remove one of them$"):
        parse(*words, env=env)


def test_data_of_the_command_line_overrides_a_dataset_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a,y\n" + "1,no\n2,yes\n" * 10)
    study = parse("--data", "a.csv", "--target-column", "y", env={"LEDGER_DATASET": "iris"})
    assert study.objective.data is not None
    study = parse("--dataset", "iris", env={"LEDGER_DATA": "a.csv", "LEDGER_TARGET_COLUMN": "y"})
    assert study.objective.dataset == "iris"


@pytest.mark.parametrize(
    "key",
    ["iterations", "trials", "batch_size", "seed", "cv", "trial_timeout", "keep_artifacts", "timeout", "patience"],
)
def test_a_number_has_the_limits_of_its_model(key):
    option = OPTIONS[key]
    limits = {name: getattr(one, name) for one in option.field.metadata for name in ("ge", "le") if hasattr(one, name)}
    # so that the budget is within its own limits
    other = ("--iterations", "1") if key == "batch_size" else ("--batch-size", "1")
    for limit in (limits["ge"], limits["le"]):
        parse(*other, option.flag, str(limit))
    for beyond in (limits["ge"] - 1, limits["le"] + 1):
        with pytest.raises(UsageError, match=re.escape(option.flag)):
            parse(option.flag, str(beyond))


@pytest.mark.parametrize("key", ["model", "dataset", "mode", "base_estimator", "acq_func"])
def test_a_choice_is_taken_in_any_case_and_another_word_is_refused(key):
    option = OPTIONS[key]
    (one_of,) = option.field.metadata
    for choice in one_of.choices:
        assert parse(option.flag, choice.upper()) == parse(option.flag, choice.lower())
    for word in ("nothing", *one_of.not_usable):
        with pytest.raises(UsageError, match=f"{option.flag}.*choose {', '.join(one_of.choices)}"):
            parse(option.flag, word)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {"DATABASE_URL": NOWHERE}


@pytest.mark.parametrize("command", ["run", "manager", "worker"])
def test_the_first_log_line_names_the_settings_of_the_environment(nowhere, command):
    mine = {"LEDGER_WORKER_GRACE": "2"} if command == "worker" else {"SEED": "7", "LEDGER_METRIC": "f1"}
    _, _, error = run([command, "--give-up-after", "0"], {**nowhere, **mine, "LEDGER_GIVE_UP_AFTER": "60"})
    _, found, listed = error.splitlines()[0].partition("settings from the environment: ")
    assert found
    assert dict(setting.split("=") for setting in listed.split(", ")) == {
        **mine,
        "DATABASE_URL": "database nowhere at 127.0.0.1:1 as me",
    }
    assert "secret" not in error


def test_a_variable_that_the_command_line_replaces_is_not_logged(nowhere):
    _, _, error = run(["manager", "--trials", "7"], {**nowhere, "NUM_ITERATIONS": "5", "SEED": "7"})
    assert "SEED=7" in error
    assert "NUM_ITERATIONS" not in error


def test_without_settings_from_the_environment_none_are_logged(nowhere):
    _, _, error = run(["manager", "--database-url", NOWHERE], {"SEED": ""})
    assert "from the environment" not in error


def test_a_refusal_of_a_study_is_one_line_without_the_settings(nowhere):
    code, _, error = run(["run", "none.toml"], {**nowhere, "SEED": "7"})
    assert (code, error) == (2, "ledger: none.toml: No such file or directory; give the path of a study file\n")


def test_a_target_is_any_finite_number_and_no_name_of_a_column():
    assert parse("--target", "-1e300", "--patience", "7", "--timeout", "60").criteria == StoppingCriteria(
        -1e300, 7, 60.0
    )
    assert parse(env={"LEDGER_TARGET": "0.5"}).criteria == StoppingCriteria(0.5)
    assert parse().criteria == StoppingCriteria()
    for value, said in (("label", "name the target column by --target-column"), ("nan", "not a finite number")):
        with pytest.raises(UsageError, match=said):
            parse("--target", value)
