"""The flattened view of one study: a row a trial, a column a parameter and a metric, each in its type.

The view of study NAME is ``ledger."study:NAME"``. A column has its parameter's or metric's own name. Where that is
taken, by a column of every such view or by one before it, or is empty, it is ``param_NAME`` or ``metric_NAME``; where
that is taken too, ``param_NAME~2`` and so on. What is longer than PostgreSQL's 63 bytes is cut to 54 and ends in ``~``
and 8 hexadecimal digits of the MD5 of the whole. Parameters are named in the order of the space, then metrics by name.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import psycopg
from psycopg import errors, sql

from ledger.database.tables import SCHEMA
from ledger.errors import LedgerError
from ledger.resources import folder

PREFIX = "study:"
# bytes of a name, and columns of a view, that PostgreSQL can have
LONGEST_NAME, MOST_COLUMNS = 63, 1600

_Cursor = psycopg.Cursor[Any]

# What every such view begins with: name -> expression, comment.
_FIXED = {
    "trial": ("trial.number", "Number of the trial within the study, from 0."),
    "iteration": ("trial.iteration", "The iteration that it belongs to, from 0."),
    "state": ("trial.state", "pending, running, complete, failed or cancelled."),
    "loss": ("trial.loss", "What is minimised, finite; null unless complete."),
    "seconds": (
        "(select max(attempt.seconds) from ledger.attempt where attempt.study_id = trial.study_id"
        " and attempt.trial = trial.number and attempt.outcome = 'complete')",
        "Seconds of training of the attempt that completed it; null unless complete.",
    ),
}
# Type of a column -> its value out of JSON; null where it is not of that type, so that no row breaks the view.
_VALUES = {
    "double precision": "ledger.number({})",
    "bigint": "case jsonb_typeof({0}) when 'number' then ({0})::bigint end",
    "boolean": "case jsonb_typeof({0}) when 'boolean' then ({0})::boolean end",
    "text": "({}) #>> '{{}}'",
    "jsonb": "{}",
}
# How JSON calls it, where all values of a metric are one -> type of the column.
_METRICS = {"number": "double precision", "boolean": "boolean", "string": "text"}


@dataclass(frozen=True)
class Column:
    """A column that a view has for a key of `params` or `metrics`."""

    name: str
    of: str
    key: str
    type: str
    comment: str


@dataclass(frozen=True)
class Flattened:
    """A view as it was made; `left_out` are metrics for which it had no room."""

    name: str
    columns: Sequence[Column]
    left_out: Sequence[str]


def view_name(study: str) -> str:
    """Return the name, within schema ledger, of the study's view."""
    return _fit(PREFIX + study)


def columns(space: Sequence[Mapping[str, Any]], metrics: Mapping[str, Collection[str]]) -> list[Column]:
    """Return the columns of a study's parameters, in the order of its space, and of its metrics, by name.

    Parameters
    ----------
    space : sequence of mapping
        As in the study's spec.
    metrics : mapping of str to collection of str
        The metrics' names, and for each what JSON calls the types of its values.
    """
    taken = set(_FIXED)
    found = []
    for dimension in space:
        name = _free("param", dimension["name"], taken)
        found.append(Column(name, "params", dimension["name"], _type(dimension), _described(dimension)))
    for key in sorted(metrics):
        kinds = set(metrics[key]) - {"null"}
        type_ = _METRICS.get(kinds.pop(), "jsonb") if len(kinds) == 1 else "jsonb"
        name = _free("metric", key, taken)
        found.append(Column(name, "metrics", key, type_, f"The metric {key}; null where it is not there."))
    return found


def create(cursor: _Cursor, study_id: int, study: str, space: Sequence[Mapping[str, Any]]) -> Flattened:
    """Create or replace the study's view, and let readers read it. Only the owner of the schema may.

    Raises
    ------
    LedgerError
        The study has more parameters than a view has columns, or something else is built on the view and would not
        fit it any more.
    """
    if len(_FIXED) + len(space) > MOST_COLUMNS:
        raise LedgerError(
            f"study {study} has {len(space)} parameters, and a view has room for {MOST_COLUMNS - len(_FIXED)}:"
            " read ledger.parameters, which has a row for each"
        )
    # what a superuser makes belongs to the ledger's owner too
    cursor.execute(
        "select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = %s", (SCHEMA,)
    )
    every = columns(space, _metrics(cursor, study_id))
    room = MOST_COLUMNS - len(_FIXED)
    made = Flattened(view_name(study), every[:room], [column.key for column in every[room:]])
    view = sql.Identifier(SCHEMA, made.name)
    definition = _definition(study_id, made.columns)
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL("create or replace view {} as {}").format(view, definition))
    except errors.InvalidTableDefinition:
        # other columns than before
        drop(cursor, study)
        cursor.execute(sql.SQL("create view {} as {}").format(view, definition))
    for statement in _comments(study, view, made.columns):
        cursor.execute(statement)
    cursor.execute((folder("sql") / "privileges.sql").read_text())
    return made


