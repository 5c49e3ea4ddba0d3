"""Typed selection from the ledger's views, and the longer queries of sql/reads."""

from functools import cache
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Executable, Select, TableClause, TextClause, select, text

from ledger.database import tables
from ledger.database.rows import AttemptRow, IterationRow, ProgressRow, StudyRow, TrialRow, WorkerRow, columns
from ledger.resources import folder

R = TypeVar("R")

_VIEWS: dict[type, TableClause] = {
    StudyRow: tables.studies,
    IterationRow: tables.iterations,
    TrialRow: tables.trials,
    AttemptRow: tables.attempts,
    WorkerRow: tables.workers,
    ProgressRow: tables.progress,
}


def rows_of(row: type[R]) -> Select[Any]:
    """Return the statement that selects the columns of `row` from its view."""
    view = _VIEWS[row]
    return select(*(view.c[name] for name in columns(row)))


def fetch(connection: Connection, row: type[R], statement: Select[Any] | CompoundSelect[Any]) -> list[R]:
    """Return the rows of a statement that `rows_of` made, within the transaction of the connection."""
    return [row(*each) for each in connection.execute(statement)]


def fetch_one(connection: Connection, row: type[R], statement: Select[Any]) -> R | None:
    """Return the only row of a statement that `rows_of` made, or None."""
    each = connection.execute(statement).one_or_none()
    return None if each is None else row(*each)


@cache
def query(name: str) -> TextClause:
    """Return the query `name` of sql/reads, whose parameters are written ``:parameter``."""
    return text((folder("sql") / "reads" / f"{name}.sql").read_text())


def answer(connection: Connection, statement: Executable, **parameters: object) -> Any:
    """Return the one value that a statement answers, in a transaction of its own."""
    with connection.begin():
        return connection.scalar(statement, parameters)
