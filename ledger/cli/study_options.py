"""The command-line options that define a study.

The types, limits, defaults and help texts of the options come from the pydantic models that validate a study.
"""

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource
from pydantic.fields import FieldInfo

from ledger.cli.options import TEXT, SecondsType
from ledger.cli.sections import SectionedCommand
from ledger.errors import UsageError
from ledger.objectives.references import corrected
from ledger.study.settings import AllowedTexts, NamedCounts
from ledger.study.tables import COMMAND, OPTIONS, SPACE, StudyTable, replaced_by
from ledger.text import one_line

F = TypeVar("F", bound=Callable[..., Any])
# `_METAVARS` maps the name of a text option to a placeholder. A help text shows the placeholder instead of the option's
# value.
_METAVARS = {
    "estimator": "MODULE:CLASS",
    "data": "FILE",
    "holdout": "FILE",
    **dict.fromkeys(("target_column", "group_column", "time_column", "weight_column"), "COLUMN"),
    "metric": "NAME",
    "name": "NAME",
}


# Options that the commands do not have. A user may try these options to name a function as the objective.
_FUNCTION_OPTIONS = ("--objective", "--function")


class _ChoiceType(click.Choice[str]):
    """A click parameter type that accepts only the texts that an `AllowedTexts` object lists.

    If a text is not one of the choices, the error message explains why the text is not valid.
    """

    def __init__(self, one_of: AllowedTexts) -> None:
        super().__init__(one_of.choices, case_sensitive=False)
        self._one_of = one_of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._one_of.match(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        # This method overrides `click.Choice.get_metavar`, because `click.Choice.get_metavar` writes the choices in
        # lower case.
        return f"[{'|'.join(self.choices)}]"


class _NamedCountType(click.ParamType[Any]):
    """A click parameter type that accepts a whole number, or a word that a `NamedCounts` object lists."""

    name = "count"

    def __init__(self, words: NamedCounts) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        try:
            return int(value)
        except ValueError:
            pass
        try:
            self._words.match(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return f"[{'|'.join(self._words.names)}|NUMBER]"


class _TargetType(click.ParamType[float]):
    """A click parameter type for the target value of a study, which can be any finite number."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a number: give the value at which the study ends, or name the target column"
                " by --target-column",
                param,
                ctx,
            )
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_TARGET = _TargetType()


def _no_function_option(ctx: click.Context, option: str, args: list[str]) -> UsageError:
    """Return the error for an option that names a function as the objective. Only a study file can name a function."""
    place = next(place for place, word in enumerate(args) if word.partition("=")[0] == option)
    value = args[place].partition("=")[2] or "".join(args[place + 1 : place + 2])
    reference = one_line(corrected(value) or "package.module:function")
    # A manager does not import the function, so only `ledger run` has the option --allow.
    allow = f" --allow {reference.partition(':')[0].partition('.')[0]}" if ctx.info_name == "run" else ""
    return UsageError(
        f'there is no option {option}: write function = "{reference}" into the table [objective] of a study file, and'
        f" run `{ctx.command_path} study.toml{allow}`, or write a program after --"
    )


class StudyCommand(SectionedCommand):
    """A click command that creates a study. The words after ``--`` are the objective of the study.

    The decorator `study_options` adds the options that define the study.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [option for option in self.params if isinstance(option, click.Option) and not option.is_flag]
        with_value = {flag for option in options for flag in option.opts}
        for place, word in enumerate(args):
            # If the word `--` follows an option that needs a value, the option's value is `--`.
            if word == "--" and (place == 0 or args[place - 1] not in with_value):
                if not args[place + 1 :]:
                    raise UsageError("the command after -- is missing; write the program and its arguments after --")
                ctx.meta[__name__] = args[place + 1 :]
                args = args[:place]
                break
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            if error.option_name in _FUNCTION_OPTIONS:
                raise _no_function_option(ctx, error.option_name, args) from None
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def study_options(command: F) -> F:
    """Add the options that define a study. The class of the click command must be `StudyCommand`.

    The command's function receives the values of the options as the argument `options`, and the path of the study file
    as the argument `file`. An option on the command line overrides the environment variable of the option. An option on
    the command line also overrides each environment variable that contradicts the option. For example, the option
    --trials overrides the environment variable NUM_ITERATIONS.
    """

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        options = {key: kwargs.pop(key) for key in (*OPTIONS, SPACE)}
        context = click.get_current_context()
        source = {key: context.get_parameter_source(key) for key in OPTIONS}
        given = [key for key in OPTIONS if source[key] is ParameterSource.COMMANDLINE]
        if __name__ in context.meta:
            options[COMMAND] = context.meta[__name__]
            given.append(COMMAND)
        for key in replaced_by(given):
            if source.get(key) is ParameterSource.ENVIRONMENT:
                options[key] = None
                context.set_parameter_source(key, ParameterSource.DEFAULT)
        return command(*args, options=options, **kwargs)

    decorated: Any = wrapper
    # The loop adds the options in reverse order, because Python applies the last decorator of a function first.
    for key, option in reversed(list(OPTIONS.items())):
        decorated = click.option(
            *(option.flag, key),
            type=_type(option.field),
            metavar=_METAVARS.get(key),
            help=_help(option.field),
            envvar=option.variable,
            show_envvar=True,
        )(decorated)
    decorated = click.option(
        "--space",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML file that contains only the table [space]. The command reads the search space from this file instead"
        " of the study file.",
    )(decorated)
    file = click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[STUDY.TOML]")
    return file(decorated)  # type: ignore[no-any-return]


def study_option(key: str, help_text: str | None = None) -> Callable[[F], F]:
    """Add an option that sets one key of the table `[study]`.

    The user cannot set the option by an environment variable.

    Parameters
    ----------
    key : str
        The key in the table.
    help_text : str, optional
        Help text that replaces the description of the key.
    """
    field = StudyTable.model_fields[key]
    return click.option(f"--{key.replace('_', '-')}", type=_type(field), help=help_text or _help(field))


def _help(field: FieldInfo) -> str:
    default = "" if field.default is None else f" Default: {field.default}."
    return f"{field.description}{default}"


def _type(field: FieldInfo) -> click.ParamType[Any]:
    one_of = next((constraint for constraint in field.metadata if isinstance(constraint, AllowedTexts)), None)
    if one_of is not None:
        return _ChoiceType(one_of)
    words = next((constraint for constraint in field.metadata if isinstance(constraint, NamedCounts)), None)
    if words is not None:
        return _NamedCountType(words)
    # In the metadata of a pydantic field, the minimum and the maximum are objects of two different classes.
    limits = {
        name: getattr(constraint, limit)
        for limit, name in (("ge", "min"), ("le", "max"))
        for constraint in field.metadata
        if hasattr(constraint, limit)
    }
    kinds = get_args(field.annotation) or (field.annotation,)
    if int in kinds:
        return click.IntRange(**limits)
    if float in kinds:
        # An option for a time in seconds has limits, but the option --target accepts any finite number.
        return SecondsType(**limits) if limits else _TARGET
    return TEXT
