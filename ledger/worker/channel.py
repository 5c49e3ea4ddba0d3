"""Messages between a supervisor and its trainer process: jobs in one direction, answers in the other.

Jobs are lines of JSON on a socket pair, several jobs in one line. The trainer reads one token from a pipe before it
starts a job. The supervisor withdraws jobs by reading the remaining tokens itself. Answers are lines of JSON in a
second pipe, so they survive the trainer's death. The trainer wakes the supervisor by one byte on the socket: when it
has no token left, when the pipe of answers may be full, or when an answer is urgent. A short trial therefore needs no
context switch of its own.
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

# A token is the number of the job that it allows to start.
_TOKEN = struct.Struct("=Q")
# Bytes that every pipe has room for and accepts in one piece.
_PIPE_ROOM = select.PIPE_BUF
_READ_SIZE = 1 << 16


class SupervisorChannel:
    """The supervisor's end: sends jobs and reads answers, and never blocks.

    Attributes
    ----------
    trainer_descriptors : tuple of int
        File descriptors of the trainer's end, which the trainer process inherits.
    """

    def __init__(self) -> None:
        self._socket, self._trainer_socket = socket.socketpair()
        self._answers, self._trainer_answers = os.pipe()
        self._tokens, self._token_input = os.pipe()
        os.set_blocking(self._answers, False)
        # both processes read this end
        os.set_blocking(self._tokens, False)
        # the first part of an answer that has not arrived completely
        self._partial = bytearray()
        self.trainer_descriptors = (self._trainer_socket.fileno(), self._trainer_answers, self._tokens)

    def close_trainer_end(self) -> None:
        """Close this process's copy of what only the trainer uses; call it after the trainer has started."""
        self._trainer_socket.close()
        os.close(self._trainer_answers)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the trainer wakes the supervisor or has ended."""
        return self._socket.fileno()

    def send(self, batch: Mapping[str, Any], numbers: Iterable[int]) -> None:
        """Send jobs with their tokens. The trainer must have no other job."""
        self._socket.sendall(json.dumps(batch).encode() + b"\n")
        self.add_tokens(numbers)

    def add_tokens(self, numbers: Iterable[int]) -> None:
        """Allow the jobs with these numbers, which were sent before, to start."""
        os.write(self._token_input, b"".join(map(_TOKEN.pack, numbers)))

    def take_tokens(self) -> int:
        """Take all remaining tokens, so that their jobs never start. Returns their number."""
        return len(_read(self._tokens) or b"") // _TOKEN.size

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the complete answers in the order of their jobs, and whether the trainer has closed its end.

        Raises
        ------
        ValueError, TypeError, KeyError
            The pipe contains something other than answers.
        """
        # The socket first: a wake-up that arrives from now on makes it readable again.
        while received := self._receive():
            pass
        while data := _read(self._answers):
            self._partial += data
        *lines, rest = bytes(self._partial).split(b"\n")
        self._partial[:] = rest
        return json.loads(b"[" + b",".join(lines) + b"]"), received is not None

    def close(self) -> None:
        """Close the supervisor's end."""
        self._socket.close()
        for descriptor in (self._answers, self._tokens, self._token_input):
            os.close(descriptor)

    def _receive(self) -> bytes | None:
        try:
            return self._socket.recv(_READ_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None


class TrainerChannel:
    """The trainer's end: receives jobs and writes answers. It ends its process when the supervisor ends.

    Parameters
    ----------
    descriptors : sequence of int
        `SupervisorChannel.trainer_descriptors`.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        connection, self._answers, self._tokens = descriptors
        self._socket = socket.socket(fileno=connection)
        self._token_poll = select.poll()
        self._token_poll.register(self._tokens, select.POLLIN)
        self._batches: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._batch: dict[str, Any] = {"first": 0, "jobs": []}
        # bytes written to the pipe of answers since the last wake-up
        self._unannounced = 0
        threading.Thread(target=self._receive_batches, daemon=True).start()

    def wait(self) -> None:
        """Block until a job may start."""
        self._token_poll.poll()

    def next_job(self) -> dict[str, Any] | None:
        """Take the next job. Returns None if no job may start, and then the supervisor is woken."""
        try:
            token = os.read(self._tokens, _TOKEN.size)
        except BlockingIOError:
            if self._unannounced:
                self._wake_supervisor()
            return None
        if not token:
            os._exit(0)
        (number,) = _TOKEN.unpack(token)
        while not 0 <= (index := number - self._batch["first"]) < len(self._batch["jobs"]):
            self._batch = self._batches.get()
        return {"job": number, "objective": self._batch["objective"], **self._batch["jobs"][index]}

    def answer(self, content: Mapping[str, Any], *, urgent: bool = False) -> None:
        """Write an answer. An urgent one wakes the supervisor."""
        line = json.dumps(content).encode() + b"\n"
        for start in range(0, len(line), _PIPE_ROOM):
            part = line[start : start + _PIPE_ROOM]
            # the supervisor empties the pipe when it is woken, so this write cannot block forever
            if self._unannounced + len(part) > _PIPE_ROOM:
                self._wake_supervisor()
            os.write(self._answers, part)
            self._unannounced += len(part)
        if urgent:
            self._wake_supervisor()

    def _wake_supervisor(self) -> None:
        self._socket.sendall(b"\n")
        self._unannounced = 0

    def _receive_batches(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._batches.put(json.loads(line))
        # the supervisor has ended, so no process needs the result
        os._exit(0)


def _read(descriptor: int) -> bytes | None:
    """Read without blocking. Returns empty bytes at the end of the file, and None if no data have arrived."""
    try:
        return os.read(descriptor, _READ_SIZE)
    except BlockingIOError:
        return None
