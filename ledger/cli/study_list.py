"""The command `ledger study list`, and the command-line options that choose studies by tag and name."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import click

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.options import LARGEST_INTEGER, TextType, examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.database import study_list
from ledger.database.bounds import LONGEST_NAME, LONGEST_TAG, text_fault
from ledger.database.rows import STUDY_STATES, ProgressRow, columns
from ledger.errors import UsageError
from ledger.settings import Settings
from ledger.text import one_line

F = TypeVar("F", bound=Callable[..., Any])

# Maximum number of characters in a table cell that contains tags.
_TAGS_SHOWN = 40


class AgeType(click.ParamType[timedelta]):
    """A click parameter type for the age of a study, such as 36h or 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return study_list.age(str(value), "age")
        except UsageError as error:
            self.fail(f"{str(error).removeprefix('age: ')}.", param, ctx)


class BoundedTextType(TextType):
    """A click parameter type for a text of at most `longest` characters."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if fault := text_fault(text, self._longest):
            self.fail(f"{fault}.", param, ctx)
        return text


_PATTERN, _TAG = BoundedTextType(LONGEST_NAME), BoundedTextType(LONGEST_TAG)


def filter_options(command: F) -> F:
    """Add the options that choose studies by tag and name. The command receives the arguments `tags` and `pattern`."""
    for option in (
        click.option(
            "--name",
            "pattern",
            type=_PATTERN,
            metavar="PATTERN",
            help="Only studies whose name matches the pattern, such as 'svm-*'. The character * matches any text, and"
            " the character ? matches one character.",
        ),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            type=_TAG,
            metavar="TAG",
            help="Only studies with this tag. If the option is repeated, a study must have all of the tags.",
        ),
    ):
        command = option(command)
    return command


@click.command(
    cls=SectionedCommand,
    name="list",
    epilog=examples(
        "ledger study list",
        "ledger study list --state complete --sort best --limit 10",
        "ledger study list --tag paper --newer 7d",
        "ledger study list --json | jq '.[].study'",
    ),
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STUDY_STATES),
    help="Only studies in this state. The option can be repeated.",
)
@filter_options
@click.option(
    "--objective",
    type=_PATTERN,
    metavar="PATTERN",
    help="Only studies whose objective fits the pattern, such as svm, 'sklearn.*' or 'my_package.*'.",
)
@click.option(
    "--dataset",
    type=_PATTERN,
    metavar="PATTERN",
    help="Only studies whose dataset or data file fits the pattern, such as digits or '*.csv'.",
)
@click.option(
    "--newer", type=AgeType(), metavar="AGE", help="Only studies of at most this age, such as 30m, 36h or 7d."
)
@click.option(
    "--older", type=AgeType(), metavar="AGE", help="Only studies of at least this age, such as 30m, 36h or 7d."
)
@click.option("--archived", is_flag=True, help="List the archived studies instead of the other studies.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(study_list.ORDERS),
    default="created",
    show_default=True,
    help="Sort the studies by the time of creation, the name, the lowest loss, the number of ended trials, or the"
    " duration from the creation to the end of the study. The order is ascending.",
)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option("--limit", type=click.IntRange(1, LARGEST_INTEGER - 1), metavar="N", help="List at most N studies.")
@document.json_option
@settings_options
def list_(
    states: Sequence[str],
    pattern: str | None,
    tags: Sequence[str],
    objective: str | None,
    dataset: str | None,
    newer: timedelta | None,
    older: timedelta | None,
    archived: bool,
    order: study_list.Order,
    reverse: bool,
    limit: int | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """List the studies. By default, the oldest study comes first, and archived studies are left out."""
    chosen = study_list.StudyFilter(
        states=states,
        tags=tags,
        name=pattern,
        objective=objective,
        dataset=dataset,
        newer=newer,
        older=older,
        archived=archived,
    )
    with connected(settings) as connection:
        rows = study_list.read(connection, chosen, order, reverse=reverse, limit=None if limit is None else limit + 1)
    has_more = limit is not None and len(rows) > limit
    rows = rows[:limit]
    if as_json:
        document.write([progress_facts(row) for row in rows])
    elif rows:
        show(rows)
    elif chosen.is_empty:
        click.echo("no archived studies" if archived else "no studies yet: `ledger run` makes one")
    else:
        click.echo("no study matches the filters: `ledger study list` without filters shows all studies")
    if has_more:
        click.echo(f"ledger: more studies follow: --limit {2 * (limit or 1)} lists more studies", err=True)


def show(rows: Sequence[ProgressRow]) -> None:
    """Print studies as a table. If no study has a tag, the table has no column for tags."""
    has_tags = any(row.tags for row in rows)
    headers = ["STUDY", "STATE", "BUDGET", "COMPLETE", "RUNNING", "FAILED", "BEST VALUE", "DIRECTION", "CREATED (UTC)"]
    table.show(
        [*headers, "TAGS"] if has_tags else headers,
        [
            (
                *(row.study, row.state, f"{row.ended}/{row.budget}", row.complete, row.running),
                *(row.failed, row.best_value, row.direction, f"{row.created_at:%Y-%m-%d %H:%M}"),
                *([one_line(", ".join(row.tags), _TAGS_SHOWN)] if has_tags else []),
            )
            for row in rows
        ],
    )


def progress_facts(row: ProgressRow) -> dict[str, Any]:
    """Return the progress of a study as a dict that the option --json prints."""
    facts = {name: getattr(row, name) for name in columns(ProgressRow)}
    elapsed = facts.pop("elapsed")
    return {**facts, "elapsed_seconds": elapsed.total_seconds()}
