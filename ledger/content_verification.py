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
from ledger.store import ContentDamagedError, ContentMissingError, chosen

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class VerifiedContents:
    """The result of a verification of a study's artifacts and checkpoints.

    Attributes
    ----------
    checked : int
        The number of artifacts and checkpoints whose bytes have the recorded SHA-256.
    elsewhere : mapping of str to int
        Each key is the URL of a store that the settings do not choose. The value is the number of artifacts and
        checkpoints in this store. The verification did not read these artifacts and checkpoints.
    """

    checked: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)


def verify(connection: "Connection", settings: Settings, study_id: int, study: str) -> VerifiedContents:
    """Read the artifacts and checkpoints of a study, and check that the bytes have the recorded SHA-256.

    The study may be running. The function reads only the ledger and the store that the settings choose.

    Raises
    ------
    LedgerError
        A content is damaged or missing. The message names the trial, the attempt, and the artifact or the checkpoint.
    StoreError
        The store cannot be read.
    """
    store, number = chosen(settings), 0
    elsewhere: Counter[str] = Counter()
    for content in recorded.contents(connection, study_id):
        if content.store is not None and content.store != store:
            elsewhere[content.store] += 1
        elif _is_intact(connection, settings, study_id, study, content):
            number += 1
    return VerifiedContents(number, dict(elsewhere))


def _is_intact(connection: "Connection", settings: Settings, study_id: int, study: str, content: StoredContent) -> bool:
    """Return False if the content was removed or replaced while the function read the content."""
    try:
        for _ in artifacts.checked_pieces(connection, settings, content):
            pass
    except (ContentMissingError, ContentDamagedError) as error:
        if content not in recorded.contents(connection, study_id, content.trial):
            return False
        raise LedgerError(f"study {study}, trial {content.trial}: {content.title}: {error}") from error
    return True
