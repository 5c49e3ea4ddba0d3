"""Command-line options that several commands share."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.types import StringParamType

from ledger import logs
from ledger.cli.sections import SettingsOption
from ledger.errors import LedgerError, UsageError
from ledger.settings import HOME, STORE_VARIABLE, Settings

F = TypeVar("F", bound=Callable[..., Any])

# Default values of the option --give-up-after, in seconds. `COMMAND_GIVES_UP_AFTER` is the default value for commands,
# and `SERVICE_GIVES_UP_AFTER` is the default value for services. A service is a command that may run for hours.
COMMAND_GIVES_UP_AFTER, SERVICE_GIVES_UP_AFTER = Settings.give_up_after, 3600.0


# Largest integer that PostgreSQL can store in a column of type integer, such as the column of the trial numbers.
LARGEST_INTEGER = 2**31 - 1


class TextType(StringParamType):
    """A click parameter type that accepts only valid UTF-8, because PostgreSQL refuses a text that is not valid UTF-8.

    A shell can pass an argument that is not valid UTF-8.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not valid UTF-8.", param, ctx)
        return text


TEXT = TextType()


def examples(*lines: str) -> str:
    """Return the last section of a help text. The section contains the example command lines `lines`."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class SecondsType(click.FloatRange):
    """A click parameter type for a finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a finite number of seconds.", param, ctx)
        return float(seconds)


class ByteSizeType(click.ParamType[int]):
    """A click parameter type for a number of bytes.

    The letter K stands for 1024 bytes, M for 1024**2 bytes, G for 1024**3 bytes, and T for 1024**4 bytes.
    """

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)i?B?", str(value), re.IGNORECASE)
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is not a number of bytes: write 512M or 4G.", param, ctx)
        factor: int = 1024 ** " KMGT".index(match[2].upper() or " ")
        if int(match[1]) * factor >= 2**63:
            self.fail(f"{value!r} is more memory than any machine has.", param, ctx)
        return int(match[1]) * factor


def settings_options(command: F) -> F:
    """Add the options for the database, the log and the time limits.

    The decorator passes the values of the options to the command as the argument `settings`. If the command loses the
    connection to the database, the decorator calls the command's function again.
    """
    return _settings_options(command, COMMAND_GIVES_UP_AFTER)


def service_options(command: F) -> F:
    """Add the options of `settings_options`. The option --give-up-after has the default `SERVICE_GIVES_UP_AFTER`."""
    return _settings_options(command, SERVICE_GIVES_UP_AFTER)


def _settings_options(command: F, give_up_after: float) -> F:
    @click.option(
        "--database-url",
        cls=SettingsOption,
        envvar="DATABASE_URL",
        show_envvar=True,
        type=TEXT,
        metavar="URL",
        help="URL of the ledger's PostgreSQL database. Put a password into the variable DATABASE_URL or into ~/.pgpass,"
        " because other users of the machine can read a command line."
        " Default: the embedded server in the folder that the variable LEDGER_HOME names. Without this variable, the"
        f" command uses the nearest folder {HOME}, in the current folder or above. `ledger where` shows the folder.",
    )
    @click.option(
        "--database-url-file",
        cls=SettingsOption,
        envvar="LEDGER_DATABASE_URL_FILE",
        show_envvar=True,
        type=TEXT,
        metavar="PATH",
        help="File that contains the URL of the database, instead of --database-url. Only the owner of the file may"
        " have access to the file (chmod 600). The file may also be a pipe, such as /dev/fd/3.",
    )
    @click.option(
        "--log-format",
        cls=SettingsOption,
        envvar="LEDGER_LOG_FORMAT",
        show_envvar=True,
        type=click.Choice(["text", "json"]),
        default=Settings.log_format,
        show_default=True,
        help="Format of log lines: text for people, or json for programs.",
    )
    @click.option(
        "--log-level",
        cls=SettingsOption,
        envvar="LEDGER_LOG_LEVEL",
        show_envvar=True,
        type=click.Choice(["debug", "info", "warning", "error"]),
        default=Settings.log_level,
        show_default=True,
        help="Write only log lines that have at least this level.",
    )
    @click.option(
        "--give-up-after",
        cls=SettingsOption,
        envvar="LEDGER_GIVE_UP_AFTER",
        show_envvar=True,
        type=SecondsType(min=0),
        default=give_up_after,
        show_default=True,
        help="Exit with an error when the database has been unreachable for this time.",
    )
    @click.option(
        "--statement-timeout",
        cls=SettingsOption,
        envvar="LEDGER_STATEMENT_TIMEOUT",
        show_envvar=True,
        type=SecondsType(min=0.1, max=86_400),
        default=Settings.statement_timeout,
        show_default=True,
        help="Time limit of one SQL statement. If the server has not answered after 1.5 times this limit, the command"
        " treats the connection as lost.",
    )
    @wraps(command)
    def wrapper(*args: Any, database_url: str | None, database_url_file: str | None, **kwargs: Any) -> Any:
        from ledger.access import MissingPrivilegeError, read_url
        from ledger.cli.roles import with_way_out
        from ledger.database.retry import OutageTooLong, RetryPolicy, call_with_retries

        if database_url_file is not None:
            if database_url is not None:
                raise UsageError(
                    "--database-url (DATABASE_URL) and --database-url-file (LEDGER_DATABASE_URL_FILE) exclude each"
                    " other: remove one of them"
                )
            database_url = read_url(Path(database_url_file))
        given = {name: kwargs.pop(name) for name in ("log_format", "log_level", "give_up_after", "statement_timeout")}
        found = Settings.from_environment()
        settings = Settings(database_url, found.home, **given, store=found.store)
        logs.set_up(settings.log_format, settings.log_level)
        lost = False

        def pause(seconds: float) -> None:
            nonlocal lost
            lost = True
            time.sleep(seconds)

        try:
            policy = RetryPolicy(settings.give_up_after)
            return call_with_retries(lambda: command(*args, settings=settings, **kwargs), policy, pause)
        except MissingPrivilegeError as error:
            raise with_way_out(error) from None
        except LedgerError as error:
            if lost and not isinstance(error, OutageTooLong):
                raise LedgerError(
                    f"{error}; the command lost the connection to the database before this error, so the ledger may"
                    " already contain the changes of the command"
                ) from None
            raise

    return wrapper  # type: ignore[return-value]


