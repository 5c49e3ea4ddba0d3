"""The files that studies train on, in the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ledger.database.connection import without_time_limit

# Bytes of one piece of a dataset. A multiple of 3 needs no padding in base64.
PIECE = 3 * 2**18


@dataclass(frozen=True)
class Dataset:
    """A file that studies train on: the SHA-256 of its content in hexadecimal, and its name without the folder."""

    sha256: str
    name: str
    content: bytes


def keep(connection: Connection, dataset: Dataset) -> None:
    """Store a file where it is not stored yet, within the transaction that records its study."""
    with without_time_limit(connection):
        if not connection.scalar(select(func.ledger.hold_dataset(dataset.sha256))):
            connection.execute(select(func.ledger.keep_dataset(dataset.name, dataset.content)))


def pieces(connection: Connection, sha256: str) -> Iterator[bytes]:
    """Yield the content of a file in pieces of `PIECE` bytes, each in a transaction of its own."""
    first = 0
    while True:
        with connection.begin():
            piece = bytes(connection.scalar(select(func.ledger.dataset(sha256, first, PIECE))) or b"")
        yield piece
        first += PIECE
        if len(piece) < PIECE:
            return
