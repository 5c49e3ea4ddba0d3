"""The flattened view of one study: a row for each trial, a typed column for each parameter and metric.

The view of study NAME is ``ledger."study:NAME"``. A column has the name of its parameter or metric. Where that name is
empty, or already used in the view, the column is ``param_NAME`` or ``metric_NAME``; if that is used too,
``param_NAME~2`` and so on. A name of more than PostgreSQL's 63 bytes is cut to 54 and ends in ``~`` and 8 hexadecimal
digits of its MD5. Names are chosen for the parameters in the order of the space, then for the metrics by name.
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
# PostgreSQL's limits: bytes of a name, and columns of a view
LONGEST_NAME, MOST_COLUMNS = 63, 1600

_Cursor = psycopg.Cursor[Any]

# The first columns of every view: name -> expression, comment.
_FIXED = {
    "trial": ("trial.number", "Number of the trial within the study, from 0."),
    "iteration": ("trial.iteration", "Iteration of the trial, from 0."),
    "state": ("trial.state", "pending, running, complete, failed or cancelled."),
    "loss": ("trial.loss", "Loss, which is minimised; finite; null unless complete."),
    "seconds": (
        "(select max(attempt.seconds) from ledger.attempt where attempt.study_id = trial.study_id"
        " and attempt.trial = trial.number and attempt.outcome = 'complete')",
        "Seconds of training of the complete attempt; null unless complete.",
    ),
}
# Type of a column -> expression of its value in JSON. A value of another type becomes null, so no row breaks the view.
_VALUES = {
    "double precision": "ledger.number({})",
    "bigint": "case jsonb_typeof({0}) when 'number' then ({0})::bigint end",
    "boolean": "case jsonb_typeof({0}) when 'boolean' then ({0})::boolean end",
    "text": "({}) #>> '{{}}'",
    "jsonb": "{}",
}
# JSON type of all values of a metric -> type of the column.
_METRICS = {"number": "double precision", "boolean": "boolean", "string": "text"}


@dataclass(frozen=True)
class Column:
    """A column of a parameter or metric.

    Attributes
    ----------
    name : str
        Of the column.
    source : str
        "params" or "metrics".
    key : str
        Name of the parameter or metric.
    type : str
        PostgreSQL's.
    comment : str
    """

    name: str
    source: str
    key: str
    type: str
    comment: str


@dataclass(frozen=True)
class Flattened:
    """A view that was created.

    Attributes
    ----------
    name : str
        Within schema ledger.
    columns : sequence of Column
    omitted : sequence of str
        Metrics beyond the limit of columns.
    """

    name: str
    columns: Sequence[Column]
    omitted: Sequence[str]


def view_name(study: str) -> str:
    """Return the name of the study's view within schema ledger."""
    return _fit(PREFIX + study)


def columns(space: Sequence[Mapping[str, Any]], metrics: Mapping[str, Collection[str]]) -> list[Column]:
    """Return the columns of a study's parameters, in the order of its space, and of its metrics, by name.

    Parameters
    ----------
    space : sequence of mapping
        As in the study's spec.
    metrics : mapping of str to collection of str
        Names of the metrics, and the JSON types of the values of each.

    Examples
    --------
    >>> space = [{"name": "C", "type": "real", "low": 0.1, "high": 10.0, "prior": "uniform"}]
    >>> [(column.name, column.type) for column in columns(space, {"accuracy": ["number"]})]
    [('C', 'double precision'), ('accuracy', 'double precision')]
    """
    taken = set(_FIXED)
    result = []
    for dimension in space:
        name = _free("param", dimension["name"], taken)
        result.append(Column(name, "params", dimension["name"], _type(dimension), _described(dimension)))
    for key in sorted(metrics):
        kinds = set(metrics[key]) - {"null"}
        type_ = _METRICS.get(kinds.pop(), "jsonb") if len(kinds) == 1 else "jsonb"
        name = _free("metric", key, taken)
        result.append(Column(name, "metrics", key, type_, f"The metric {key}; null if the trial has none."))
    return result


def create(cursor: _Cursor, study_id: int, study: str, space: Sequence[Mapping[str, Any]]) -> Flattened:
    """Create or replace the study's view, and grant readers access. Only the owner of the schema can do it.

    Raises
    ------
    LedgerError
        The study has more parameters than a view can have columns; or another object depends on the view, whose
        columns change.
    """
    if len(_FIXED) + len(space) > MOST_COLUMNS:
        raise LedgerError(
            f"study {study} has {len(space)} parameters, but a view has at most {MOST_COLUMNS - len(_FIXED)}:"
            " use ledger.parameters, which has a row for each parameter"
        )
    # a view that a superuser makes belongs to the ledger's owner too
    cursor.execute(
        "select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = %s", (SCHEMA,)
    )
    wanted = columns(space, _metrics(cursor, study_id))
    room = MOST_COLUMNS - len(_FIXED)
    flattened = Flattened(view_name(study), wanted[:room], [column.key for column in wanted[room:]])
    view = sql.Identifier(SCHEMA, flattened.name)
    definition = _definition(study_id, flattened.columns)
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL("create or replace view {} as {}").format(view, definition))
    except errors.InvalidTableDefinition:
        # the columns have changed
        drop(cursor, study)
        cursor.execute(sql.SQL("create view {} as {}").format(view, definition))
    for statement in _comments(study, view, flattened.columns):
        cursor.execute(statement)
    cursor.execute((folder("sql") / "privileges.sql").read_text())
    return flattened


def drop(cursor: _Cursor, study: str) -> None:
    """Drop the study's view, if it exists.

    Raises
    ------
    LedgerError
        Another object depends on it.
    """
    view = sql.Identifier(SCHEMA, view_name(study))
    try:
        cursor.execute(sql.SQL("drop view if exists {}").format(view))
    except errors.DependentObjectsStillExist as error:
        raise LedgerError(
            f"{view.as_string()} cannot be dropped ({error.diag.message_detail}): drop the dependent objects first"
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
        value = sql.SQL("trial.{} -> {}").format(sql.Identifier(column.source), sql.Literal(column.key))
        shown.append(sql.SQL(_VALUES[column.type] + " as {name}").format(value, name=sql.Identifier(column.name)))
    return sql.SQL("select {} from ledger.trial where trial.study_id = {}").format(
        sql.SQL(", ").join(shown), sql.Literal(study_id)
    )


def _comments(study: str, view: sql.Identifier, of: Sequence[Column]) -> Iterator[sql.Composed]:
    about = (
        f"The trials of study {study} with a column for each parameter and metric, made by `ledger study view {study}`."
    )
    yield sql.SQL("comment on view {} is {}").format(view, sql.Literal(about))
    for name, comment in [
        *((name, comment) for name, (_, comment) in _FIXED.items()),
        *((c.name, c.comment) for c in of),
    ]:
        column = sql.SQL("{}.{}").format(view, sql.Identifier(name))
        yield sql.SQL("comment on column {} is {}").format(column, sql.Literal(comment))


def _free(kind: str, name: str, taken: set[str]) -> str:
    """Choose an unused name for a column, and add it to `taken`."""
    numbered = (f"{kind}_{name}~{number}" for number in count(2))
    for candidate in chain((name, f"{kind}_{name}"), numbered):
        fitting = _fit(candidate)
        if fitting and fitting not in taken:
            taken.add(fitting)
            return fitting
    raise AssertionError("count() does not end")


def _fit(name: str) -> str:
    """Cut a name, between two characters, to PostgreSQL's limit."""
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
