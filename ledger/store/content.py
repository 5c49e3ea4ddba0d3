"""The contents of a store, and the interface of all stores."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol
from uuid import UUID

from ledger.errors import LedgerError

# Number of bytes that a store reads or writes at once.
PIECE = 1 << 20


class StoreError(LedgerError):
    """An exception that a store raises if the store cannot write, return or remove a content. The message names the
    store and the reason.
    """


class ContentMissingError(StoreError):
    """An exception that reports a missing content."""


class ContentUnreadableError(StoreError):
    """An exception that reports a content that cannot be read, although its store can be read."""


class StoreAbsentError(StoreError):
    """An exception that reports a store whose folder is missing or has no contents."""


class ContentDamagedError(StoreError):
    """An exception that reports a content whose size or SHA-256 differs from the recorded value."""


@dataclass(frozen=True)
class Content:
    """The size, the SHA-256 and the id of a content. The database has a row with the size, the SHA-256 and the id.

    Attributes
    ----------
    sha256 : str
        SHA-256 of the bytes, in hexadecimal.
    size : int
        Number of bytes.
    id : UUID
        Random id of the content. Two contents with the same bytes have different ids.

    Examples
    --------
    >>> Content("ab" * 32, 5, UUID(int=7)).path
    'ab/abababababababababababababababababababababababababababababababab-00000000-0000-0000-0000-000000000007'
    """

    sha256: str
    size: int
    id: UUID

    @property
    def path(self) -> str:
        """The path of the content, relative to the store."""
        return f"{self.sha256[:2]}/{self.sha256}-{self.id}"


class Store(Protocol):
    """A place for contents outside the database.

    Attributes
    ----------
    url : str
        The URL of the store.
    """

    url: str

    def put(self, content: Content, file: IO[bytes]) -> None:
        """Write a content. After the call, the store contains either the whole content or no part of the content.

        Parameters
        ----------
        file : file object
            A file with the bytes of the content. The position in the file must be the beginning of the file.

        Raises
        ------
        StoreError
            The store failed, for example because it is full.
        """

    def pieces(self, content: Content) -> Iterator[bytes]:
        """Yield the bytes of a content in pieces, without a check of the bytes.

        Raises
        ------
        ContentMissingError
            The store does not have the content.
        StoreError
            The store failed.
        """

    def remove(self, content: Content) -> bool:
        """Remove the file of a content, and the incomplete file of a killed writer. Return whether a file existed.

        Raises
        ------
        StoreError
            The store failed.
        """


def missing(url: str, content: Content) -> ContentMissingError:
    """Return the exception for a store that does not have a content."""
    return ContentMissingError(
        f"the store {url} has no file {content.path}: restore the file from a backup, or name another store by --store"
        " or LEDGER_STORE"
    )


def checked(content: Content, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a content. After the last piece, compare the size and the SHA-256.

    A caller must not use the bytes before the last piece has passed the check.

    Raises
    ------
    ContentDamagedError
        The size or the SHA-256 differs from the recorded value.

    Examples
    --------
    >>> content = Content(hashlib.sha256(b"model").hexdigest(), 5, UUID(int=7))
    >>> b"".join(checked(content, [b"mo", b"del"]))
    b'model'
    >>> list(checked(content, [b"medal"]))
    Traceback (most recent call last):
    ledger.store.content.ContentDamagedError: the content is damaged, its SHA-256 differs from the recorded SHA-256: \
restore the content from a backup
    """
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        if size > content.size:
            break
        yield piece
    if size != content.size:
        fault = f"it does not have the recorded size of {content.size} bytes"
    elif digest.hexdigest() != content.sha256:
        fault = "its SHA-256 differs from the recorded SHA-256"
    else:
        return
    raise ContentDamagedError(f"the content is damaged, {fault}: restore the content from a backup")
