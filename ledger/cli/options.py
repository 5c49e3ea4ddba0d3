"""Options that several commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from ledger import logs
from ledger.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(command: F) -> F:
    """Add the options of every command, and pass it a `settings`."""

    @click.option(
        "--database-url",
        envvar="DATABASE_URL",
        show_envvar=True,
        metavar="URL",
        help="The ledger's PostgreSQL. Default: the embedded one in the folder LEDGER_HOME (./.ledger).",
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
    @wraps(command)
    def wrapper(*args: Any, database_url: str | None, log_format: str, log_level: str, **kwargs: Any) -> Any:
        home = Settings.from_environment().home
        logs.set_up(log_format, log_level)
        return command(*args, settings=Settings(database_url, home, log_format, log_level), **kwargs)

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
        "--iterations",
        envvar="NUM_ITERATIONS",
        show_envvar=True,
        type=click.IntRange(min=1),
        help="The budget: rounds of ask, wait and tell. Default: 3.",
    )
    @click.option(
        "--points",
        envvar="NUM_HYPERPARAM_SETS",
        show_envvar=True,
        type=click.IntRange(min=1),
        help="Points asked for in each iteration. Default: 2.",
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
    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        names = ("model", "iterations", "points", "seed", "name", "base_estimator", "acq_func")
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
