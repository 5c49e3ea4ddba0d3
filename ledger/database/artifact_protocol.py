"""Functions by which a worker saves artifacts and reads checkpoints (sql/functions/).

Each function sends one statement in autocommit mode. If the answer of the database is lost, the worker can safely send
the statement again with the same claim.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.errors import DiskFull
from psycopg.rows import class_row

from ledger.database.protocol import ClaimedTrial
from ledger.errors import LedgerError


@dataclass(frozen=True)
class LastCheckpoint:
    """A checkpoint for the next attempt of a trial.

    Attributes
    ----------
    store : str or None
        URL of the store. None if the content is in the ledger's database.
    reported_step : int or None
        The highest step, at or below the step of the checkpoint, that the attempt of the checkpoint has reported. None
        if the attempt has reported no such step.
    reported_loss : float or None
        The loss at `reported_step`. None stands for NaN.
    """

    attempt: int
    step: int
    content: UUID
    sha256: str
    size: int
    store: str | None
    reported_step: int | None
    reported_loss: float | None


class DatabaseFullError(LedgerError):
    """The disk of the database has no room for the content of an artifact."""

    def __init__(self) -> None:
        super().__init__("the disk of the database is full: free space, or start the worker with --store")


def begin(
    connection: Connection[Any], held: ClaimedTrial, name: str, sha256: str, size: int, store: str | None
) -> tuple[str, UUID | None]:
    """Begin to save an artifact of an attempt.

    Parameters
    ----------
    sha256 : str
        SHA-256 of the content, in hexadecimal.
    size : int
        Number of bytes of the content.
    store : str or None
        URL of the store in which the worker writes the content. None stands for the ledger's database.

    Returns
    -------
    (str, UUID or None)
        The answer, and the id of the content. The answer is "wanted", "stored", "stale" or "unknown". The id is None
        for the answers "stale" and "unknown". If the answer is "wanted", the worker must write the content. After any
        other answer, the worker does not write the content.
    """
    statement = "select answer, content from ledger.begin_artifact(%s, %s, %s, %s, %s, %s, %s)"
    row = connection.execute(statement, (*_claim(held), name, sha256, size, store)).fetchone()
    assert row is not None
    answer, content = row
    return answer, content


def add_piece(connection: Connection[Any], held: ClaimedTrial, name: str, number: int, piece: bytes) -> str:
    """Add a piece to an artifact whose content is in the ledger's database.

    Return "recorded", "already", "unbegun", "stale" or "unknown".

    Raises
    ------
    DatabaseFullError
        The disk of the database is full. The connection is still usable.
    """
    statement = "select ledger.add_artifact_piece(%s, %s, %s, %s, %s, %b)"
    try:
        return _word(connection, statement, *_claim(held), name, number, piece)
    except DiskFull:
        raise DatabaseFullError from None


def save(connection: Connection[Any], held: ClaimedTrial, name: str, content: UUID) -> str:
    """Save an artifact whose content is complete. `content` is the id that `begin` has returned.

    Return "saved", "already", "unbegun", "stale" or "unknown".
    """
    return _word(connection, "select ledger.save_artifact(%s, %s, %s, %s, %s)", *_claim(held), name, content)


def last_checkpoints(connection: Connection[Any], held: ClaimedTrial) -> list[LastCheckpoint]:
    """Return the latest checkpoints of a trial. The latest checkpoint comes first. The list is empty if the claim is
    not valid.
    """
    with connection.cursor(row_factory=class_row(LastCheckpoint)) as cursor:
        return cursor.execute("select * from ledger.last_checkpoints(%s, %s, %s)", _claim(held)).fetchall()


def checkpoint_piece(connection: Connection[Any], held: ClaimedTrial, content: UUID, number: int) -> bytes | None:
    """Return a piece of a checkpoint from the ledger's database, or None if the database does not contain the piece."""
    with connection.cursor(binary=True) as cursor:
        statement = "select ledger.checkpoint_bytes(%s, %s, %s, %s, %s)"
        row = cursor.execute(statement, (*_claim(held), content, number)).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def _claim(held: ClaimedTrial) -> tuple[int, int, UUID]:
    return held.study_id, held.trial, held.claim


def _word(connection: Connection[Any], statement: str, *parameters: object) -> str:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return str(row[0])
