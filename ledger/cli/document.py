"""--json: what a command lists, as one JSON document for scripts; its keys are in docs/json.md."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add --json, passed as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document for scripts; docs/json.md names its keys."
    )(command)


def write(value: Any) -> None:
    """Print a value as JSON: rows by their columns, times in ISO 8601 with their offset from UTC."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def pick(row: Any, *names: str) -> dict[str, Any]:
    """Return some columns of a row."""
    return {name: getattr(row, name) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if is_dataclass(value):
        # not asdict, which copies what is in it
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON")
