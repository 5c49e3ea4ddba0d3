"""Verification of the SHA-256 of each artifact and each checkpoint in a study."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger import artifacts
from ledger.database import artifacts as recorded
from ledger.database.artifacts import StoredContent
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.store import ContentDamagedError, ContentMissingError, ContentUnreadableError, StoreError, chosen

if TYPE_CHECKING:
    from sqlalchemy import Connection

_DIFFERENCES = (ContentMissingError, ContentDamagedError, ContentUnreadableError)


@dataclass(frozen=True)
class VerifiedContents:
    """The result of a verification of a study's artifacts and checkpoints.

    Attributes
    ----------
    checked : int
        The number of artifacts and checkpoints whose bytes have the recorded SHA-256.
    elsewhere : mapping of str to int
        Each key is the URL of a store that the settings do not choose. The value is the number of artifacts and
        checkpoints that a worker has written to this store, and that the chosen store does not have. The verification
        did not read these artifacts and checkpoints.
    """

    checked: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)


def verify(connection: "Connection", settings: Settings, study_id: int, study: str) -> VerifiedContents:
    """Read the artifacts and checkpoints of a study, and check that the bytes have the recorded SHA-256.

    The study may be running. The function reads only the ledger and the store that the settings choose. The store may
    have had another URL when a worker wrote the contents.

    Raises
    ------
    LedgerError
        A content is damaged or missing, or cannot be read. The message names the trial, the attempt, and the artifact
        or the checkpoint.
    StoreError
        The store cannot be read. The message names the same.
    """
    store, number = chosen(settings), 0
    elsewhere: Counter[str] = Counter()
    for content in recorded.contents(connection, study_id):
        error = _fault(connection, settings, content)
        if error is None:
            number += 1
        elif content.store not in (None, store) and isinstance(error, ContentMissingError):
            elsewhere[content.store] += 1
        # If the content was removed or replaced while the function read the content, the error is no difference.
        elif content in recorded.contents(connection, study_id, content.trial):
            kind = LedgerError if isinstance(error, _DIFFERENCES) else StoreError
            raise kind(f"study {study}, trial {content.trial}: {content.title}: {error}") from error
    return VerifiedContents(number, dict(elsewhere))


def _fault(connection: "Connection", settings: Settings, content: StoredContent) -> LedgerError | None:
    """Read a content, and return the error that the reading raises, or None if the content is intact."""
    if content.store is not None and chosen(settings) is None:
        return ContentMissingError("the settings choose no store")
    try:
        for _ in artifacts.checked_pieces(connection, settings, content):
            pass
    except StoreError as error:
        return error
    return None
