"""The messages by which a trainer passes an artifact to its supervisor.

The trainer first announces an artifact with its name and size. If the supervisor accepts the artifact, the trainer
sends the content in pieces. The supervisor replies to the announcement, and replies again when the artifact is saved.
Each reply names the number of the request, because an objective can leave `save_artifact` early by an exception.
"""

import base64
import binascii
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.database.bounds import LARGEST_ARTIFACT, artifact_name_fault
from ledger.errors import LedgerError
from ledger.objectives.artifact_saving import PIECE
from ledger.objectives.context import Context

# Key of a message about an artifact, and key of a reply.
KEY, REPLY = "artifact", "reply"
_ENDED = "the trial has ended: save the artifact before the objective returns"


@dataclass(frozen=True)
class ArtifactAnnouncement:
    """The message that the objective saves an artifact with a name and a size in bytes."""

    request: int
    name: str
    size: int


@dataclass(frozen=True)
class ArtifactPiece:
    """The message with the next piece of the announced artifact."""

    request: int
    piece: bytes


ArtifactMessage = ArtifactAnnouncement | ArtifactPiece


def parse(content: object) -> ArtifactMessage:
    """Parse the value of `KEY` in a message.

    Raises
    ------
    ValueError
        The value is not a valid message. The text of the exception is one line.

    Examples
    --------
    >>> parse({"request": 1, "name": "model.bin", "size": 5})
    ArtifactAnnouncement(request=1, name='model.bin', size=5)
    >>> parse({"request": 1, "piece": "bW9kZWw="})
    ArtifactPiece(request=1, piece=b'model')
    >>> parse({"request": 1, "piece": 5})
    Traceback (most recent call last):
    ValueError: the message about an artifact is malformed
    """
    if isinstance(content, dict) and type(request := content.get("request")) is int:
        if content.keys() == {"request", "name", "size"}:
            name, size = content["name"], content["size"]
            if artifact_name_fault(name) is None and type(size) is int and 0 <= size <= LARGEST_ARTIFACT:
                return ArtifactAnnouncement(request, name, size)
        elif content.keys() == {"request", "piece"} and isinstance(text := content["piece"], str):
            try:
                piece = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                pass
            else:
                if 0 < len(piece) <= PIECE:
                    return ArtifactPiece(request, piece)
    raise ValueError("the message about an artifact is malformed")


def reply(request: int, error: str | None = None) -> dict[str, Any]:
    """Return the reply to a request. If `error` is None, the supervisor has accepted or saved the artifact."""
    return {"request": request, "error": error}


class ArtifactSender:
    """Passes artifacts from the objective to the supervisor. The trainer process has one sender.

    Parameters
    ----------
    send : callable
        Function that writes a message to the supervisor, and wakes the supervisor.
    replies : queue.SimpleQueue
        Queue of the replies of the supervisor.
    """

    def __init__(
        self, send: Callable[[Mapping[str, Any]], object], replies: "queue.SimpleQueue[dict[str, Any]]"
    ) -> None:
        self._send_message, self._replies = send, replies
        self._numbers = itertools.count()
        # Several threads of an objective may save artifacts, but the supervisor receives one artifact at a time.
        self._lock = threading.Lock()
        # The job that runs now with its context, and the request whose reply a thread awaits.
        self._job: tuple[int, Context] | None = None
        self._open: int | None = None

    def begin(self, job: int, context: Context) -> None:
        """Allow the objective to save artifacts of a job, by calls with the context of the job."""
        self._job = job, context

    def end(self) -> None:
        """Refuse further artifacts of the job. A thread that still waits in `save_artifact` gets an error."""
        self._job = None
        if (request := self._open) is not None:
            self._replies.put(reply(request, _ENDED))

    def __call__(self, context: Context, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Save an artifact (`ledger.objectives.artifact_saving.Saver`)."""
        with self._lock:
            job, request = self._job, next(self._numbers)
            # The method `end` reads `_open` after it has changed `_job`. Therefore either `_send` or `_wait` raises an
            # error if the job ends now.
            self._open = request
            try:
                if job is None or job[1] != context:
                    # A thread of an earlier trial can still run.
                    raise LedgerError(f"save_artifact: {_ENDED}")
                self._send(job, {"request": request, "name": name, "size": size})
                self._wait(request)
                for piece in pieces:
                    # If the supervisor cannot take the rest, it has already replied.
                    while not self._replies.empty():
                        self._is_reply(request, self._replies.get())
                    self._send(job, {"request": request, "piece": base64.b64encode(piece).decode()})
                self._wait(request)
            finally:
                self._open = None

    def _send(self, job: tuple[int, Context], message: Mapping[str, Any]) -> None:
        if job is not self._job:
            raise LedgerError(f"save_artifact: {_ENDED}")
        self._send_message({"job": job[0], KEY: message})

    def _wait(self, request: int) -> None:
        while not self._is_reply(request, self._replies.get()):
            pass

    def _is_reply(self, request: int, received: Mapping[str, Any]) -> bool:
        """Return whether a reply belongs to a request. If the reply is an error, raise the error."""
        if received["request"] != request:
            return False
        if received["error"] is not None:
            raise LedgerError(f"save_artifact: {received['error']}")
        return True
