"""The flattened view of one study, with a row for each trial and a typed column for each parameter and metric.

The view of the study NAME has the name ``ledger."study:NAME"``. A column has the name of its parameter or metric. If
the name of a parameter or metric is empty or already used in the view, the column is named ``param_NAME`` or
``metric_NAME``. If ``param_NAME`` is also already used, the column is named ``param_NAME~N``. If ``metric_NAME`` is
also already used, the column is named ``metric_NAME~N``. N is the smallest integer greater than 1 that makes the name
unique. PostgreSQL limits a name to 63 bytes. The module shortens a name of more than 63 bytes to its first 54 bytes.
Then the module appends ``~`` and the first 8 hexadecimal digits of the full name's MD5 hash. The module first names the
columns of the parameters, in the order of the search space. Then the module names the columns of the metrics, in
alphabetical order.
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
# PostgreSQL limits a name to `LONGEST_NAME` bytes, and a view to `MOST_COLUMNS` columns.
LONGEST_NAME, MOST_COLUMNS = 63, 1600

_Cursor = psycopg.Cursor[Any]

# The columns at the beginning of every flattened view. Each key of _FIXED is the name of a column. Each value of _FIXED
# contains the column's SQL expression and comment.
_FIXED = {
    "trial": ("trial.number", "Number of the trial within the study, from 0."),
    "iteration": ("trial.iteration", "Number of the trial's iteration, from 0."),
    "state": ("trial.state", "State of the trial (pending, running, paused, complete, pruned, failed or cancelled)."),
    "value": (
        "ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric)",
        "Value that the objective returned; null unless the trial is complete.",
    ),
    "loss": ("trial.loss", "Finite loss, which the optimizer minimises; null unless the trial is complete."),
    "seconds": (
        "(select max(attempt.seconds) from ledger.attempt where attempt.study_id = trial.study_id"
        " and attempt.trial = trial.number and attempt.outcome = 'complete')",
        "Training time of the attempt that completed the trial, in seconds; null unless the trial is complete.",
    ),
}
# Each key of _VALUES is the type of a column. Each value is an SQL expression that converts a JSON value to the type.
# If a JSON value does not fit the type of the column, the SQL expression returns null. Therefore a value with a wrong
# type never makes a query of the view fail.
_VALUES = {
    "double precision": "ledger.number({})",
    "bigint": "case when abs(ledger.number({0})) < 9.2e18 then ({0})::bigint end",
    "boolean": "case jsonb_typeof({0}) when 'boolean' then ({0})::boolean end",
    "text": "({}) #>> '{{}}'",
    "jsonb": "{}",
}
# _METRICS maps the JSON type of a metric's values to the PostgreSQL type of the metric's column.
_METRICS = {"number": "double precision", "boolean": "boolean", "string": "text"}


@dataclass(frozen=True)
class ViewColumn:
    """A column of a `FlattenedView`. The column contains the values of one parameter or one metric.

    Attributes
    ----------
    name : str
        Name of the column.
    source : str
        Name of a column in the table `ledger.trial`: "params" for a parameter, "metrics" for a metric.
    key : str
        Name of the parameter or metric.
    type : str
        PostgreSQL type of the column.
    comment : str
        The comment that the database stores for the column.
    """

    name: str
    source: str
    key: str
    type: str
    comment: str


@dataclass(frozen=True)
class FlattenedView:
    """A database view of one study's trials, with a column for each parameter and each metric.

    The function `create` creates the view, and returns a `FlattenedView`.

    Attributes
    ----------
    name : str
        Name of the view, without the name of the schema.
    columns : sequence of ViewColumn
        Columns of the parameters and metrics.
    omitted : sequence of str
        Names of the metrics that get no column, because the view already has the maximum number of columns.
    """

    name: str
    columns: Sequence[ViewColumn]
    omitted: Sequence[str]


def view_name(study: str) -> str:
    """Return the name of the study's view, without the name of the schema."""
    return _fit(PREFIX + study)


