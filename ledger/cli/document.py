"""The option --json, which prints the output of a command as one JSON document.

docs/json.md describes the keys of each document.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add the option --json, and pass the option's value to the command as the argument `as_json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON document for scripts. docs/json.md lists the keys of the document.",
    )(command)


def write(value: Any) -> None:
    """Print a value as JSON.

    The function writes a row as a JSON object. The function writes a time as an ISO 8601 text that contains the offset
    from UTC.
    """
    click.echo(json.dumps(value, default=_default, indent=2))


def write_list(values: Iterable[Any]) -> None:
    """Print values as a JSON array. The function prints each value before the function reads the next value.

    The output is the same text as the output of ``write(list(values))``.
    """
    end = "[]"
    for index, value in enumerate(values):
        element = json.dumps(value, default=_default, indent=2).replace("\n", "\n  ")
        click.echo(("," if index else "[") + f"\n  {element}", nl=False)
        end = "\n]"
    click.echo(end)


def pick(row: Any, *names: str) -> dict[str, Any]:
    """Return a dictionary that maps each given column name to the value of the column in the row."""
    return {name: getattr(row, name) for name in names}


def plain(value: Any) -> Any:
    """Convert a value into a type that JSON can represent.

    The function converts a time into an ISO 8601 text, and a duration into a number of seconds.

    Examples
    --------
    >>> plain(timedelta(minutes=2)), plain(math.inf), plain("text")
    (120.0, 'inf', 'text')
    """
    if isinstance(value, Decimal | float):
        # JSON cannot represent an infinite number or NaN.
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else value


def _default(value: Any) -> Any:
    if is_dataclass(value):
        # The function does not call `asdict`, because `asdict` would copy nested values.
        return {field.name: getattr(value, field.name) for field in fields(value)}
    converted = plain(value)
    if converted is value:
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return converted
