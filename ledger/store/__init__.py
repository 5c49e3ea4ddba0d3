"""Stores, which keep the contents of artifacts outside the database: a folder, or a bucket of an object store.

The database is the only index of a store, and no command lists the files of a store. The database has a row for each
content, with the SHA-256, the size and a random id of the content. The path of the content within the store consists
of the SHA-256 and the id.

- A worker writes a content under a temporary name, and renames the content when the content is complete. An object
  store shows an object only when the object is complete. The worker records the artifact in the database only after the
  store contains the complete content. Therefore an artifact never has an incomplete content, even if the worker is
  killed. Each reader computes the SHA-256 of the bytes that it reads.
- A user can remove an artifact or delete a study while workers write contents. The function ledger.discard_contents
  locks the row of a content. If no artifact refers to the content, the function marks the content as discarded in the
  same transaction. No artifact can refer to a discarded content: a worker that saves the same bytes gets a new content
  with another id, and thus another path. After the transaction, a command deletes the content's file, and then deletes
  the content's row. If the command is killed before it has deleted the row, the next command completes the deletion.
- While a worker is writing a content, and while the claim of the attempt is valid, no command discards the content. An
  attempt whose claim is no longer valid can never save the content.
"""

from ledger.store.content import (
    Content,
    ContentDamagedError,
    ContentMissingError,
    ContentUnreadableError,
    Store,
    StoreAbsentError,
    StoreError,
    checked,
)
from ledger.store.locating import LEDGER, chosen, normalized, opened

__all__ = [
    "LEDGER",
    "Content",
    "ContentDamagedError",
    "ContentMissingError",
    "ContentUnreadableError",
    "Store",
    "StoreAbsentError",
    "StoreError",
    "checked",
    "chosen",
    "normalized",
    "opened",
]
