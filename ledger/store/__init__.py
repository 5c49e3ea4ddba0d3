"""Stores, which keep the contents of artifacts outside the database: a folder, or a bucket of an object store.

The database is the only index of a store. A row of the database names each content by its SHA-256, its size and a
random id, and the path of the content within the store consists of the SHA-256 and the id. Nothing lists a store.

- A worker writes a content under a temporary name, and renames the content when it is complete. An object store shows
  an object only when it is complete. The row of the artifact refers to the content only after this step, so a worker
  that is killed leaves no artifact with a part of its content. Each reader computes the SHA-256 of what it reads.
- The removal of an artifact and the deletion of a study are safe beside running writers. The function
  ledger.discard_contents marks a content as discarded, in one transaction that locks the row of the content and finds
  no artifact that refers to it. From this moment, no artifact can refer to the content: a worker that saves the same
  bytes gets a new content with another id, and thus another path. Only then a command deletes the file, and after the
  file the row. If the command is killed in between, the next command deletes the file.
- A content that a worker is still writing counts as referred to, as long as the claim of the attempt is valid. An
  attempt whose claim is no longer valid can never save the content.
"""

from ledger.store.content import Content, ContentDamagedError, ContentMissingError, Store, StoreError, checked
from ledger.store.locating import LEDGER, chosen, normalized, opened

__all__ = [
    "LEDGER",
    "Content",
    "ContentDamagedError",
    "ContentMissingError",
    "Store",
    "StoreError",
    "checked",
    "chosen",
    "normalized",
    "opened",
]
