"""query: the ready questions, answered without psql."""

import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from ledger.cli import table
from ledger.cli.access import ledger_store
from ledger.cli.options import TEXT, settings_options
from ledger.errors import UsageError
from ledger.settings import Settings


@click.command()
@click.argument("name", required=False, type=TEXT)
@click.option("--list", "listing", is_flag=True, help="List the questions.")
@click.option(
    "-v",
    "--variable",
    "variables",
    multiple=True,
    type=TEXT,
    metavar="NAME=VALUE",
    help="As with psql: study=NAME for one study; some have others.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, one a row, for scripts.")
@settings_options
def query(name: str | None, listing: bool, variables: Sequence[str], as_json: bool, settings: Settings) -> None:
    """Answer a ready question of the ledger: one of sql/queries, as `ledger db psql -f` would.

    NAME is one that `ledger query --list` shows. Questions are about every study unless told `-v study=NAME`.
    """
    from ledger.database import queries

    if listing:
        found = queries.known().values()
        if as_json:
            _print([{"query": one.name, "question": one.question, "variables": list(one.variables)} for one in found])
        else:
            table.show(
                ("QUERY", "QUESTION", "VARIABLES"), [(one.name, one.question, " ".join(one.variables)) for one in found]
            )
        return
    if name is None:
        raise UsageError("which question? `ledger query --list` shows them")
    statement = queries.find(name).with_values(dict(map(_pair, variables)))
    with ledger_store(settings) as store:
        columns, rows = store.ask(statement)
    if as_json:
        _print([dict(zip(columns, map(_plain, row), strict=True)) for row in rows])
    elif rows:
        table.show([column.upper().replace("_", " ") for column in columns], [tuple(map(_cell, row)) for row in rows])
    else:
        click.echo("no rows")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"-v {text}: write it as NAME=VALUE, as in -v study=svm-42-be6aab")
    return name, value


def _print(rows: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(rows, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | float):
        # JSON has no infinity
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else _plain(value)