def drop(cursor: _Cursor, study: str) -> None:
    """Drop the study's view, where it has one.

    Raises
    ------
    LedgerError
        Something else is built on it.
    """
    view = sql.Identifier(SCHEMA, view_name(study))
    try:
        cursor.execute(sql.SQL("drop view if exists {}").format(view))
    except errors.DependentObjectsStillExist as error:
        raise LedgerError(
            f"{view.as_string()} cannot be dropped ({error.diag.message_detail}): drop what is built on it first"
        ) from None


def _metrics(cursor: _Cursor, study_id: int) -> dict[str, list[str]]:
    return dict(
        cursor.execute(
            "select key, array_agg(distinct jsonb_typeof(value)) from ledger.trial, jsonb_each(metrics)"
            " where study_id = %s and state = 'complete' group by key",
            (study_id,),
        ).fetchall()
    )


def _definition(study_id: int, of: Sequence[Column]) -> sql.Composed:
    shown = [sql.SQL(expression) + sql.SQL(" as ") + sql.Identifier(name) for name, (expression, _) in _FIXED.items()]
    for column in of:
        value = sql.SQL("trial.{} -> {}").format(sql.Identifier(column.of), sql.Literal(column.key))
        shown.append(sql.SQL(_VALUES[column.type] + " as {name}").format(value, name=sql.Identifier(column.name)))
    return sql.SQL("select {} from ledger.trial where trial.study_id = {}").format(
        sql.SQL(", ").join(shown), sql.Literal(study_id)
    )


def _comments(study: str, view: sql.Identifier, of: Sequence[Column]) -> Iterator[sql.Composed]:
    about = (
        f"The trials of study {study}, a column a parameter and a metric; `ledger study view {study}` makes it anew."
    )
    yield sql.SQL("comment on view {} is {}").format(view, sql.Literal(about))
    for name, comment in [
        *((name, comment) for name, (_, comment) in _FIXED.items()),
        *((c.name, c.comment) for c in of),
    ]:
        column = sql.SQL("{}.{}").format(view, sql.Identifier(name))
        yield sql.SQL("comment on column {} is {}").format(column, sql.Literal(comment))


def _free(kind: str, name: str, taken: set[str]) -> str:
    """Take a name for a column that no other has."""
    numbered = (f"{kind}_{name}~{number}" for number in count(2))
    for candidate in chain((name, f"{kind}_{name}"), numbered):
        fitting = _fit(candidate)
        if fitting and fitting not in taken:
            taken.add(fitting)
            return fitting
    raise AssertionError("numbers do not end")


def _fit(name: str) -> str:
    """Cut a name, between characters, to what PostgreSQL can have."""
    data = name.encode()
    if len(data) <= LONGEST_NAME:
        return name
    end = "~" + hashlib.md5(data, usedforsecurity=False).hexdigest()[:8]
    return data[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def _type(dimension: Mapping[str, Any]) -> str:
    if dimension["type"] != "categorical":
        return {"real": "double precision", "integer": "bigint"}[dimension["type"]]
    kinds = {type(choice) for choice in dimension["choices"]}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "bigint"
    return "double precision" if kinds <= {int, float} else "text"


def _described(dimension: Mapping[str, Any]) -> str:
    if dimension["type"] == "categorical":
        choices = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in dimension["choices"][:20])
        more = ", …" if len(dimension["choices"]) > 20 else ""
        return f"The parameter {dimension['name']}, one of {choices}{more}."
    bounds = f"{dimension['low']} to {dimension['high']}, {dimension['prior']}"
    return f"The parameter {dimension['name']}, {dimension['type']} from {bounds}."
