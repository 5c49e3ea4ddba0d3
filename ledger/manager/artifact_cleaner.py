"""Removal by a manager: artifacts of beaten trials, checkpoints of ended trials, and contents without an artifact."""

import logging
import queue
import threading
import time
from contextlib import suppress
from uuid import UUID

from sqlalchemy import Connection

from ledger.database import artifacts
from ledger.database.artifacts import DiscardedContent
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.store import Content, Store, opened

_log = logging.getLogger("ledger.manager")

# While no trial ends, the manager looks for removable artifacts at intervals of LOOK_SECONDS. For example, an objective
# can replace its artifact after each epoch, and the store then still has the earlier contents.
LOOK_SECONDS = 10.0
# Longest time in seconds for which a manager waits for a slow store before the manager ends.
END_SECONDS = 10.0


class ArtifactCleaner:
    """Removes the artifacts of a study's beaten trials, and the checkpoints of ended trials. The class also deletes
    discarded contents from the manager's store.

    A thread deletes the contents, so that a slow store delays no proposal. If the store fails, another manager or the
    command `ledger artifact sweep` deletes the contents later.

    Parameters
    ----------
    connection : Connection
        The manager's connection to the database.
    study : StudyRow
        The study.
    kept : int or None
        The number of trials that keep their artifacts. None means that each trial keeps its artifacts.
    store : str or None
        URL of the store of this machine. If `store` is None, the ledger itself keeps the contents, and deletes them
        without a manager.
    """

    def __init__(self, connection: Connection, study: StudyRow, kept: int | None, store: str | None) -> None:
        self._connection, self._study, self._kept, self._url = connection, study, kept, store
        self._due_at = self._checkpoints_due_at = 0.0
        # The queue `_waiting` lists the contents that the thread must delete. The element None in the queue ends the
        # thread. The queue `_deleted` lists the contents that the thread has deleted.
        self._waiting: queue.SimpleQueue[DiscardedContent | None] = queue.SimpleQueue()
        self._deleted: queue.SimpleQueue[UUID] = queue.SimpleQueue()
        self._passed: set[UUID] = set()
        self._after: UUID | None = None
        self._thread: threading.Thread | None = None

    def look(self, *, trials_ended: bool) -> None:
        """Remove the artifacts, checkpoints and contents that no trial needs. If no trial has ended, the method looks
        for artifacts and contents at most once in LOOK_SECONDS.

        The method looks for checkpoints at most once in LOOK_SECONDS, because most studies have no checkpoints.
        """
        if time.monotonic() >= self._checkpoints_due_at:
            self._checkpoints_due_at = time.monotonic() + LOOK_SECONDS
            if artifacts.remove_some_checkpoints(self._connection, self._study.id):
                # One call removes only some of the checkpoints, because the manager must renew its lease between calls.
                self._checkpoints_due_at = self._due_at = 0.0
        if not trials_ended and time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + LOOK_SECONDS
        if self._kept is not None:
            removed = artifacts.remove_some_beaten(self._connection, self._study.id, self._kept)
            if removed:
                # One call removes only some of the artifacts, because the manager must renew its lease between calls.
                self._due_at = 0.0
                message = f"study {self._study.name}: artifacts of beaten trials removed: {removed}"
                log_event(_log, "artifacts", message, study=self._study.name, removed=removed)
        if self._url is None:
            return
        self._forget()
        page = artifacts.some_discarded(self._connection, self._url, self._after)
        new = [content for content in page if content.id not in self._passed]
        # If the thread has already received all contents of this page, the next call reads the next page.
        self._after = page[-1].id if page and not new else None
        for content in new:
            self._passed.add(content.id)
            self._waiting.put(content)
        if new and self._thread is None:
            self._thread = threading.Thread(target=self._delete, daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Remove the remaining artifacts and checkpoints for at most END_SECONDS. Then wait at most END_SECONDS for the
        store.
        """
        ends_at = time.monotonic() + END_SECONDS
        self._checkpoints_due_at = 0.0
        self.look(trials_ended=True)
        while 0.0 in (self._due_at, self._checkpoints_due_at):
            if time.monotonic() >= ends_at:
                name = self._study.name
                way_out = (
                    "some artifacts of beaten trials are not removed yet:"
                    f" run `ledger artifact rm {name} --keep {self._kept}`"
                    if self._due_at == 0.0
                    else "some checkpoints of ended trials are not removed yet: run `ledger artifact sweep`"
                )
                message = f"study {name}: {way_out}"
                log_event(_log, "artifacts", message, level=logging.WARNING, study=self._study.name)
                break
            self.look(trials_ended=False)
        self.stop()
        if self._thread is not None:
            self._thread.join(END_SECONDS)
            self._forget()

    def stop(self) -> None:
        """End the thread after the thread has processed all contents in its queue."""
        self._waiting.put(None)

    def _forget(self) -> None:
        """For each content that the thread has deleted from the store, delete the content's row from the ledger."""
        while True:
            try:
                content = self._deleted.get_nowait()
            except queue.Empty:
                return
            # If another session has locked the row, this session does not delete the row. The other session or a later
            # command deletes the row.
            with suppress(LedgerError):
                artifacts.forget(self._connection, content)
            self._passed.discard(content)

    def _delete(self) -> None:
        store: Store | None = None
        is_said = False
        while (content := self._waiting.get()) is not None:
            try:
                store = store or opened(content.store)
                store.remove(Content(content.sha256, content.size, content.id))
            except LedgerError as error:
                if not is_said:
                    is_said = True
                    message = (
                        f"the content of a removed artifact is still in its store: {error}: run `ledger artifact sweep`"
                        " later"
                    )
                    log_event(_log, "artifacts", message, level=logging.WARNING, study=self._study.name)
            else:
                self._deleted.put(content.id)
