"""Functions that read typed rows from the ledger's views, and that load the queries of sql/reads."""

from functools import cache
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Executable, Select, TableClause, TextClause, select, text

from ledger.database import views
from ledger.database.rows import (
    AnnotationRow,
    ArtifactRow,
    AttemptRow,
    CodeVersionRow,
    IterationRow,
    ProgressRow,
    RefusalRow,
    ReportRow,
    StudyRow,
    TrialRow,
    WorkerRow,
    columns,
)
from ledger.resources import folder

R = TypeVar("R")

_VIEWS: dict[type, TableClause] = {
    StudyRow: views.studies,
    AnnotationRow: views.annotations,
    ArtifactRow: views.artifacts,
    IterationRow: views.iterations,
    TrialRow: views.trials,
    AttemptRow: views.attempts,
    CodeVersionRow: views.code_versions,
    WorkerRow: views.workers,
    RefusalRow: views.refusals,
    ProgressRow: views.progress,
    ReportRow: views.reports,
}


def rows_of(row: type[R]) -> Select[Any]:
    """Return a SELECT statement that reads the fields of the row class `row` from the view of this class."""
    view = _VIEWS[row]
    return select(*(view.c[name] for name in columns(row)))


def fetch(connection: Connection, row: type[R], statement: Select[Any] | CompoundSelect[Any]) -> list[R]:
    """In the connection's current transaction, run a statement that `rows_of` made, and return the resulting rows."""
    return [row(*each) for each in connection.execute(statement)]


def fetch_one(connection: Connection, row: type[R], statement: Select[Any]) -> R | None:
    """Run a statement that `rows_of` made. Return the only row of the result, or None if the result is empty."""
    each = connection.execute(statement).one_or_none()
    return None if each is None else row(*each)


@cache
def query(name: str) -> TextClause:
    """Return the query `name` of sql/reads, in which ``:parameter`` stands for the value of a parameter."""
    return text((folder("sql") / "reads" / f"{name}.sql").read_text())


def answer(connection: Connection, statement: Executable, **parameters: object) -> Any:
    """Run a statement in a new transaction, and return the single value of the result."""
    with connection.begin():
        return connection.scalar(statement, parameters)
