"""Functions that read the rows of the workers, the rows of the workers' refusals, and the progress of the studies."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from ledger.database import views
from ledger.database.connection import cursor
from ledger.database.rows import ProgressRow, RefusalRow, WorkerRow
from ledger.database.selecting import fetch, rows_of


def progress(connection: Connection, study: str | None = None) -> list[ProgressRow]:
    """Return the progress of one study or of all studies. The studies are in the order of their creation."""
    chosen = rows_of(ProgressRow)
    if study is not None:
        chosen = chosen.where(views.progress.c.study == study)
    with connection.begin():
        return fetch(connection, ProgressRow, chosen)


def workers(connection: Connection) -> list[tuple[WorkerRow, float]]:
    """Return each worker and the number of seconds since the worker's last announcement.

    The worker with the latest announcement comes first.
    """
    seen = views.workers.c.last_seen_at
    age = text("greatest(extract(epoch from ledger.clock() - last_seen_at), 0)::float8")
    statement = rows_of(WorkerRow).add_columns(age).order_by(seen.desc(), views.workers.c.name)
    with connection.begin():
        return [(WorkerRow(*row[:-1]), row[-1]) for row in connection.execute(statement)]


def refusals(connection: Connection, study: str | None = None) -> list[RefusalRow]:
    """For one study or for all studies, return the workers' refusals. The list contains only refusals by live
    workers."""
    chosen = rows_of(RefusalRow).order_by(views.refusals.c.worker, views.refusals.c.study)
    if study is not None:
        chosen = chosen.where(views.refusals.c.study == study)
    with connection.begin():
        return fetch(connection, RefusalRow, chosen)


def ask(connection: Connection, statement: sql.Composed) -> tuple[list[str], Sequence[tuple[Any, ...]]]:
    """Run a statement in a read-only transaction, and return the column names and the rows of the result."""
    with connection.begin():
        answers = cursor(connection)
        answers.execute("set transaction read only")
        answers.execute(statement)
        return [column.name for column in answers.description or ()], answers.fetchall()
