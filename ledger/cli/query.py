"""The command `query`, which runs the named queries of sql/queries without psql."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.options import TEXT, examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import UsageError
from ledger.settings import Settings


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger query --list",
        "ledger query leaderboard -v study=svm-42-341b3e",
        "ledger query outcomes --json | jq length",
    ),
)
@click.argument("name", required=False, type=TEXT)
@click.option("--list", "listing", is_flag=True, help="List the queries.")
@click.option(
    "-v",
    "--variable",
    "variables",
    multiple=True,
    type=TEXT,
    metavar="NAME=VALUE",
    help="Value for a variable in the query, as with psql -v. For example, study=NAME selects one study. Some queries"
    " also have other variables.",
)
@document.json_option
@settings_options
def query(name: str | None, listing: bool, variables: Sequence[str], as_json: bool, settings: Settings) -> None:
    """Run a named query of sql/queries, as `ledger db psql -f` does.

    `ledger query --list` shows the names of the queries. A query covers all studies. With `-v study=NAME`, a query
    covers only the study NAME.
    """
    from ledger.database import queries, reads

    if listing:
        known = queries.known().values()
        if as_json:
            document.write(
                [{"query": item.name, "question": item.question, "variables": list(item.variables)} for item in known]
            )
        else:
            rows = [(item.name, item.question, " ".join(item.variables)) for item in known]
            table.show(("QUERY", "QUESTION", "VARIABLES"), rows)
        return
    if name is None:
        raise UsageError("the name of a query is missing: `ledger query --list` shows the names")
    statement = queries.find(name).with_values(dict(map(_pair, variables)))
    with connected(settings) as connection:
        columns, answers = reads.ask(connection, statement)
    if as_json:
        document.write([dict(zip(columns, map(document.plain, row), strict=True)) for row in answers])
    elif answers:
        table.show(
            [column.upper().replace("_", " ") for column in columns], [tuple(map(_cell, row)) for row in answers]
        )
    else:
        click.echo("no rows")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"-v {text}: write the variable as NAME=VALUE, as in -v study=svm-42-341b3e")
    return name, value


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else document.plain(value)
