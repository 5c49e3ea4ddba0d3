"""Functions that read the trials and the iterations of a study as columns of numbers.

A manager of a million trials reads the columns in a few seconds. The rows themselves would need several gigabytes. The
database packs each column into the binary format of an array, and the constants `HEADER` and `LENGTH` describe this
format. All columns contain doubles, without nulls.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.errors import NumericValueOutOfRange
from sqlalchemy import Connection

from ledger.database import views
from ledger.database.connection import cursor
from ledger.database.rows import SOURCES, TRIAL_STATES
from ledger.database.selecting import last_number

# A page has the columns of at most `PAGE` trials or iterations.
PAGE = 50_000
# In the binary format of an array without nulls, the elements follow a header of `HEADER` bytes. Each double is
# preceded by its length, a number of `LENGTH` bytes. All numbers are big-endian.
HEADER, LENGTH = 20, 4

_PAGE = sql.SQL(
    "select count(*), {packed} from (select {columns} from {view} where study_id = {study} and {key} > {after}"
    " order by {key} limit {limit}) as page"
)
_SEEN = sql.SQL(
    "select count(*), {packed} from (select place.trial::float8 as trial, coalesce(place.rung, -1)::float8 as rung"
    " from (select iteration, seen, seen_rungs from ledger.iterations where study_id = {study} and iteration > {after}"
    " order by iteration limit {limit}) as iteration"
    " cross join lateral unnest(iteration.seen, iteration.seen_rungs) with ordinality as place (trial, rung, number)"
    " order by iteration.iteration, place.number) as page"
)
_SURROGATES = (
    "select iteration, surrogate from ledger.iterations where study_id = %s and surrogate is not null"
    " order by iteration desc limit %s"
)
# The conversion of a parameter to a double. The first form is almost twice as fast, but fails for a number that is too
# small for a double.
_FAST_NUMBER = sql.SQL("case when jsonb_typeof({value}) = 'number' then ({value})::float8 else 'NaN' end")
_NUMBER = sql.SQL("coalesce(ledger.number({value}), 'NaN')")
_IN_ORDER = "select trial from ledger.trials where study_id = %s and trial = any (%s) order by finished_at, trial"


@dataclass(frozen=True)
class NumberedDimension:
    """A dimension of the search space. The column of the dimension contains the parameter's numbers. If `choices` is
    not None, the column contains the indices of the choices. A value that is neither a number nor a choice is NaN.
    """

    name: str
    choices: Sequence[Any] | None = None


def trial_columns(
    connection: Connection, study_id: int, dimensions: Sequence[NumberedDimension], *, timed: bool
) -> Iterator[Mapping[str, bytes]]:
    """Yield the columns of all trials of a study in pages, ordered by number.

    The columns are `iteration`, `round`, `retry_of` (-1 for None), `state` (an index of `TRIAL_STATES`), `source` (an
    index of `SOURCES`), `loss` (of a pruned trial, the last loss; NaN for None), one column for each dimension with the
    position of the dimension as its key, and `seconds` if `timed` is true. The function reads each page in a separate
    transaction.
    """
    columns: dict[str, sql.Composable] = {
        "iteration": sql.SQL("iteration"),
        "round": sql.SQL("round"),
        "retry_of": sql.SQL("coalesce(retry_of, -1)"),
        "state": _place(TRIAL_STATES, "state"),
        "source": _place(SOURCES, "source"),
        "loss": sql.SQL("coalesce(loss, pruned_loss, 'NaN')"),
    }
    if timed:
        columns["seconds"] = sql.SQL("coalesce(seconds, 'NaN')")
    of_dimensions = [
        {str(place): _dimension(dimension, number) for place, dimension in enumerate(dimensions)}
        for number in (_FAST_NUMBER, _NUMBER)
    ]
    yield from _pages(connection, study_id, "trials", "trial", [columns | each for each in of_dimensions])


def trial_count(connection: Connection, study_id: int) -> int:
    """Return the number of all trials of a study."""
    with connection.begin():
        last = last_number(connection, views.trials, study_id)
    return 0 if last is None else last + 1


def iteration_columns(connection: Connection, study_id: int) -> Iterator[Mapping[str, bytes]]:
    """Yield the columns `round` and `told` (1 or 0) of all iterations in pages, ordered by number."""
    columns = {"round": sql.SQL("round"), "told": sql.SQL("(told_at is not null)::int")}
    yield from _pages(connection, study_id, "iterations", "iteration", [columns])


def seen_columns(connection: Connection, study_id: int, iterations: int) -> Iterator[Mapping[str, bytes]]:
    """Yield the trials that the first `iterations` iterations of a study in steady mode record as seen. The columns are
    `trial` and `rung`. A rung is -1 if the trial had ended.
    """
    for first in range(0, iterations, PAGE):
        limit = min(PAGE, iterations - first)
        names = ["trial", "rung"]
        statement = _SEEN.format(packed=_packed(names), study=study_id, after=first - 1, limit=limit)
        size, page = _fetch(connection, statement, names)
        if size:
            yield page


def latest_surrogates(connection: Connection, study_id: int, count: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the last `count` surrogates and the numbers of their iterations, from the latest to the earliest."""
    with connection.begin():
        return list(cursor(connection).execute(_SURROGATES, (study_id, count)))


def in_order_of_end(connection: Connection, study_id: int, numbers: Sequence[int]) -> list[int]:
    """Return the numbers of ended trials in the order in which the trials ended."""
    with connection.begin():
        return [number for (number,) in cursor(connection).execute(_IN_ORDER, (study_id, list(numbers)))]


def _pages(
    connection: Connection, study_id: int, view: str, key: str, forms: Sequence[Mapping[str, sql.Composable]]
) -> Iterator[Mapping[str, bytes]]:
    """Yield pages of a view. If a number of the first form of the columns is out of range, use the second form."""
    after, size = -1, PAGE
    while size == PAGE:
        for columns in forms:
            statement = _PAGE.format(
                packed=_packed(list(columns)),
                columns=sql.SQL(", ").join(
                    sql.SQL("({})::float8 as {}").format(column, sql.Identifier(name))
                    for name, column in columns.items()
                ),
                view=sql.Identifier("ledger", view),
                key=sql.Identifier(key),
                study=study_id,
                after=after,
                limit=PAGE,
            )
            try:
                size, page = _fetch(connection, statement, list(columns))
                break
            except NumericValueOutOfRange:
                if columns is forms[-1]:
                    raise
        if size:
            yield page
        # The numbers of the trials and of the iterations have no gaps.
        after += size


def _packed(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("array_send(array_agg({}))").format(sql.Identifier(name)) for name in names)


def _fetch(connection: Connection, statement: sql.Composed, names: Sequence[str]) -> tuple[int, Mapping[str, bytes]]:
    with connection.begin():
        size, *packed = cursor(connection).execute(statement, binary=True).fetchone() or (0,)
    return size, dict(zip(names, packed, strict=False))


def _place(values: Sequence[str], column: str) -> sql.Composable:
    return sql.SQL("array_position({}::text[], {}) - 1").format(list(values), sql.Identifier(column))


def _dimension(dimension: NumberedDimension, number: sql.SQL) -> sql.Composable:
    value = sql.SQL("params->{}::text").format(dimension.name)
    if dimension.choices is None:
        return number.format(value=value)
    choices = [json.dumps(choice, ensure_ascii=False) for choice in dimension.choices]
    return sql.SQL("coalesce((array_position({}::text[]::jsonb[], {}) - 1)::float8, 'NaN')").format(choices, value)
