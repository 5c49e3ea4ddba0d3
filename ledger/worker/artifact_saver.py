"""Saves the artifacts of the trial in training, without keeping the supervisor from its other work.

The supervisor receives an artifact into an unnamed temporary file, and computes its SHA-256. The supervisor then saves
the artifact in steps. Each step sends at most one statement to the database, and each statement can be repeated. While
the database is unavailable, the artifact waits, and the objective waits in `save_artifact`. A thread writes the content
into a store, because a store can be slow.
"""

import hashlib
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import IO, Any

from ledger.database import artifact_protocol
from ledger.database.bounds import ARTIFACT_PIECE, LARGEST_KEPT_ARTIFACT
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import DatabaseUnavailable, ValuesRefused
from ledger.errors import LedgerError
from ledger.store import Content, Store, opened
from ledger.text import one_line
from ledger.worker.artifact_messages import ArtifactAnnouncement, ArtifactMessage, ArtifactPiece, reply

# Largest number of threads that still write an artifact of an interrupted call into a slow store.
MOST_ABANDONED = 4

# A function of `artifact_protocol` with its arguments, except the connection.
_Statement = tuple[Any, ...]


class _NotSavedError(Exception):
    """The artifact cannot be saved. The message is the reason, which the objective receives."""


class ArtifactSaver:
    """Saves the artifacts of the trial in training.

    Parameters
    ----------
    store : str or None
        URL of the store that keeps the contents. None stands for the ledger itself.
    send : callable
        Function that sends a reply to the trainer.

    Attributes
    ----------
    due_at : float
        Time at which the supervisor must call `advance`, as a value of `time.monotonic`.
    """

    def __init__(self, store: str | None, send: Callable[[dict[str, Any]], object]) -> None:
        self._store = None if store is None else opened(store)
        self._send = send
        self._received: _ReceivedArtifact | None = None
        self._steps: Generator[_Statement | _Upload, Any, None] | None = None
        # The statement that `advance` sends next, or the thread whose end `advance` awaits.
        self._next: _Statement | _Upload | None = None
        # Whether the database may have executed the statement before, because its answer was lost.
        self._is_repeated = False
        # Threads that still write an artifact after the saver has stopped waiting for them.
        self._abandoned: list[_Upload] = []
        self.due_at = math.inf

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that become readable when the supervisor must call `advance`."""
        return [self._next.fileno()] if isinstance(self._next, _Upload) else []

    def accept(self, held: ClaimedTrial, message: ArtifactMessage) -> None:
        """Take a message of the trainer about an artifact of the trial `held`."""
        if isinstance(message, ArtifactAnnouncement):
            # The objective may have left the previous call of `save_artifact` by an exception.
            self.abandon()
            self._announce(held, message)
        elif self._received is not None and self._steps is None and message.request == self._received.request:
            self._receive(message)

    def advance(self, call: Callable[..., Any]) -> None:
        """Do the next step, if a step is due. A step sends at most one statement.

        Parameters
        ----------
        call : callable
            The method `ReconnectingSession.try_call`.
        """
        if self._steps is None or self._received is None:
            return
        try:
            if isinstance(self._next, _Upload):
                if not self._next.has_ended:
                    return
                upload, self._next = self._next, None
                if (error := upload.finish()) is not None:
                    raise _NotSavedError(error)
                self._next = self._steps.send(None)
            else:
                if time.monotonic() < self.due_at:
                    return
                assert self._next is not None
                try:
                    answer = call(*self._next)
                except DatabaseUnavailable as unavailable:
                    self.due_at = time.monotonic() + unavailable.pause
                    self._is_repeated = True
                    return
                except artifact_protocol.DatabaseFullError as full:
                    raise _NotSavedError(str(full)) from None
                except ValuesRefused as refusal:
                    raise _NotSavedError(f"the database refused the artifact: {one_line(str(refusal))}") from None
                self._next = self._steps.send(answer)
                self._is_repeated = False
            self.due_at = math.inf if isinstance(self._next, _Upload) else 0.0
        except StopIteration:
            self._end(None)
        except _NotSavedError as error:
            self._end(str(error))
        except OSError as error:
            self._end(_no_room(error))

    def abandon(self) -> None:
        """Forget the artifact that is not saved yet. The trainer gets no reply."""
        if isinstance(self._next, _Upload):
            self._next.abandon()
            self._abandoned.append(self._next)
        elif self._received is not None:
            self._received.file.close()
        self._received = self._steps = self._next = None
        self._is_repeated = False
        self.due_at = math.inf

    def _announce(self, held: ClaimedTrial, message: ArtifactAnnouncement) -> None:
        if self._store is None and message.size > LARGEST_KEPT_ARTIFACT:
            error = (
                f"artifact {message.name} has {message.size:,} bytes, but the ledger itself keeps at most"
                f" {LARGEST_KEPT_ARTIFACT:,} bytes for each artifact: start the worker with --store"
            )
            self._send(reply(message.request, error))
            return
        self._abandoned = [upload for upload in self._abandoned if not upload.has_ended]
        if len(self._abandoned) >= MOST_ABANDONED:
            assert self._store is not None
            error = (
                f"the store {self._store.url} still writes {MOST_ABANDONED} artifacts of interrupted calls: wait until"
                " the store answers"
            )
            self._send(reply(message.request, error))
            return
        try:
            self._received = _ReceivedArtifact(held, message)
        except OSError as error:
            self._send(reply(message.request, _no_room(error)))
            return
        self._send(reply(message.request))
        self._begin_if_complete()

    def _receive(self, message: ArtifactPiece) -> None:
        assert self._received is not None
        try:
            self._received.add(message.piece)
        except OSError as error:
            self._end(_no_room(error))
        else:
            self._begin_if_complete()

    def _begin_if_complete(self) -> None:
        assert self._received is not None
        if self._received.missing < 0:
            self._end("the content is longer than announced: pass the artifact again")
        elif self._received.missing == 0:
            self._steps = self._save(self._received)
            self._next, self.due_at = next(self._steps), 0.0

    def _save(self, received: "_ReceivedArtifact") -> Generator["_Statement | _Upload", Any, None]:
        """Yield each statement, and each thread that writes into a store. The caller sends the answer."""
        held, name, digest = received.held, received.name, received.digest.hexdigest()
        store = None if self._store is None else self._store.url
        word, content = yield artifact_protocol.begin, held, name, digest, received.size, store
        upload = None
        if word == "wanted" and self._store is not None:
            upload = _Upload(self._store, Content(digest, received.size, content), received.file)
            yield upload
        elif word == "wanted":
            received.file.seek(0)
            for number in range(math.ceil(received.size / ARTIFACT_PIECE)):
                piece = received.file.read(ARTIFACT_PIECE)
                _check((yield artifact_protocol.add_piece, held, name, number, piece))
        else:
            _check(word)
        word = yield artifact_protocol.save, held, name, digest
        # If the claim is not valid, a manager may already have forgotten the content. If the
        # connection failed before an earlier answer arrived, the content may belong to a saved artifact.
        if word in ("stale", "unknown") and upload is not None and not self._is_repeated:
            upload.remove()
        _check(word)

    def _end(self, error: str | None) -> None:
        """Reply to the trainer, and forget the artifact."""
        assert self._received is not None
        request = self._received.request
        self.abandon()
        self._send(reply(request, error))


class _ReceivedArtifact:
    """An artifact that the trainer passes to the supervisor.

    Attributes
    ----------
    missing : int
        Number of bytes that the trainer must still send.
    """

    def __init__(self, held: ClaimedTrial, message: ArtifactAnnouncement) -> None:
        self.held, self.request, self.name, self.size = held, message.request, message.name, message.size
        self.missing = message.size
        self.digest = hashlib.sha256()
        self.file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def add(self, piece: bytes) -> None:
        self.missing -= len(piece)
        self.digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[self.file.write(view) :]


class _Upload:
    """A thread that writes a content into a store. The thread closes the file of the content."""

    def __init__(self, store: Store, content: Content, file: IO[bytes]) -> None:
        self._store, self._content, self._file = store, content, file
        self._error: str | None = None
        self._is_abandoned, self._has_ended = threading.Event(), threading.Event()
        # The pipe becomes readable when the thread closes its end.
        self._ended, self._end = os.pipe()
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError as error:
            os.close(self._ended)
            os.close(self._end)
            raise _NotSavedError(f"the worker cannot start a thread for the store: {error}") from None

    def fileno(self) -> int:
        return self._ended

    @property
    def has_ended(self) -> bool:
        return self._has_ended.is_set()

    def finish(self) -> str | None:
        """Return the reason why the store does not have the content, or None. The thread must have ended."""
        os.close(self._ended)
        return self._error

    def abandon(self) -> None:
        """Do not wait for the thread any more, and remove the content from the store when it is written."""
        self._is_abandoned.set()
        os.close(self._ended)
        # `_run` sets `_has_ended` before it reads `_is_abandoned`, so this method or the thread removes the content.
        if self.has_ended:
            self.remove()

    def remove(self) -> None:
        """Remove the written content from the store, in a thread."""
        threading.Thread(target=self._remove, daemon=True).start()

    def _remove(self) -> None:
        with suppress(Exception):  # `ledger artifact sweep` removes the content later.
            self._store.remove(self._content)

    def _run(self) -> None:
        try:
            with self._file:
                self._file.seek(0)
                self._store.put(self._content, self._file)
        except LedgerError as error:
            self._error = str(error)
        except Exception as error:  # The objective must receive a reply in each case.
            self._error = f"the store {self._store.url} failed: {one_line(f'{type(error).__name__}: {error}')}"
        finally:
            self._has_ended.set()
            os.close(self._end)
        if self._is_abandoned.is_set():
            self._remove()


def _check(word: str) -> None:
    if word in ("stale", "unknown"):
        raise _NotSavedError("the trial was claimed again, has ended or was deleted")
    if word == "unbegun":
        raise _NotSavedError("the ledger has forgotten the begun artifact: save the artifact again")


def _no_room(error: OSError) -> str:
    return (
        f"the worker cannot receive the artifact ({error.strerror or error}): free space in the folder for temporary"
        " files"
    )
