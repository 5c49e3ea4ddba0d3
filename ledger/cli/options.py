"""Options that several commands share."""

import math
import re
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.types import StringParamType

from ledger import logs
from ledger.errors import LedgerError
from ledger.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


# Seconds without the database after which a command, or one that works for hours, ends.
COMMAND_PATIENCE, SERVICE_PATIENCE = 30.0, 3600.0


class Text(StringParamType):
    """What PostgreSQL can be sent: an argument may be any bytes, which Python shows with lone surrogates."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not valid UTF-8.", param, ctx)
        return text


TEXT = Text()


def examples(*lines: str) -> str:
    """Return the end of a command's help: what a person may type."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Seconds(click.FloatRange):
    """A finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a finite number of seconds.", param, ctx)
        return float(seconds)


class Bytes(click.ParamType[int]):
    """A number of bytes, with K, M, G or T for powers of 1024."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,15})([KMGT]?)i?B?", str(value), re.IGNORECASE)
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is not a number of bytes: write 512M or 4G.", param, ctx)
        factor: int = 1024 ** " KMGT".index(found[2].upper() or " ")
        if int(found[1]) * factor >= 2**63:
            self.fail(f"{value!r} is more than any machine has.", param, ctx)
        return int(found[1]) * factor


def settings_options(command: F) -> F:
    """Add the options of every command, and pass it a `settings`; it starts over where the database fails it."""
    return _settings_options(command, COMMAND_PATIENCE)


def service_options(command: F) -> F:
    """Do what `settings_options` does, for a command that waits longer for the database to come back."""
    return _settings_options(command, SERVICE_PATIENCE)


def _settings_options(command: F, patience: float) -> F:
    @click.option(
        "--database-url",
        envvar="DATABASE_URL",
        show_envvar=True,
        type=TEXT,
        metavar="URL",
        help="The ledger's PostgreSQL; a password belongs in the variable or in ~/.pgpass, since others see a command"
        " line. Default: the embedded one in the folder LEDGER_HOME (./.ledger).",
    )
    @click.option(
        "--log-format",
        envvar="LEDGER_LOG_FORMAT",
        show_envvar=True,
        type=click.Choice(["text", "json"]),
        default="text",
        help="Log lines for people or for machines.",
    )
    @click.option(
        "--log-level",
        envvar="LEDGER_LOG_LEVEL",
        show_envvar=True,
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        help="The least that is logged.",
    )
    @click.option(
        "--give-up-after",
        envvar="LEDGER_GIVE_UP_AFTER",
        show_envvar=True,
        type=Seconds(min=0),
        default=patience,
        show_default=True,
        help="End with an error when the database was away for so long.",
    )
    @click.option(
        "--statement-timeout",
        envvar="LEDGER_STATEMENT_TIMEOUT",
        show_envvar=True,
        type=Seconds(min=0.1, max=86_400),
        default=Settings.statement_timeout,
        show_default=True,
        help="Longest time of one statement; after half as much again the connection is taken for dead.",
    )
    @wraps(command)
    def wrapper(*args: Any, database_url: str | None, **kwargs: Any) -> Any:
        from ledger.access import NotPermitted
        from ledger.cli.roles import with_way_out
        from ledger.database.retry import OutageTooLong, RetryPolicy, call_with_retries

        given = {name: kwargs.pop(name) for name in ("log_format", "log_level", "give_up_after", "statement_timeout")}
        settings = Settings(database_url, Settings.from_environment().home, **given)
        logs.set_up(settings.log_format, settings.log_level)
        lost = False

        def pause(seconds: float) -> None:
            nonlocal lost
            lost = True
            time.sleep(seconds)

        try:
            policy = RetryPolicy(settings.give_up_after)
            return call_with_retries(lambda: command(*args, settings=settings, **kwargs), policy, pause)
        except NotPermitted as error:
            raise with_way_out(error) from None
        except LedgerError as error:
            if lost and not isinstance(error, OutageTooLong):
                raise LedgerError(
                    f"{error}; the connection was lost meanwhile, so this command may have done it already"
                ) from None
            raise

    return wrapper  # type: ignore[return-value]


