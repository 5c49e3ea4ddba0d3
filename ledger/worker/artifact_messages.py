"""The messages between a trainer and its supervisor about artifacts and checkpoints.

The trainer first announces an artifact or a checkpoint with its size. If the supervisor accepts the announcement, the
trainer sends the content in pieces. The supervisor replies to the announcement, and replies again when the content is
saved. To restore a checkpoint, the trainer asks for the last checkpoint of the trial. The supervisor reads and checks
the content, and replies with the step and the size. Then the trainer asks for each piece.

Each reply contains the number of its request, because an exception can end the objective's call before the reply
arrives.
"""

import base64
import binascii
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from ledger.database.bounds import LARGEST_ARTIFACT, LARGEST_STEP, LONGEST_NAME, artifact_name_fault
from ledger.errors import LedgerError
from ledger.objectives.artifact_saving import PIECE, RestoredCheckpoint
from ledger.objectives.context import Context

# `KEY` is the key of a message about an artifact or a checkpoint, and `REPLY` is the key of a reply.
KEY, REPLY = "artifact", "reply"
_ENDED = "the trial has ended: the objective must make this call before it returns"


@dataclass(frozen=True)
class ArtifactAnnouncement:
    """A message that announces an artifact. `size` is the size of the artifact in bytes."""

    request: int
    name: str
    size: int

    @property
    def title(self) -> str:
        """The description of the artifact in an error message."""
        return f"artifact {self.name}"


@dataclass(frozen=True)
class CheckpointAnnouncement:
    """A message that announces the checkpoint of a step. `size` is the size of the checkpoint's archive in bytes."""

    request: int
    step: int
    size: int

    @property
    def name(self) -> str:
        """The name under which the ledger keeps the checkpoint as an artifact (sql/functions/begin_artifact.sql)."""
        return f".checkpoint-{self.step}"

    @property
    def title(self) -> str:
        """The description of the checkpoint in an error message."""
        return f"the checkpoint of step {self.step}"


@dataclass(frozen=True)
class ArtifactPiece:
    """A message with the next piece of the announced artifact or checkpoint."""

    request: int
    piece: bytes


@dataclass(frozen=True)
class RestoreRequest:
    """A message that asks for the last checkpoint of the trial.

    If the trainer could not unpack the last received checkpoint, `unusable` is the reason in one line.
    """

    request: int
    unusable: str | None


@dataclass(frozen=True)
class PieceRequest:
    """A message that asks for the next piece of the checkpoint that the supervisor has found."""

    request: int


