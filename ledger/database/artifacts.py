"""Functions that read and remove the artifacts of a study."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, select, text, tuple_

from ledger.database import views
from ledger.database.connection import refused_if_locked
from ledger.database.rows import ArtifactRow
from ledger.database.selecting import answer, fetch, rows_of

# Maximum number of artifacts in one page.
PAGE = 1000

_artifacts = views.artifacts
# A study has few checkpoints, because the ledger deletes the checkpoints of ended trials.
_CHECKPOINTS = text(
    "select trial, attempt, step, content, sha256, size, store from ledger.checkpoints"
    " where study_id = :study and trial = coalesce(:trial, trial) order by trial, attempt, step"
)


@dataclass(frozen=True)
class DiscardedContent:
    """A content that is still in its store, although no artifact refers to the content."""

    id: UUID
    sha256: str
    size: int
    store: str


@dataclass(frozen=True)
class StoredContent:
    """The content of a saved artifact or checkpoint.

    `title` names the artifact or the checkpoint within the trial. `store` is None if the content is in the ledger's
    database.
    """

    trial: int
    title: str
    id: UUID
    sha256: str
    size: int
    store: str | None


def of_study(connection: Connection, study_id: int, trial: int | None = None) -> Iterator[ArtifactRow]:
    """Yield the artifacts of a study or of one trial, ordered by trial, attempt and name.

    The function also yields removed artifacts. The function reads each page of artifacts in a separate transaction.
    """
    of = rows_of(ArtifactRow).where(_artifacts.c.study_id == study_id)
    if trial is not None:
        of = of.where(_artifacts.c.trial == trial)
    key = tuple_(_artifacts.c.trial, _artifacts.c.attempt, _artifacts.c.name)
    of = of.order_by(_artifacts.c.trial, _artifacts.c.attempt, _artifacts.c.name).limit(PAGE)
    after = (-1, 0, "")
    while True:
        with connection.begin():
            page = fetch(connection, ArtifactRow, of.where(key > after))
        yield from page
        if len(page) < PAGE:
            return
        after = (page[-1].trial, page[-1].attempt, page[-1].name)


def contents(connection: Connection, study_id: int, trial: int | None = None) -> Iterator[StoredContent]:
    """Yield the contents of the artifacts and checkpoints that belong to a study or to one trial.

    The function reads the contents in several transactions. While the caller uses a content, no transaction is open.
    """
    for row in of_study(connection, study_id, trial):
        if row.content is not None:
            title = f"artifact {row.name} of attempt {row.attempt}"
            yield StoredContent(row.trial, title, row.content, row.sha256, row.size, row.store)
    with connection.begin():
        checkpoints = connection.execute(_CHECKPOINTS, {"study": study_id, "trial": trial}).all()
    for number, attempt, step, *content in checkpoints:
        yield StoredContent(number, f"checkpoint of step {step} of attempt {attempt}", *content)


def count(connection: Connection, study_id: int) -> int:
    """Return the number of artifacts of a study. The number does not include removed artifacts."""
    of = select(func.count()).where(_artifacts.c.study_id == study_id, _artifacts.c.removed_at.is_(None))
    return int(answer(connection, of))


def pieces(connection: Connection, content: UUID) -> Iterator[bytes]:
    """Yield the pieces of a content that is in the ledger's database. The function reads each piece in a separate
    transaction.
    """
    number = 0
    while (piece := answer(connection, select(func.ledger.artifact_bytes(content, number)))) is not None:
        yield bytes(piece)
        number += 1


def remove(connection: Connection, study_id: int, row: ArtifactRow) -> str:
    """Remove an artifact. Return "removed", "already" or "unknown".

    Raises
    ------
    LedgerError
        Another session has locked the artifact.
    """
    call = text("select ledger.remove_artifact(:study, :trial, :attempt, :name)")
    with refused_if_locked(f"artifact {row.name} of trial {row.trial}"):
        return str(answer(connection, call, study=study_id, trial=row.trial, attempt=row.attempt, name=row.name))


def remove_beaten(connection: Connection, study_id: int, kept: int) -> int:
    """Remove the artifacts of ended trials, but do not remove the artifacts of the best trials. `kept` is the number of
    these best trials. The function chooses the best trials among the trials that have artifacts.

    Parameters
    ----------
    kept : int
        The number of trials that keep their artifacts, at least 1.

    Returns
    -------
    int
        The number of removed artifacts.
    """
    removed = 0
    while some := remove_some_beaten(connection, study_id, kept):
        removed += some
    return removed


def remove_some_beaten(connection: Connection, study_id: int, kept: int) -> int:
    """Remove a limited number of the artifacts that `remove_beaten` would remove. Return the number of removed
    artifacts.
    """
    call = text("select ledger.remove_beaten_artifacts(:study, :kept)")
    return int(answer(connection, call, study=study_id, kept=kept))


def remove_some_checkpoints(connection: Connection, study_id: int | None = None) -> int:
    """Delete a limited number of checkpoints of ended trials. Return the number of deleted checkpoints.

    Parameters
    ----------
    study_id : int or None
        The study. None stands for all studies.
    """
    return int(answer(connection, text("select ledger.remove_checkpoints(:study)"), study=study_id))


def discard(connection: Connection) -> list[DiscardedContent]:
    """Discard all contents that no trial needs, and return the discarded contents that are in stores.

    The function first deletes the checkpoints of all ended trials.
    """
    while remove_some_checkpoints(connection):
        pass
    while answer(connection, select(func.ledger.discard_contents())):
        pass
    return list(discarded(connection))


def discarded(connection: Connection) -> Iterator[DiscardedContent]:
    """Yield the discarded contents that are still in their stores. The function reads each page of contents in a
    separate transaction."""
    after = None
    while page := some_discarded(connection, None, after):
        yield from page
        after = page[-1].id


def some_discarded(
    connection: Connection, store: str | None = None, after: UUID | None = None
) -> list[DiscardedContent]:
    """Return at most 1,000 discarded contents, ordered by id.

    Parameters
    ----------
    store : str or None
        The URL of a store. None stands for all stores.
    after : UUID or None
        The function returns only contents whose id is greater than `after`.
    """
    call = text(
        "select content, sha256, size, store_url"
        " from ledger.discarded_contents(cast(:store as text), cast(:after as uuid))"
    )
    with connection.begin():
        return [DiscardedContent(*row) for row in connection.execute(call, {"store": store, "after": after})]


def forget(connection: Connection, content: UUID) -> None:
    """Delete the row of a discarded content that is no longer in its store.

    Raises
    ------
    LedgerError
        Another session has locked the content.
    """
    with refused_if_locked("a content of artifacts"):
        answer(connection, select(func.ledger.forget_content(content)))
