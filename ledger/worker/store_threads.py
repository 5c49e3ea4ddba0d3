"""Threads that write contents into a store, or read contents from a store. A store can be slow."""

import os
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import IO

from ledger.errors import LedgerError
from ledger.store import Content, Store, checked
from ledger.text import one_line


class StoreThread(ABC):
    """A thread that writes a content into a store, or reads a content from a store. The thread starts at once.

    Parameters
    ----------
    store : Store
        The store.
    content : Content
        The content.
    file : binary file
        The local file with the bytes of the content.

    Raises
    ------
    LedgerError
        The machine cannot start another thread.
    """

    def __init__(self, store: Store, content: Content, file: IO[bytes]) -> None:
        self._store, self._content, self._file = store, content, file
        self._error: LedgerError | OSError | None = None
        self._is_abandoned, self._has_ended = threading.Event(), threading.Event()
        # The pipe becomes readable when the thread closes the thread's end of the pipe.
        self._ended, self._end = os.pipe()
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:
            os.close(self._ended)
            os.close(self._end)
            raise LedgerError(f"the worker cannot start a thread for the store: {error}") from None

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the thread has ended."""
        return self._ended

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return self._has_ended.is_set()

    def finish(self) -> LedgerError | OSError | None:
        """Return the error of the thread, or None. The thread must have ended.

        An OSError is an error of the local file.
        """
        os.close(self._ended)
        return self._error

    def abandon(self) -> None:
        """Stop waiting for the thread. Later, the thread removes the content that the thread has written."""
        self._is_abandoned.set()
        os.close(self._ended)
        # `_run` sets `_has_ended` before `_run` reads `_is_abandoned`. Therefore either `_run` or this method removes
        # the content.
        if self.has_ended:
            threading.Thread(target=self._discard, daemon=True).start()

    @abstractmethod
    def _work(self) -> None:
        """Write or read the content."""

    @abstractmethod
    def _discard(self) -> None:
        """Close the local file, and remove the content that `_work` has written into a store."""

    def _run(self) -> None:
        try:
            self._work()
        except (LedgerError, OSError) as error:
            self._error = error
        except Exception as error:  # The objective must receive a reply in each case.
            reason = one_line(f"{type(error).__name__}: {error}")
            self._error = LedgerError(f"the store {self._store.url} failed: {reason}")
        finally:
            self._has_ended.set()
            os.close(self._end)
        if self._is_abandoned.is_set():
            self._discard()


class Upload(StoreThread):
    """A thread that writes a content into a store."""

    def remove(self) -> None:
        """Start another thread that removes the written content."""
        threading.Thread(target=self._remove, daemon=True).start()

    def _work(self) -> None:
        self._file.seek(0)
        self._store.put(self._content, self._file)

    def _discard(self) -> None:
        self._file.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(Exception):  # `ledger artifact sweep` removes the content later.
            self._store.remove(self._content)


class Download(StoreThread):
    """A thread that reads a content from a store into an empty file, and checks the content."""

    def _work(self) -> None:
        for piece in checked(self._content, self._store.pieces(self._content)):
            self._file.write(piece)
        self._file.flush()

    def _discard(self) -> None:
        with suppress(OSError):  # The file has no name.
            self._file.close()