def study_options(command: F) -> F:
    """Add the options that say which study, and pass them as `options` with the study file as `file`."""

    @click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[STUDY.TOML]")
    @click.option(
        "--model",
        envvar="MODEL_CHOICE",
        show_envvar=True,
        type=click.Choice(["svm", "xgb", "lgbm"], case_sensitive=False),
        help="The model whose parameters are searched. Default: svm.",
    )
    @click.option(
        "--dataset",
        envvar="DATASET",
        show_envvar=True,
        type=click.Choice(["breast_cancer", "iris", "wine", "digits"], case_sensitive=False),
        metavar="NAME",
        help="What it is trained on: breast_cancer, iris, wine or digits. Default: breast_cancer.",
    )
    @click.option(
        "--data",
        envvar="DATA_FILE",
        show_envvar=True,
        type=TEXT,
        metavar="FILE",
        help="Train on this csv or parquet file instead; its content is stored in the ledger, up to 64 MB.",
    )
    @click.option(
        "--target",
        envvar="TARGET_COLUMN",
        show_envvar=True,
        type=TEXT,
        metavar="COLUMN",
        help="The column of that file that holds the class.",
    )
    @click.option(
        "--cv",
        envvar="CV_FOLDS",
        show_envvar=True,
        type=click.IntRange(min=2, max=48),
        metavar="K",
        help="Score by the mean of K folds, 2 to 48. Default: one split, a fifth of the rows to score on.",
    )
    @click.option(
        "--metric",
        envvar="METRIC",
        show_envvar=True,
        type=TEXT,
        metavar="NAME",
        help="One of scikit-learn's scorers of classifiers, as roc_auc or f1_macro; the loss is 1 - score, or -score of"
        " those that begin with neg_. Default: accuracy.",
    )
    @click.option(
        "--iterations",
        envvar="NUM_ITERATIONS",
        show_envvar=True,
        type=click.IntRange(min=1),
        help="The budget: rounds of ask, wait and tell. Default: 3.",
    )
    @click.option(
        "--batch-size",
        envvar="NUM_HYPERPARAM_SETS",
        show_envvar=True,
        type=click.IntRange(min=1),
        help="Points asked for in each iteration; in steady mode, trials kept in flight. Default: 2.",
    )
    @click.option(
        "--mode",
        envvar="SEARCH_MODE",
        show_envvar=True,
        type=click.Choice(["batch", "steady"], case_sensitive=False),
        help="batch: an iteration ends before the next is asked for, and the same seed gives the same study. steady:"
        " every trial that ends is replaced at once, so that no worker waits for the slowest, and the study depends"
        " on the order in which they end. Default: batch.",
    )
    @click.option("--seed", envvar="SEED", show_envvar=True, type=int, help="Of all that is random. Default: 42.")
    @click.option(
        "--name", envvar="STUDY_NAME", show_envvar=True, help="The study's name. Default: made of the settings."
    )
    @click.option(
        "--base-estimator",
        envvar="BASE_ESTIMATOR",
        show_envvar=True,
        type=click.Choice(["GP", "RF", "ET"], case_sensitive=False),
        metavar="[GP|RF|ET]",
        help="The surrogate: Gaussian process, random forest or extra trees. Default: GP.",
    )
    @click.option(
        "--acq-func",
        envvar="ACQ_FUNC",
        show_envvar=True,
        metavar="NAME",
        help="The acquisition function: EI, LCB, PI, MES, EIps or PIps. Default: EI.",
    )
    @click.option(
        "--trial-timeout",
        envvar="TRIAL_TIMEOUT",
        show_envvar=True,
        type=Seconds(min=0.01, max=31_536_000),
        help="End an attempt that takes longer; it counts as a failure. Default: none.",
    )
    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        names = (
            *("model", "dataset", "data", "target", "cv", "metric", "iterations", "batch_size", "mode", "seed", "name"),
            *("base_estimator", "acq_func", "trial_timeout"),
        )
        options = {name: kwargs.pop(name) for name in names}
        return command(*args, options=options, **kwargs)

    return wrapper  # type: ignore[return-value]


def allow_option(command: F) -> F:
    """Add --allow, passed as `allow`."""
    return click.option(
        "--allow",
        multiple=True,
        envvar="LEDGER_ALLOW",
        show_envvar=True,
        metavar="PACKAGE",
        help="Permit an own objective from this package or module; may be repeated. A study's row names code, and"
        " rows can be written by others, so nothing is permitted unasked.",
    )(command)


def wait_option(command: F) -> F:
    """Add --wait, passed as `wait`."""
    return click.option(
        "--wait", is_flag=True, help="Where the study has another manager, wait for its end instead of leaving."
    )(command)
