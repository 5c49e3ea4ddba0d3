"""What a supervisor and its trainer say to each other, in lines of JSON.

Jobs come over a socket pair, several in one line. To begin one, the trainer takes its permit out of a pipe; those that
the supervisor takes out first never begin. An answer is written when it is there, so that it outlives the trainer, but
to a pipe that nobody waits for: short trials shall not cost a change of process each. A byte over the socket says that
there are answers and no permits, or that the pipe may have no room for more.
"""

import json
import os
import queue
import select
import socket
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

_PERMIT = struct.Struct("=Q")
# Bytes that any pipe has room for, and that it takes as a whole.
_ROOM = select.PIPE_BUF
_MOST_READ = 1 << 16


class SupervisorsEnd:
    """Sends jobs and reads answers; neither waits for anything.

    Attributes
    ----------
    theirs : tuple of int
        The file descriptors of the trainer's end, for the trainer to inherit.
    """

    def __init__(self) -> None:
        self._socket, self._their_socket = socket.socketpair()
        self._answers, self._their_answers = os.pipe()
        self._permits, self._given = os.pipe()
        os.set_blocking(self._answers, False)
        # read by both sides
        os.set_blocking(self._permits, False)
        # the beginning of an answer whose end is not there yet
        self._begun = bytearray()
        self.theirs = (self._their_socket.fileno(), self._their_answers, self._permits)

    def close_theirs(self) -> None:
        """Close what only the trainer uses, once it has it."""
        self._their_socket.close()
        os.close(self._their_answers)

    def fileno(self) -> int:
        """Return what can be read when the trainer waits for permits, or is gone."""
        return self._socket.fileno()

    def send(self, batch: Mapping[str, Any], numbers: Iterable[int]) -> None:
        """Send jobs, and permit them; the trainer has none left."""
        self._socket.sendall(json.dumps(batch).encode() + b"\n")
        self.permit(numbers)

    def permit(self, numbers: Iterable[int]) -> None:
        """Let jobs that were sent begin."""
        os.write(self._given, b"".join(map(_PERMIT.pack, numbers)))

    def withdraw(self) -> int:
        """Take back all permits; returns how many were left."""
        return len(_read(self._permits) or b"") // _PERMIT.size

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the answers that are there, in the order of their jobs, and whether the trainer's end is closed.

        Raises
        ------
        ValueError, TypeError, KeyError
            Something else was written.
        """
        # the socket first: whatever is told from now on makes it readable again
        while said := self._hear():
            pass
        while data := _read(self._answers):
            self._begun += data
        *lines, rest = bytes(self._begun).split(b"\n")
        self._begun[:] = rest
        return json.loads(b"[" + b",".join(lines) + b"]"), said is not None

    def close(self) -> None:
        """Close all that is open here."""
        self._socket.close()
        for descriptor in (self._answers, self._permits, self._given):
            os.close(descriptor)

    def _hear(self) -> bytes | None:
        try:
            return self._socket.recv(_MOST_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None


class TrainersEnd:
    """Takes jobs and writes answers, and ends its process when the supervisor does.

    Parameters
    ----------
    descriptors : sequence of int
        `SupervisorsEnd.theirs`.

    Attributes
    ----------
    permitted : select.poll
        Its poll() waits until there is a job to take.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        connection, self._answers, self._permits = descriptors
        self._socket = socket.socket(fileno=connection)
        self.permitted = select.poll()
        self.permitted.register(self._permits, select.POLLIN)
        self._batches: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._batch: dict[str, Any] = {"first": 0, "jobs": []}
        # bytes in the pipe of which the supervisor was not told
        self._unsaid = 0
        threading.Thread(target=self._follow, daemon=True).start()

    def take(self) -> dict[str, Any] | None:
        """Take the next job; None where there is none yet, which the supervisor is told."""
        try:
            permit = os.read(self._permits, _PERMIT.size)
        except BlockingIOError:
            if self._unsaid:
                self._tell()
            return None
        if not permit:
            os._exit(0)
        (number,) = _PERMIT.unpack(permit)
        while not 0 <= (place := number - self._batch["first"]) < len(self._batch["jobs"]):
            self._batch = self._batches.get()
        return {"job": number, "objective": self._batch["objective"], **self._batch["jobs"][place]}

    def answer(self, content: Mapping[str, Any], *, aloud: bool = False) -> None:
        """Write an answer; aloud: the supervisor is to read it now."""
        line = json.dumps(content).encode() + b"\n"
        for start in range(0, len(line), _ROOM):
            part = line[start : start + _ROOM]
            # the supervisor reads what it was told of, so no write waits for ever
            if self._unsaid + len(part) > _ROOM:
                self._tell()
            os.write(self._answers, part)
            self._unsaid += len(part)
        if aloud:
            self._tell()

    def _tell(self) -> None:
        self._socket.sendall(b"\n")
        self._unsaid = 0

    def _follow(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._batches.put(json.loads(line))
        # the supervisor is gone, so nobody wants the result
        os._exit(0)


def _read(descriptor: int) -> bytes | None:
    """Read what is there; nothing at the end, and None where nothing is there yet."""
    try:
        return os.read(descriptor, _MOST_READ)
    except BlockingIOError:
        return None
