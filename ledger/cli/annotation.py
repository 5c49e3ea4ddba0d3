"""The command-line options that change the annotation of a study or of a trial, and the output of annotations."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ledger.cli import document
from ledger.cli.options import TEXT
from ledger.errors import UsageError
from ledger.text import one_line

if TYPE_CHECKING:
    from ledger.database.annotations import AnnotationChange
    from ledger.database.rows import AnnotationRow

F = TypeVar("F", bound=Callable[..., Any])

# Maximum length, in characters, of a note in a printed line.
_LONGEST = 1_000


class AttributeType(click.ParamType[tuple[str, Any]]):
    """A click parameter type for a user attribute that the user writes as NAME=VALUE.

    If VALUE is not valid JSON, the attribute's value is the text VALUE.
    """

    name = "attribute"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, given = TEXT.convert(value, param, ctx).partition("=")
        if not equals or not name:
            self.fail(f"{one_line(str(value))!r} is no attribute: write NAME=VALUE.", param, ctx)
        try:
            return name, json.loads(given, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return name, given


def change_options(command: F) -> F:
    """Add the options that change an annotation.

    The values of the options become the arguments of `AnnotationChange`.
    """
    for option in (
        click.option(
            "--remove-attribute", "remove", multiple=True, type=TEXT, metavar="NAME", help="Remove this attribute."
        ),
        click.option(
            "--attribute",
            "attributes",
            multiple=True,
            type=AttributeType(),
            metavar="NAME=VALUE",
            help="Set an attribute. The value is a JSON value or a text. The option can be repeated.",
        ),
        click.option("--note", type=TEXT, metavar="TEXT", help="Replace the note. An empty text removes the note."),
        click.option("--untag", multiple=True, type=TEXT, metavar="TAG", help="Remove this tag."),
        click.option("--tag", "tags", multiple=True, type=TEXT, metavar="TAG", help="Add this tag."),
    ):
        command = option(command)
    return command


def change_of(given: dict[str, Any]) -> "AnnotationChange":
    """Return an `AnnotationChange` that contains the values of the options from `change_options`."""
    from ledger.database.annotations import AnnotationChange

    change = AnnotationChange(**{**given, "attributes": dict(given["attributes"])})
    if change.is_empty:
        raise UsageError("say what to change: use --tag, --untag, --note, --attribute or --remove-attribute")
    return change


def lines_of(row: "AnnotationRow | None") -> dict[str, str]:
    """Convert an annotation to a dict. The dict maps the label of each part of the annotation, such as "note", to one
    line of text."""
    if row is None:
        return {}
    lines = {
        "tags": one_line(", ".join(row.tags), _LONGEST),
        "note": one_line(row.note or "", _LONGEST),
        "attributes": one_line(json.dumps(row.attributes, ensure_ascii=False), _LONGEST) if row.attributes else "",
    }
    return {label: text for label, text in lines.items() if text}


def facts_of(row: "AnnotationRow | None") -> dict[str, Any]:
    """Return the parts of an annotation as a dict that the option --json prints."""
    if row is None:
        return {"tags": [], "note": None, "attributes": {}, "annotated_by": None, "annotated_at": None}
    return document.pick(row, "tags", "note", "attributes", "annotated_by", "annotated_at")


def show(title: str, row: "AnnotationRow | None", word: str) -> None:
    """Print the new annotation of a study or of a trial after a change."""
    parts = "; ".join(f"{label} {text}" for label, text in lines_of(row).items()) or "no annotation"
    click.echo(f"{title}: {parts}" + (" (unchanged)" if word == "unchanged" else ""))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
