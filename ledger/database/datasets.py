"""Functions that store and read the data files of studies."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from ledger.database.connection import without_time_limit

# Size of one piece of a dataset, in bytes. The size of a piece is a multiple of 3, so the base64 text of a full piece
# needs no padding.
PIECE = 3 * 2**18


@dataclass(frozen=True)
class StoredDataset:
    """A data file that the ledger stores: the name, the SHA-256 and the content of the file.

    `sha256` is hexadecimal, and `name` is the file's name without its folder.
    """

    sha256: str
    name: str
    content: bytes


def keep(connection: Connection, files: Iterable[StoredDataset]) -> None:
    """Store each data file, unless the ledger already contains a data file with the same content.

    In the same transaction as this call, the caller must record a study that uses the data files.
    """
    # All transactions lock the data files in the same order. Therefore no deadlock can occur.
    for file in sorted(files, key=lambda file: file.sha256):
        with without_time_limit(connection):
            if not connection.scalar(select(func.ledger.hold_dataset(file.sha256))):
                connection.execute(select(func.ledger.keep_dataset(file.name, file.content)))


def pieces(connection: Connection, sha256: str) -> Iterator[bytes]:
    """Yield the content of a data file in pieces of `PIECE` bytes. The function reads each piece in a separate
    transaction.
    """
    first = 0
    while True:
        with connection.begin():
            piece = bytes(connection.scalar(select(func.ledger.dataset(sha256, first, PIECE))) or b"")
        yield piece
        first += PIECE
        if len(piece) < PIECE:
            return
