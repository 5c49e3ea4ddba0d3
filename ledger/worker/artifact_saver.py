"""Saves artifacts and checkpoints of the running trial, and does not block the supervisor's other work.

The supervisor writes a received content into an unnamed temporary file, and computes the content's SHA-256. The
supervisor then saves the content in steps. Each step sends at most one statement to the database. The supervisor can
safely repeat each statement. While the database is unavailable, the supervisor keeps the content, and the objective's
call waits. A thread writes the content into a store, because a store can be slow. The supervisor reads a checkpoint in
steps as well.
"""

import hashlib
import logging
import math
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Generator
from functools import partial
from typing import IO, Any, TypeVar
from uuid import UUID

from ledger.database import artifact_protocol
from ledger.database.artifact_protocol import LastCheckpoint
from ledger.database.bounds import ARTIFACT_PIECE, LARGEST_KEPT_ARTIFACT
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import DatabaseUnavailable, ValuesRefused
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.objectives.artifact_saving import PIECE
from ledger.store import Content, ContentDamagedError, ContentMissingError, Store, StoreError, checked, opened
from ledger.text import one_line
from ledger.worker.artifact_messages import (
    ArtifactAnnouncement,
    ArtifactMessage,
    ArtifactPiece,
    CheckpointAnnouncement,
    RestoreRequest,
    reply,
)
from ledger.worker.store_threads import Download, StoreThread, Upload

_log = logging.getLogger("ledger.worker")

# If a store fails during the read of a checkpoint, the supervisor reads the checkpoint again after a pause. Each number
# is the length of a pause in seconds.
STORE_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
# A call of `begin` whose answer was lost can reach the database after the next call, and then discards the content that
# the worker writes. The worker then begins again, at most so many times.
MOST_BEGINNINGS = 5
# After an interruption of the objective's call, the call's thread may still use a slow store. `MOST_ABANDONED` is the
# maximum number of threads of interrupted calls.
MOST_ABANDONED = 4

# Answers of the database after which the artifact is not saved.
_REFUSALS = ("stale", "unknown", "unbegun")

# A tuple that contains a function of the module `artifact_protocol`, and the function's arguments. The tuple does not
# contain the argument `connection`.
_Statement = tuple[Any, ...]
# A step of a request is a statement to execute, a thread to wait for, or a number of seconds to wait.
_Step = _Statement | StoreThread | float
# A generator that yields the steps of a request. The caller sends the result of each step to the generator. The return
# value of the generator is the content of the reply to the trainer.
_Steps = Generator[_Step, Any, dict[str, Any]]


class _RequestFailedError(Exception):
    """An exception that reports that a request of the objective has failed. The objective receives the message."""


