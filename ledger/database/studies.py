"""Functions that create, find, extend, pause, resume, cancel, rename, archive and delete studies.

Each function runs one transaction on the given connection.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, select, text

from ledger.database import codes, datasets, flattened, trials, views
from ledger.database.connection import cursor, refused_if_locked, to_json
from ledger.database.datasets import StoredDataset
from ledger.database.rows import IterationRow, StudyRow
from ledger.database.selecting import answer, fetch, fetch_one, rows_of
from ledger.errors import LedgerError, UsageError
from ledger.text import one_line

# Maximum number of iterations that `iteration_pages` reads in one transaction.
PAGE = 1000

_studies, _iterations = views.studies, views.iterations

_CREATE = text(
    "select ledger.create_study(:name, cast(:spec as jsonb), :spec_hash, :budget, cast(:versions as jsonb), :target,"
    " :patience, :timeout_seconds)"
)
_SET_CRITERIA = text("select ledger.set_criteria(:study, :target, :patience, :timeout_seconds)")


def create(
    connection: Connection,
    name: str,
    spec: Mapping[str, Any],
    spec_hash: str,
    budget: int,
    versions: Mapping[str, Any],
    files: Sequence[StoredDataset] = (),
    code: Mapping[str, Any] | None = None,
    *,
    target: float | None = None,
    patience: int | None = None,
    timeout_seconds: float | None = None,
) -> StudyRow | None:
    """Record a study, its data files and the code of its objective. Return None if another study already has the name.

    Parameters
    ----------
    files : sequence of StoredDataset
        The data files on which the study trains.
    code : mapping, optional
        The code of the objective, as returned by `ledger.objectives.fingerprint.ObjectiveCode.to_json`.
    """
    with connection.begin():
        study_id = connection.scalar(
            _CREATE,
            {
                "name": name,
                "spec": to_json(spec),
                "spec_hash": spec_hash,
                "budget": budget,
                "versions": to_json(versions),
                "target": target,
                "patience": patience,
                "timeout_seconds": timeout_seconds,
            },
        )
        if study_id is None:
            return None
        datasets.keep(connection, files)
        if code is not None:
            codes.insert_version(connection, study_id, None, code)
        return fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study_id))


def get(connection: Connection, name: str) -> StudyRow:
    """Return the study `name`.

    Raises
    ------
    UsageError
        The name is not a text.
    LedgerError
        The ledger has no study with the given name. The error message suggests studies with similar names.
    """
    if not isinstance(name, str):
        raise UsageError(f"the name of a study must be a text, but it is {one_line(repr(name), 80)}")
    # PostgreSQL cannot receive some unprintable characters, and no name of a study contains one.
    row = find(connection, name) if name.isprintable() else None
    if row is None:
        with connection.begin():
            names = connection.scalars(select(_studies.c.name)).all()
        near = difflib.get_close_matches(name, names, n=3)
        way_out = f"did you mean {' or '.join(near)}?" if near else "`ledger study list` shows the studies"
        raise LedgerError(f"there is no study {one_line(repr(name))}: {way_out}")
    return row


def find(connection: Connection, name: str) -> StudyRow | None:
    """Return the study `name`, or None if no study has this name."""
    with connection.begin():
        return fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.name == name))


def iterations(connection: Connection, study_id: int, *, first: int = 0) -> list[IterationRow]:
    """Return the iterations whose number is at least `first`, ordered by number."""
    return list(chain.from_iterable(iteration_pages(connection, study_id, first=first)))


def iteration_pages(
    connection: Connection, study_id: int, *, first: int = 0, size: int = PAGE
) -> Iterator[list[IterationRow]]:
    """Yield lists of the iterations whose number is at least `first`, ordered by number.

    The function reads each list in a separate transaction.
    """
    chosen = rows_of(IterationRow).where(_iterations.c.study_id == study_id).order_by(_iterations.c.number).limit(size)
    while True:
        with connection.begin():
            page = fetch(connection, IterationRow, chosen.where(_iterations.c.number >= first))
        if page:
            yield page
            first = page[-1].number + 1
        if len(page) < size:
            return


def latest_iterations(connection: Connection, study_id: int, limit: int) -> list[IterationRow]:
    """Return the last `limit` iterations, ordered by number."""
    chosen = rows_of(IterationRow).where(_iterations.c.study_id == study_id)
    with connection.begin():
        return fetch(connection, IterationRow, chosen.order_by(_iterations.c.number.desc()).limit(limit))[::-1]


def extend(connection: Connection, study_id: int, budget: int) -> str:
    """Increase the budget of a study. Return "extended", "unchanged", "cancelled" or "unknown"."""
    return str(answer(connection, text("select ledger.extend(:study, :budget)"), study=study_id, budget=budget))


def set_criteria(
    connection: Connection,
    study_id: int,
    target: float | None,
    patience: int | None,
    timeout_seconds: float | None,
) -> str:
    """Set the stopping criteria of a study. If the argument of a criterion is None, the function removes the criterion.

    Return "changed", "unchanged", "cancelled" or "unknown".
    """
    criteria = {"target": target, "patience": patience, "timeout_seconds": timeout_seconds}
    return str(answer(connection, _SET_CRITERIA, study=study_id, **criteria))


def set_batch_size(connection: Connection, study_id: int, batch_size: int) -> str:
    """Change the batch size of a study. Return "changed", "unchanged", "cancelled" or "unknown"."""
    call = text("select ledger.set_batch_size(:study, :batch_size)")
    return str(answer(connection, call, study=study_id, batch_size=batch_size))


def pause(connection: Connection, study_id: int) -> str:
    """Pause a running study. Workers cannot claim the trials of a paused study. Return the study's new state."""
    return str(answer(connection, text("select ledger.pause(:study)"), study=study_id))


