"""Studies in the ledger: create, find, extend, pause, resume, cancel and delete them.

Each function is one transaction on the connection given.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, text

from ledger.database import datasets, flattened, tables
from ledger.database.connection import cursor, to_json
from ledger.database.datasets import Dataset
from ledger.database.rows import IterationRow, StudyRow
from ledger.database.selecting import answer, fetch, fetch_one, rows_of
from ledger.errors import LedgerError

_studies, _iterations = tables.studies, tables.iterations

_CREATE = text("select ledger.create_study(:name, cast(:spec as jsonb), :spec_hash, :budget, cast(:versions as jsonb))")


def create(
    connection: Connection,
    name: str,
    spec: Mapping[str, Any],
    spec_hash: str,
    budget: int,
    versions: Mapping[str, Any],
    dataset: Dataset | None = None,
) -> StudyRow | None:
    """Record a study, with the file that it trains on. Returns None where the name is taken."""
    with connection.begin():
        study_id = connection.scalar(
            _CREATE,
            {
                "name": name,
                "spec": to_json(spec),
                "spec_hash": spec_hash,
                "budget": budget,
                "versions": to_json(versions),
            },
        )
        if study_id is None:
            return None
        if dataset is not None:
            datasets.keep(connection, dataset)
        return fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study_id))


def get(connection: Connection, name: str) -> StudyRow:
    """Return the study `name`.

    Raises
    ------
    LedgerError
        No such study exists; the message has the nearest names.
    """
    row = find(connection, name)
    if row is None:
        with connection.begin():
            names = connection.scalars(select(_studies.c.name)).all()
        near = difflib.get_close_matches(name, names, n=3)
        way_out = f"did you mean {' or '.join(near)}?" if near else "`ledger study list` shows the studies"
        raise LedgerError(f"there is no study {name!r}: {way_out}")
    return row


def find(connection: Connection, name: str) -> StudyRow | None:
    """Return the study `name`, or None."""
    with connection.begin():
        return fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.name == name))


def iterations(connection: Connection, study_id: int, *, first: int = 0) -> list[IterationRow]:
    """Return the iterations of the study from the number `first` on, in order."""
    with connection.begin():
        return fetch(
            connection,
            IterationRow,
            rows_of(IterationRow)
            .where(_iterations.c.study_id == study_id, _iterations.c.number >= first)
            .order_by(_iterations.c.number),
        )


def extend(connection: Connection, study_id: int, budget: int) -> str:
    """Raise the budget: "extended", "unchanged", "cancelled" or "unknown"."""
    return str(answer(connection, text("select ledger.extend(:study, :budget)"), study=study_id, budget=budget))


def pause(connection: Connection, study_id: int) -> str:
    """Hand out no more trials of a running study. Returns the state that it has then."""
    return str(answer(connection, text("select ledger.pause(:study)"), study=study_id))


def resume(connection: Connection, study_id: int) -> str:
    """Let a paused or failed study go on. Returns the state that it has then."""
    return str(answer(connection, text("select ledger.resume(:study)"), study=study_id))


def cancel(connection: Connection, study_id: int, reason: str) -> None:
    """End a running or paused study, with its trials that have not ended. It cannot go on."""
    answer(connection, text("select ledger.cancel(:study, :reason)"), study=study_id, reason=reason)


def delete(connection: Connection, study: StudyRow) -> str:
    """Remove a study with all that it has: "deleted", "managed" or "unknown". Only the owner of the tables may."""
    with connection.begin():
        word = str(connection.scalar(text("select ledger.delete_study(:study)"), {"study": study.id}))
        if word == "deleted":
            flattened.drop(cursor(connection), study.name)
        return word


def flatten(connection: Connection, study: StudyRow) -> flattened.Flattened:
    """Create or replace the study's flattened view. Only the owner of the schema may."""
    with connection.begin():
        return flattened.create(cursor(connection), study.id, study.name, study.spec["space"])