class ArtifactSaver:
    """Saves artifacts and checkpoints of the running trial, and reads the trial's last checkpoint.

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
        # The number of the present request, and the file with the content of the artifact or checkpoint.
        self._request: int | None = None
        self._file: IO[bytes] | None = None
        self._is_checkpoint = False
        # The artifact or checkpoint that the trainer passes to the supervisor.
        self._received: _ReceivedContent | None = None
        self._steps: _Steps | None = None
        # The present step.
        self._next: _Step | None = None
        # True if the connection to the database failed during the present statement. The database may have executed the
        # statement before the connection failed.
        self._is_repeated = False
        # Threads that still run after the saver has stopped waiting for them.
        self._abandoned: list[StoreThread] = []
        # `_restored` is the last checkpoint that the supervisor has found for the trainer. `_unusable` contains the
        # contents that a trainer could not unpack. The trainer has not requested the last `_unread` bytes of the
        # checkpoint yet.
        self._restored: LastCheckpoint | None = None
        self._unusable: set[UUID] = set()
        self._unread = 0
        self._has_kept = False
        self.due_at = math.inf

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that become readable when the supervisor must call `advance`."""
        return [self._next.fileno()] if isinstance(self._next, StoreThread) else []

    def take_kept(self) -> bool:
        """Return whether the ledger has recorded a checkpoint since the last call of `take_kept`."""
        has_kept, self._has_kept = self._has_kept, False
        return has_kept

    def accept(self, held: ClaimedTrial, message: ArtifactMessage) -> None:
        """Process a message of the trainer about an artifact or a checkpoint of the trial `held`."""
        if isinstance(message, ArtifactAnnouncement | CheckpointAnnouncement | RestoreRequest):
            # If an exception has ended the objective's previous call, the previous request is still open.
            self.abandon()
            self._request = message.request
            self._is_checkpoint = not isinstance(message, ArtifactAnnouncement)
            self._try(partial(self._begin, held, message))
        elif message.request == self._request and self._steps is None:
            work = partial(self._receive, message) if isinstance(message, ArtifactPiece) else self._send_piece
            self._try(work)

    def advance(
        self, call: Callable[..., Any], write_reports: Callable[[Callable[..., Any]], object] = lambda _call: None
    ) -> None:
        """Do the next step, if a step is due. A step sends at most one statement about the artifact or checkpoint.

        Parameters
        ----------
        call : callable
            The method `ReconnectingSession.try_call`.
        write_reports : callable
            Function that writes the waiting reports of the trial to the ledger. A later attempt continues after the
            checkpoint, and does not report the earlier steps again. Therefore the ledger must receive the reports
            before the checkpoint.
        """
        if self._steps is not None:
            self._try(partial(self._advance, call, write_reports))

    def abandon(self) -> None:
        """Forget the present request. The trainer gets no reply."""
        if isinstance(self._next, StoreThread):
            self._next.abandon()  # The thread closes the file.
            self._abandoned.append(self._next)
        elif self._file is not None:
            self._file.close()
        self._request = self._file = self._received = self._steps = self._next = None
        self._is_repeated = False
        self.due_at = math.inf

    def _try(self, work: Callable[[], object]) -> None:
        """Call `work` for the present request. If the call fails, send the trainer the reason, and end the request."""
        try:
            work()
        except _RequestFailedError as error:
            self._end(str(error))
        except OSError as error:
            self._end(
                f"the worker cannot receive the {self._what} ({error.strerror or error}): free space in the folder for"
                " temporary files"
            )

    def _end(self, error: str) -> None:
        """Reply to the trainer that the request has failed, and forget the request."""
        assert self._request is not None
        request = self._request
        self.abandon()
        self._send(reply(request, error))

    @property
    def _what(self) -> str:
        return "checkpoint" if self._is_checkpoint else "artifact"

    def _begin(
        self, held: ClaimedTrial, message: ArtifactAnnouncement | CheckpointAnnouncement | RestoreRequest
    ) -> None:
        self._abandoned = [thread for thread in self._abandoned if not thread.has_ended]
        if len(self._abandoned) >= MOST_ABANDONED:
            assert self._store is not None
            raise _RequestFailedError(
                f"the store {self._store.url} is still busy with {MOST_ABANDONED} interrupted calls: wait until the"
                " store answers"
            )
        if isinstance(message, RestoreRequest):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._start(self._restore(held, message.unusable, self._file))
            return
        if self._store is None and message.size > LARGEST_KEPT_ARTIFACT:
            raise _RequestFailedError(
                f"{message.title} has {message.size:,} bytes, but the ledger itself keeps at most"
                f" {LARGEST_KEPT_ARTIFACT:,} bytes for each {self._what}: start the worker with --store"
            )
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._received = _ReceivedContent(held, message.name, message.size, self._file)
        self._send(reply(message.request))
        self._start_if_complete(self._received)

    def _receive(self, message: ArtifactPiece) -> None:
        if self._received is not None:
            self._received.add(message.piece)
            self._start_if_complete(self._received)

    def _start_if_complete(self, received: "_ReceivedContent") -> None:
        if received.missing < 0:
            raise _RequestFailedError("the content is longer than announced: pass it again")
        if received.missing == 0:
            self._start(self._save(received))

    def _start(self, steps: _Steps) -> None:
        self._steps, self._next, self.due_at = steps, next(steps), 0.0

    def _advance(self, call: Callable[..., Any], write_reports: Callable[[Callable[..., Any]], object]) -> None:
        assert self._steps is not None
        if isinstance(self._next, StoreThread):
            if not self._next.has_ended:
                return
            thread, self._next = self._next, None
            answer: Any = thread.finish()
        elif time.monotonic() < self.due_at:
            return
        elif isinstance(self._next, float):
            answer = None
        else:
            assert self._next is not None
            try:
                if self._is_checkpoint:
                    write_reports(call)
                answer = call(*self._next)
            except DatabaseUnavailable as unavailable:
                self.due_at = time.monotonic() + unavailable.pause
                self._is_repeated = True
                return
            except artifact_protocol.DatabaseFullError as full:
                raise _RequestFailedError(str(full)) from None
            except ValuesRefused as refusal:
                raise _RequestFailedError(f"the database refused the {self._what}: {one_line(str(refusal))}") from None
        try:
            self._next = self._steps.send(answer)
        except StopIteration as end:
            self._finish(end.value)
        else:
            self.due_at = self._due()
        self._is_repeated = False

    def _due(self) -> float:
        """Return the time at which the present step is due."""
        if isinstance(self._next, StoreThread):
            return math.inf
        return time.monotonic() + self._next if isinstance(self._next, float) else 0.0

    def _finish(self, content: dict[str, Any]) -> None:
        """Reply to the trainer that the request is done."""
        assert self._request is not None
        request = self._request
        self._unread = content.get("size", 0)
        if self._unread:  # The trainer now asks for the pieces of the checkpoint.
            assert self._file is not None
            self._file.seek(0)
            self._steps = self._next = None
            self.due_at = math.inf
        else:
            self.abandon()
        self._send(reply(request, **content))

    def _send_piece(self) -> None:
        if self._file is not None and self._received is None:
            assert self._request is not None
            request = self._request
            piece = self._file.read(PIECE)
            self._unread -= len(piece)
            if self._unread <= 0:
                self.abandon()
            self._send(reply(request, piece=b64encode(piece).decode()))

    def _save(self, received: "_ReceivedContent") -> _Steps:
        for _ in range(MOST_BEGINNINGS):
            word = yield from self._save_once(received)
            if word != "unbegun":
                break
        _check(word)
        self._has_kept = self._is_checkpoint
        return {}

    def _save_once(self, received: "_ReceivedContent") -> Generator[_Step, Any, str]:
        """Write the content, and save the artifact. Return the answer of the database."""
        held, name, digest = received.held, received.name, received.digest.hexdigest()
        store = None if self._store is None else self._store.url
        word, content = yield artifact_protocol.begin, held, name, digest, received.size, store
        upload = None
        if word == "wanted" and self._store is not None:
            upload = _started(Upload, self._store, Content(digest, received.size, content), received.file)
            if (error := (yield upload)) is not None:
                raise _RequestFailedError(str(error))
        elif word == "wanted":
            received.file.seek(0)
            for number in range(math.ceil(received.size / ARTIFACT_PIECE)):
                piece = received.file.read(ARTIFACT_PIECE)
                word = yield artifact_protocol.add_piece, held, name, number, piece
                if word in _REFUSALS:
                    return str(word)
        elif word in _REFUSALS:
            return str(word)
        word = yield artifact_protocol.save, held, name, content
        # If the answer is not "saved", a manager may already have removed the content from the ledger. If this process
        # has not received an earlier answer of the database, the artifact may already be saved and may use the content.
        if word in _REFUSALS and upload is not None and not self._is_repeated:
            upload.remove()
        return str(word)

    def _restore(self, held: ClaimedTrial, unusable: str | None, file: IO[bytes]) -> _Steps:
        """Copy the last undamaged checkpoint into a file.

        If the trainer could not unpack the last received checkpoint, `unusable` is the reason.
        """
        if unusable is not None and self._restored is not None:
            self._unusable.add(self._restored.content)
            _log_unusable(held, self._restored, unusable)
        self._restored = None
        found = yield artifact_protocol.last_checkpoints, held
        for checkpoint in found:
            if checkpoint.content in self._unusable:
                continue
            fault = yield from self._read(held, checkpoint, file)
            if fault is None:
                self._restored = checkpoint
                text = f"the training continues after step {checkpoint.step} of attempt {checkpoint.attempt}"
                _log_checkpoint("restored", held, text, step=checkpoint.step)
                return {"step": checkpoint.step, "size": checkpoint.size, "reported": _reported(held, checkpoint)}
            _log_unusable(held, checkpoint, fault)
        if found:
            text = "no checkpoint can be used, so the training starts from its beginning"
            _log_checkpoint("not restored", held, text, level=logging.WARNING)
        return {"step": None, "size": 0, "reported": None}

    def _read(
        self, held: ClaimedTrial, checkpoint: LastCheckpoint, file: IO[bytes]
    ) -> Generator[_Step, Any, str | None]:
        """Read a checkpoint into a file, and check the checkpoint. If the checkpoint is unusable, return the reason."""
        content = Content(checkpoint.sha256, checkpoint.size, checkpoint.content)
        # Another worker can write the URL of any store into the database. Therefore the supervisor opens only the store
        # of this worker's option --store.
        if checkpoint.store is not None and self._store is None:
            place = one_line(checkpoint.store)
            return f"the checkpoint is in the store {place}: name this store by --store or LEDGER_STORE"
        if checkpoint.store is not None:
            assert self._store is not None
            return (yield from self._download(held, self._store, content, file))
        _empty(file)
        for number in range(math.ceil(content.size / ARTIFACT_PIECE)):
            file.write((yield artifact_protocol.checkpoint_piece, held, content.id, number) or b"")
        file.seek(0)
        try:
            for _ in checked(content, iter(partial(file.read, PIECE), b"")):
                pass
        except StoreError as error:
            return str(error)
        return None

    def _download(
        self, held: ClaimedTrial, store: Store, content: Content, file: IO[bytes]
    ) -> Generator[_Step, Any, str | None]:
        """Copy a content from a store into a file. If the store fails, try again, because a store may recover."""
        for pause in (*STORE_PAUSES, None):
            _empty(file)
            error = yield _started(Download, store, content, file)
            if isinstance(error, OSError):
                raise error
            if error is None:
                return None
            if pause is None or isinstance(error, ContentDamagedError | ContentMissingError):
                break
            text = f"the worker reads the checkpoint again after {pause:g} s, because {one_line(str(error), 1_000)}"
            _log_checkpoint("store failed", held, text, level=logging.WARNING)
            yield pause
        return str(error)