def resume(connection: Connection, study_id: int) -> str:
    """Resume a paused or failed study. Return the study's new state."""
    return str(answer(connection, text("select ledger.resume(:study)"), study=study_id))


def cancel(connection: Connection, study_id: int, reason: str) -> list[int]:
    """Cancel a running or paused study permanently, and cancel the study's open trials.

    Return the numbers of the trials that the function could not cancel. The function cannot cancel a trial if another
    session has locked the trial's row. The ledger cancels the locked trials later, as the docstring of `trials.cancel`
    describes.
    """
    answer(connection, text("select ledger.cancel(:study, :reason)"), study=study_id, reason=reason)
    return trials.end_cancelled(connection, study_id)


def delete(connection: Connection, study: StudyRow) -> str:
    """Delete a study and the study's iterations, trials and attempts. Return "deleted", "managed" or "unknown".

    Only the owner of the tables can delete a study.

    Raises
    ------
    LedgerError
        Another session has locked the study's flattened view or a row of the study. A LedgerError also occurs if
        another database object depends on the flattened view.
    """
    with refused_if_locked(f"study {study.name}"), connection.begin():
        word = str(connection.scalar(text("select ledger.delete_study(:study)"), {"study": study.id}))
        if word == "deleted":
            flattened.drop(cursor(connection), study.name)
        return word


def rename(connection: Connection, study: StudyRow, name: str) -> str:
    """Rename a study, and rename the study's flattened view if the view exists.

    Only the owner of the tables can rename a study. Return "renamed", "unchanged", "taken", "managed" or "unknown".

    Raises
    ------
    LedgerError
        Another session has locked the study's row or the study's flattened view.
    """
    call = text("select ledger.rename_study(:study, :name)")
    with refused_if_locked(f"study {study.name}"), connection.begin():
        word = str(connection.scalar(call, {"study": study.id, "name": name}))
        if word == "renamed":
            flattened.rename(cursor(connection), study.name, name)
        return word


def archive(connection: Connection, study: StudyRow, *, archived: bool = True) -> str:
    """Mark a study as archived or as not archived.

    Only the owner of the tables can archive a study. Return "archived", "restored", "unchanged", "managed" or
    "unknown".

    Raises
    ------
    LedgerError
        Another session has locked the study's row.
    """
    call = text("select ledger.archive_study(:study, :archived)")
    with refused_if_locked(f"study {study.name}"):
        return str(answer(connection, call, study=study.id, archived=archived))


def flatten(connection: Connection, study: StudyRow) -> flattened.FlattenedView:
    """Create or replace the flattened view of a study. Only the schema's owner can create a flattened view.

    Raises
    ------
    LedgerError
        Another session has locked the flattened view, or the function `flattened.create` raises an error.
    """
    with refused_if_locked(f"the view of study {study.name}"), connection.begin():
        return flattened.create(cursor(connection), study.id, study.name, study.spec["space"])
