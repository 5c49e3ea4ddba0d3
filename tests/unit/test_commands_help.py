"""The help of every command has examples and a last section for the ledger's settings; every listing has --json."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

import click
import pytest

from ledger.cli import program
from ledger.cli.sections import TITLE, SettingsOption

# Commands with these names list something, and have --json. The others do something.
LISTINGS = {
    *("best", "compare", "where", "list", "show", "source", "check", "current", "verify", "status", "query", "reports"),
    *("why", "replay", "model"),
}
ACTIONS = {
    *("run", "manager", "resume", "worker", "pause", "cancel", "delete", "retry", "export", "upgrade", "url", "psql"),
    *("completion", "create", "enqueue", "import", "report", "enable", "disable", "dashboard", "optuna", "csv"),
    *("view", "pg_dump", "pg_restore", "add", "remove", "accept", "annotate", "rename", "archive", "unarchive"),
    *("get", "rm", "sweep"),
}

# Options of nearly every command, in the last section of its help.
SETTINGS = ["database-url", "database-url-file", "log-format", "log-level", "give-up-after", "statement-timeout"]


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            if not subcommand.hidden:
                yield from walk(subcommand, (*path, name))


@cache
def commands() -> dict[tuple[str, ...], click.Command]:
    return dict(walk(program, ("ledger",)))


def examples_of(command: click.Command, path: tuple[str, ...]) -> list[str]:
    # the help contains the names in the context
    with click.Context(command, info_name=" ".join(path), **program.context_settings) as context:
        _, heading, after = command.get_help(context).partition("  Examples:\n")
    assert heading, f"{' '.join(path)} has no examples: give it epilog=examples(...)"
    after, _, settings = after.partition(f"\n{TITLE}:\n")
    assert bool(settings) == any(isinstance(each, SettingsOption) for each in command.params), "the last section"
    assert re.findall(r"^  --([a-z-]+)", settings, re.MULTILINE) == (SETTINGS if settings else [])
    return after.strip("\n").splitlines()


def parse(words: list[str]) -> None:
    """Let click parse a command line down to its last subcommand, without running it."""
    command: click.Command = program
    parent = None
    while True:
        context = command.make_context(words[0], words[1:], parent)
        rest = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not rest:
            return
        _, subcommand, _ = command.resolve_command(context, rest)
        assert subcommand is not None
        command, parent, words = subcommand, context, rest


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_help_has_examples_and_ends_with_the_settings(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("study.json", "known.csv"):
        (tmp_path / name).touch()
    for name in ("LEDGER_STUDY", "MODEL_CHOICE"):
        monkeypatch.delenv(name, raising=False)
    examples = examples_of(commands()[path], path)
    assert examples
    own = 0
    for example in examples:
        assert example.startswith("    "), example
        assert len(example) <= 80, "an example fits one line of a terminal"
        inner = re.search(r"\$\((.*?)\)", example)
        # click parses only the part before a pipe or redirection
        line = re.split(r" [|>] ", inner[1] if inner else example)[0]
        words = shlex.split(line)
        assert words[0] == "ledger"
        parse(words)
        own += words[: len(path)] == list(path)
    assert own, "an example uses this command"


def test_every_listing_has_json():
    for path, command in commands().items():
        if isinstance(command, click.Group):
            continue
        assert path[-1] in LISTINGS | ACTIONS, f"{' '.join(path)}: add it to LISTINGS or ACTIONS"
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (path[-1] in LISTINGS), " ".join(path)


def test_a_mistake_in_an_example_is_detected():
    for wrong in ("ledger study list --jsn", "ledger nothing", "ledger trial show s first", "ledger resume"):
        with pytest.raises(click.UsageError):
            parse(shlex.split(wrong))
    with pytest.raises(AssertionError, match="has no examples"):
        examples_of(click.Command("bare", params=[]), ("bare",))