class _ReceivedContent:
    """A content that the trainer passes to the supervisor.

    Attributes
    ----------
    missing : int
        Number of bytes that the trainer must still send.
    """

    def __init__(self, held: ClaimedTrial, name: str, size: int, file: IO[bytes]) -> None:
        self.held, self.name, self.size, self.file = held, name, size, file
        self.missing = size
        self.digest = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self.missing -= len(piece)
        self.digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[self.file.write(view) :]


_Thread = TypeVar("_Thread", bound=StoreThread)


def _started(kind: type[_Thread], store: Store, content: Content, file: IO[bytes]) -> _Thread:
    try:
        return kind(store, content, file)
    except LedgerError as error:
        raise _RequestFailedError(str(error)) from None


def _empty(file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()


def _check(word: str) -> None:
    if word in ("stale", "unknown"):
        raise _RequestFailedError("the trial was claimed again, has ended or was deleted")
    if word == "unbegun":
        raise _RequestFailedError("the ledger has discarded the unfinished artifact: save the artifact again")


def _reported(held: ClaimedTrial, checkpoint: LastCheckpoint) -> tuple[int, float | None] | None:
    """Return the report that the present attempt repeats, so that the trial meets the verdict at the last rung that the
    trial has reached.

    None if there is no such rung, or if the verdict lets the trial go on. None also if the training has gone on after a
    rung that stops the trial. Such an objective does not ask for verdicts, so the new attempt must not end it.
    """
    step = checkpoint.reported_step
    if held.stopping is None or step is None:
        return None
    reached = [rung for rung in held.stopping["rungs"] or () if rung["step"] <= step]
    goes_on = any(rung["stops"] and rung["last_step"] == rung["step"] < step for rung in reached)
    if not reached or reached[-1]["stops"] is False or goes_on:
        return None
    return step, checkpoint.reported_loss


def _log_unusable(held: ClaimedTrial, checkpoint: LastCheckpoint, reason: str) -> None:
    shown = one_line(reason, 1_000)
    text = f"the checkpoint of step {checkpoint.step} of attempt {checkpoint.attempt} cannot be used: {shown}"
    _log_checkpoint("checkpoint", held, text, level=logging.WARNING, step=checkpoint.step, reason=reason)


def _log_checkpoint(event: str, held: ClaimedTrial, text: str, *, level: int = logging.INFO, **fields: Any) -> None:
    message = f"{held.study_name} trial {held.trial}: {text}"
    log_event(
        _log, event, message, level=level, study=held.study_name, trial=held.trial, attempt=held.attempt, **fields
    )