ArtifactMessage = ArtifactAnnouncement | CheckpointAnnouncement | ArtifactPiece | RestoreRequest | PieceRequest


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
    >>> parse({"request": 1, "step": 7, "size": 5})
    CheckpointAnnouncement(request=1, step=7, size=5)
    >>> parse({"request": 1, "piece": "bW9kZWw="})
    ArtifactPiece(request=1, piece=b'model')
    >>> parse({"request": 1, "piece": 5})
    Traceback (most recent call last):
    ValueError: the message about an artifact is malformed
    """
    message = _message(content) if isinstance(content, dict) and type(content.get("request")) is int else None
    if message is None:
        raise ValueError("the message about an artifact is malformed")
    return message


def _message(content: dict[str, Any]) -> ArtifactMessage | None:
    request, keys = content["request"], content.keys() - {"request"}
    if keys == {"name", "size"} and _is_natural(content["size"], LARGEST_ARTIFACT):
        name = content["name"]
        return ArtifactAnnouncement(request, name, content["size"]) if artifact_name_fault(name) is None else None
    if keys == {"step", "size"} and _is_natural(content["size"], LARGEST_ARTIFACT):
        step = content["step"]
        return CheckpointAnnouncement(request, step, content["size"]) if _is_natural(step, LARGEST_STEP) else None
    if keys == {"piece"} and isinstance(text := content["piece"], str):
        try:
            piece = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        return ArtifactPiece(request, piece) if 0 < len(piece) <= PIECE else None
    if keys == {"unusable"} and isinstance(reason := content["unusable"], str | None):
        return RestoreRequest(request, reason) if reason is None or len(reason) <= LONGEST_NAME else None
    return PieceRequest(request) if not keys else None


def _is_natural(value: object, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest


def reply(request: int, error: str | None = None, **content: Any) -> dict[str, Any]:
    """Return the reply to a request. If `error` is None, the supervisor has done what the trainer requested."""
    return {"request": request, "error": error, **content}


class ArtifactSender:
    """Passes artifacts and checkpoints between the objective and the supervisor. The trainer process has one
    `ArtifactSender`.

    `ArtifactSender` implements the protocol `ledger.objectives.artifact_saving.Saver`.

    Parameters
    ----------
    send : callable
        Function that writes a message to the supervisor, and wakes the supervisor.
    replies : queue.SimpleQueue
        Queue of the replies of the supervisor.
    trial_folder : callable
        Function that returns a context manager. The context manager creates a folder, and removes the folder at the
        end.
    should_leave : callable
        Function that returns whether the worker has received a request to stop.

    Attributes
    ----------
    until_end : ExitStack
        The context managers that the method `end` closes at the end of the job.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, Any]], object],
        replies: "queue.SimpleQueue[dict[str, Any]]",
        trial_folder: Callable[[], AbstractContextManager[str]],
        should_leave: Callable[[], bool],
    ) -> None:
        self._send_message, self._replies = send, replies
        self.trial_folder, self.should_leave = trial_folder, should_leave
        self.until_end = ExitStack()
        self._numbers = itertools.count()
        # Several threads of an objective may make requests, but the supervisor answers one request at a time.
        self._lock = threading.Lock()
        # `_job` is the running job with its context. `_open` is the number of the request whose reply has not arrived
        # yet.
        self._job: tuple[int, Context] | None = None
        self._open: int | None = None

    def begin(self, job: int, context: Context) -> None:
        """Allow the objective to make requests with the context of a job."""
        self._job = job, context

    def end(self) -> None:
        """Refuse further requests for the job. A thread that still waits for a reply gets an error."""
        self._job = None
        if (request := self._open) is not None:
            self._replies.put(reply(request, _ENDED))
        self.until_end.close()

    def save(self, context: Context, name: str, size: int, pieces: Iterator[bytes]) -> None:
        with self._request("save_artifact", context) as request:
            self._pass(request, {"name": name, "size": size}, pieces)

    def keep(self, context: Context, step: int, size: int, pieces: Iterator[bytes]) -> None:
        with self._request("checkpoint", context) as request:
            self._pass(request, {"step": step, "size": size}, pieces)

    def restore(self, context: Context, archive: IO[bytes], unusable: str | None) -> RestoredCheckpoint | None:
        with self._request("restore", context) as request:
            self._send(request, {"unusable": unusable})
            found = self._wait(request)
            while archive.tell() < found["size"]:
                self._send(request, {})
                archive.write(base64.b64decode(self._wait(request)["piece"]))
        if found["step"] is None:
            return None
        # JSON has no tuples.
        return RestoredCheckpoint(found["step"], None if found["reported"] is None else tuple(found["reported"]))

    @contextmanager
    def _request(self, title: str, context: Context) -> "Iterator[_Request]":
        """Begin a request of the objective. `title` is the name of the method that the objective calls."""
        with self._lock:
            request = _Request(title, next(self._numbers), self._job)
            # The method `end` first changes `_job`, and then reads `_open`. Therefore, if the job ends during the
            # request, either `_send` or `_wait` raises an error.
            self._open = request.number
            try:
                if request.job is None or request.job[1] != context:
                    # A thread of an earlier trial can still run.
                    raise LedgerError(f"{title}: {_ENDED}")
                yield request
            finally:
                self._open = None

    def _pass(self, request: "_Request", announcement: Mapping[str, Any], pieces: Iterator[bytes]) -> None:
        """Announce a content to the supervisor, and send the content in pieces."""
        self._send(request, announcement)
        self._wait(request)
        for piece in pieces:
            # If the supervisor cannot receive the remaining pieces, the supervisor has already replied with an error.
            while not self._replies.empty():
                self._is_reply(request, self._replies.get())
            self._send(request, {"piece": base64.b64encode(piece).decode()})
        self._wait(request)

    def _send(self, request: "_Request", message: Mapping[str, Any]) -> None:
        if request.job is None or request.job is not self._job:
            raise LedgerError(f"{request.title}: {_ENDED}")
        self._send_message({"job": request.job[0], KEY: {"request": request.number, **message}})

    def _wait(self, request: "_Request") -> Mapping[str, Any]:
        while not self._is_reply(request, received := self._replies.get()):
            pass
        return received

    def _is_reply(self, request: "_Request", received: Mapping[str, Any]) -> bool:
        """Return whether a reply belongs to a request. If the reply is an error, raise the error."""
        if received["request"] != request.number:
            return False
        if received["error"] is not None:
            raise LedgerError(f"{request.title}: {received['error']}")
        return True


@dataclass(frozen=True)
class _Request:
    """A request of the objective, with the request's number and the job that was running when the request began."""

    title: str
    number: int
    job: tuple[int, Context] | None