def allow_option(command: F) -> F:
    """Add the option --allow, and pass the option's values to the command as the argument `allow`."""
    return click.option(
        "--allow",
        multiple=True,
        envvar="LEDGER_ALLOW",
        show_envvar=True,
        metavar="PACKAGE",
        help="Allow objectives from this package or module. To allow several packages, repeat the option. By default,"
        " no package is allowed, because other users of the database can create studies that run any code.",
    )(command)


class CommandPatternType(click.ParamType[str]):
    """A click parameter type for a pattern that describes which commands a worker may run.

    If an environment variable contains several patterns, each pattern is on a line of its own.
    """

    name = "pattern"
    envvar_list_splitter = "\n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ledger.objectives.command_template import pattern_words

        pattern = TEXT.convert(value, param, ctx)
        try:
            pattern_words(pattern)
        except UsageError as error:
            self.fail(f"{error}.", param, ctx)
        return pattern


def allow_command_option(command: F) -> F:
    """Add the option --allow-command, and pass the option's values to the command as the argument `allow_command`."""
    return click.option(
        "--allow-command",
        multiple=True,
        envvar="LEDGER_ALLOW_COMMAND",
        show_envvar=True,
        type=CommandPatternType(),
        metavar="PATTERN",
        help="Allow the objectives that run this command, such as 'python train.py --lr {lr}'. Each word of the"
        " pattern must be equal to an argument of the study's command. If the last word is {...}, any further arguments"
        " are allowed. To allow several commands, repeat the option, or write one pattern on each line of the variable."
        " By default, no command is allowed.",
    )(command)


def trainer_user_option(command: F) -> F:
    """Add the option --trainer-user, and pass the option's value to the command as the argument `trainer_user`."""
    return click.option(
        "--trainer-user",
        envvar="LEDGER_WORKER_TRAINER_USER",
        show_envvar=True,
        type=TEXT,
        metavar="NAME",
        help="User of this machine. If root starts the worker, the worker runs the objectives as the user NAME."
        " Without this option, the objectives have the rights of root, and can read the password of the database.",
    )(command)


def store_option(command: F) -> F:
    """Add the option --store, whose value the command receives as `settings.store`."""

    @click.option(
        "--store",
        envvar=STORE_VARIABLE,
        show_envvar=True,
        type=TEXT,
        metavar="PLACE",
        help="Place of the contents of artifacts: a folder, a URL such as s3://bucket/artifacts, or the word ledger for"
        " the database itself. Default: a folder beside the embedded server; without an embedded server, the database"
        " itself.",
    )
    @wraps(command)
    def wrapper(*args: Any, store: str | None, settings: Settings, **kwargs: Any) -> Any:
        from ledger.store import chosen

        # A wrong value must end the command before the command logs or writes anything.
        settings = replace(settings, store=store or None)
        chosen(settings)
        return command(*args, settings=settings, **kwargs)

    return wrapper  # type: ignore[return-value]


def wait_option(command: F) -> F:
    """Add the option --wait, and pass the option's value to the command as the argument `wait`."""
    return click.option(
        "--wait", is_flag=True, help="If another manager runs the study, wait until the other manager has ended."
    )(command)