def columns(space: Sequence[Mapping[str, Any]], metrics: Mapping[str, Collection[str]]) -> list[ViewColumn]:
    """Return one column for each parameter and metric of a study.

    The columns of the parameters come first, in the order of the space. The columns of the metrics come last, in
    alphabetical order.

    Parameters
    ----------
    space : sequence of mapping
        The dimensions of the search space, in the format of the study's spec.
    metrics : mapping of str to collection of str
        The key is the name of a metric. The value contains the JSON types of the metric's values.

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
        result.append(ViewColumn(name, "params", dimension["name"], _type(dimension), _described(dimension)))
    for key in sorted(metrics):
        kinds = set(metrics[key]) - {"null"}
        type_ = _METRICS.get(kinds.pop(), "jsonb") if len(kinds) == 1 else "jsonb"
        name = _free("metric", key, taken)
        result.append(
            ViewColumn(name, "metrics", key, type_, f"The metric {key}; null if the trial does not have this metric.")
        )
    return result


def create(cursor: _Cursor, study_id: int, study: str, space: Sequence[Mapping[str, Any]]) -> FlattenedView:
    """Create or replace the study's flattened view, and grant the ledger's roles access to the view.

    Only the owner of the schema can create the view.

    Raises
    ------
    LedgerError
        The study has too many parameters for a view. The function also raises a LedgerError if another database object
        depends on a column that the function must change.
    """
    if len(_FIXED) + len(space) > MOST_COLUMNS:
        raise LedgerError(
            f"study {study} has {len(space)} parameters, but a view has at most {MOST_COLUMNS - len(_FIXED)}"
            " parameters: use the view ledger.parameters, which has a row for each parameter of each trial"
        )
    # The transaction switches to the role of the schema's owner. Therefore the owner of the schema also owns the view,
    # even if a superuser creates the view.
    cursor.execute(
        "select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = %s", (SCHEMA,)
    )
    wanted = columns(space, _metrics(cursor, study_id))
    room = MOST_COLUMNS - len(_FIXED)
    flattened = FlattenedView(view_name(study), wanted[:room], [column.key for column in wanted[room:]])
    view = sql.Identifier(SCHEMA, flattened.name)
    definition = _definition(study_id, flattened.columns)
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL("create or replace view {} as {}").format(view, definition))
    except errors.InvalidTableDefinition:
        # PostgreSQL cannot replace a view if the name, the type or the place of an existing column would change.
        drop(cursor, study)
        cursor.execute(sql.SQL("create view {} as {}").format(view, definition))
    for statement in _comments(study, view, flattened.columns):
        cursor.execute(statement)
    cursor.execute((folder("sql") / "privileges.sql").read_text())
    return flattened


def drop(cursor: _Cursor, study: str) -> None:
    """If the study's view exists, drop the view.

    Raises
    ------
    LedgerError
        Another database object depends on the view.
    """
    view = sql.Identifier(SCHEMA, view_name(study))
    try:
        cursor.execute(sql.SQL("drop view if exists {}").format(view))
    except errors.DependentObjectsStillExist as error:
        raise LedgerError(
            f"the view {view.as_string()} cannot be dropped ({error.diag.message_detail}): first drop the objects that"
            " depend on the view"
        ) from None


def rename(cursor: _Cursor, study: str, name: str) -> None:
    """If the study's view exists, rename the view and change the comment on the view."""
    old, new = sql.Identifier(SCHEMA, view_name(study)), sql.Identifier(SCHEMA, view_name(name))
    if cursor.execute("select to_regclass(%s)", (old.as_string(),)).fetchone() == (None,):
        return
    cursor.execute(sql.SQL("alter view {} rename to {}").format(old, sql.Identifier(view_name(name))))
    cursor.execute(sql.SQL("comment on view {} is {}").format(new, sql.Literal(_about(name))))


def _metrics(cursor: _Cursor, study_id: int) -> dict[str, list[str]]:
    return dict(
        cursor.execute(
            "select key, array_agg(distinct jsonb_typeof(value)) from ledger.trial, jsonb_each(metrics)"
            " where study_id = %s and state = 'complete' group by key",
            (study_id,),
        ).fetchall()
    )


def _definition(study_id: int, of: Sequence[ViewColumn]) -> sql.Composed:
    shown = [sql.SQL(expression) + sql.SQL(" as ") + sql.Identifier(name) for name, (expression, _) in _FIXED.items()]
    for column in of:
        value = sql.SQL("trial.{} -> {}").format(sql.Identifier(column.source), sql.Literal(column.key))
        shown.append(sql.SQL(_VALUES[column.type] + " as {name}").format(value, name=sql.Identifier(column.name)))
    return sql.SQL(
        "select {} from ledger.trial join ledger.study on study.id = trial.study_id where trial.study_id = {}"
    ).format(sql.SQL(", ").join(shown), sql.Literal(study_id))


def _comments(study: str, view: sql.Identifier, of: Sequence[ViewColumn]) -> Iterator[sql.Composed]:
    yield sql.SQL("comment on view {} is {}").format(view, sql.Literal(_about(study)))
    for name, comment in [
        *((name, comment) for name, (_, comment) in _FIXED.items()),
        *((c.name, c.comment) for c in of),
    ]:
        column = sql.SQL("{}.{}").format(view, sql.Identifier(name))
        yield sql.SQL("comment on column {} is {}").format(column, sql.Literal(comment))


def _about(study: str) -> str:
    return (
        f"The trials of study {study}. The view has one column for each parameter and one column for each metric."
        f" The command `ledger study view {study}` created this view."
    )


def _free(kind: str, name: str, taken: set[str]) -> str:
    """Choose an unused name for a column, and add the name to `taken`."""
    numbered = (f"{kind}_{name}~{number}" for number in count(2))
    for candidate in chain((name, f"{kind}_{name}"), numbered):
        fitting = _fit(candidate)
        if fitting and fitting not in taken:
            taken.add(fitting)
            return fitting
    raise AssertionError("count() does not end")


def _fit(name: str) -> str:
    """Shorten a name to at most 63 bytes, which is PostgreSQL's limit. Do not split a character."""
    data = name.encode()
    if len(data) <= LONGEST_NAME:
        return name
    end = "~" + hashlib.md5(data, usedforsecurity=False).hexdigest()[:8]
    return data[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def _type(dimension: Mapping[str, Any]) -> str:
    if dimension["type"] != "categorical":
        return {"real": "double precision", "integer": "bigint"}[dimension["type"]]
    kinds = {type(choice) for choice in dimension["choices"]} - {type(None)}
    if kinds and kinds <= {list, dict}:
        return "jsonb"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "bigint"
    return "double precision" if kinds and kinds <= {int, float} else "text"


def _described(dimension: Mapping[str, Any]) -> str:
    if dimension["type"] == "categorical":
        choices = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in dimension["choices"][:20])
        more = ", …" if len(dimension["choices"]) > 20 else ""
        return f"The value of the parameter {dimension['name']}, which is one of {choices}{more}."
    # If an earlier version of the program stored the study, a dimension may have no prior.
    bounds = f"{dimension['low']} to {dimension['high']}, {dimension.get('prior', 'uniform')}"
    if "step" in dimension:
        bounds += f", step {dimension['step']}"
    if "powers_of" in dimension:
        bounds += f", powers of {dimension['powers_of']}"
    return f"The parameter {dimension['name']}, with type {dimension['type']} and values from {bounds}."
