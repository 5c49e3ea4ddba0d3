"""Functions that read typed rows from the ledger's views, and a function that loads the queries of sql/reads."""

from functools import cache
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Executable, Select, TableClause, TextClause, select, text

from ledger.database import views
from ledger.database.rows import (
    AnnotationRow,
    ArtifactRow,
    AttemptRow,
    CodeVersionRow,
    CutoffRow,
    IterationRow,
    ProgressRow,
    PromotionRow,
    RefusalRow,
    ReportRow,
    StudyRow,
    TrialRow,
    VerdictRow,
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
    CutoffRow: views.cutoffs,
    VerdictRow: views.verdicts,
    PromotionRow: views.promotions,
}


def rows_of(row: type[R]) -> Select[Any]:
    """Return a SELECT statement for the row class `row`. Each row class belongs to a view. The statement reads the
    fields of the class from the view.
    """
    view = _VIEWS[row]
    return select(*(view.c[name] for name in columns(row)))


def fetch(connection: Connection, row: type[R], statement: Select[Any] | CompoundSelect[Any]) -> list[R]:
    """In the connection's current transaction, run a statement that `rows_of` has returned. Return the rows."""
    return [row(*each) for each in connection.execute(statement)]


def fetch_one(connection: Connection, row: type[R], statement: Select[Any]) -> R | None:
    """Run a statement that `rows_of` has returned.

    Return the only row of the result, or None if the result is empty.
    """
    each = connection.execute(statement).one_or_none()
    return None if each is None else row(*each)


def begin_snapshot(connection: Connection) -> None:
    """Use one snapshot of the database for all later statements of the current transaction."""
    connection.execute(text("set transaction isolation level repeatable read, read only"))


def last_number(connection: Connection, view: TableClause, study_id: int) -> int | None:
    """Return the highest trial number or the highest iteration number of a study.

    Return None if the study has no rows in the view. The query does not use the aggregate function `max`. The view
    contains a join, so `max` would read the numbers of all rows.
    """
    numbers = select(view.c.number).where(view.c.study_id == study_id).order_by(view.c.number.desc())
    found: int | None = connection.scalar(numbers.limit(1))
    return found


@cache
def query(name: str) -> TextClause:
    """Return the query in the file `name`.sql of the folder sql/reads. In a query, ``:parameter`` is the placeholder of
    a parameter.
    """
    return text((folder("sql") / "reads" / f"{name}.sql").read_text())


def answer(connection: Connection, statement: Executable, **parameters: object) -> Any:
    """Run a statement in a new transaction, and return the single value of the result."""
    with connection.begin():
        return connection.scalar(statement, parameters)
