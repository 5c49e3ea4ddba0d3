"""Messages between a supervisor and its trainer process.

The supervisor sends jobs as lines of JSON through a socket pair. One line of JSON can contain several jobs. Before the
start of each job, the trainer reads one token from a second socket pair. The trainer and the supervisor can read tokens
from the same socket. To withdraw jobs, the supervisor reads the remaining tokens. The trainer writes answers as lines
of JSON to a pipe, so the supervisor can read the answers even after the trainer's death. The trainer writes one byte to
a second pipe to wake the supervisor. The trainer wakes the supervisor in three cases: no token is left, the pipe of
answers may be full, or an answer is urgent. The trainer does not wake the supervisor after each answer, so several
short trials need only one context switch. If the pipe of answers has room, the trainer writes a report immediately. If
the pipe of answers is full, a thread of the trainer writes the report later. Therefore the objective never waits for
the supervisor. The trainer wakes the supervisor for reports at most once in `REPORT_SECONDS` seconds.

The objective can change the state of each open file that the trainer inherits. A change of the state of an open file
must not block the supervisor:

- The flag O_NONBLOCK belongs to an open file description. Several processes can share an open file description. The
  supervisor and the trainer share only one open file description, which is the socket of the tokens. The supervisor
  passes MSG_DONTWAIT to each call on a socket, because the trainer cannot change the flags of a call. The trainer
  inherits only one descriptor of the supervisor, which is the socket of the tokens.
- A message through a Unix socket can contain open files. The process that receives the message must close the received
  files. If a received file is a TCP connection with SO_LINGER, closing the file could block the supervisor. Therefore
  the supervisor receives nothing from a socket to which the trainer can send.
"""

import json
import math
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ledger.worker.artifact_messages import REPLY
from ledger.worker.outcome import LARGEST_ANSWER, MalformedAnswerError

# A token is the number of a job, and permits the trainer to start this job.
_TOKEN = struct.Struct("=Q")
# A write of `_PIPE_ROOM` bytes to an empty pipe does not block.
_PIPE_ROOM = select.PIPE_BUF
_READ_SIZE = 1 << 16
# Largest number of reads from one descriptor in one call of `SupervisorChannel.read`. Without the limit `_READS`, an
# objective with endless output could prevent the heartbeats of the supervisor.
_READS = 16
# The trainer wakes the supervisor for reports at most once in `REPORT_SECONDS` seconds.
REPORT_SECONDS = 0.2
# Key of the message which says that the worker has received a request to stop.
_LEAVE = "leave"
# Key of the message about the verdict of the database on a job. The value is an object with four keys. The key "job"
# contains the number of the job. The key "step" contains null, or the step of a report at a rung. The trainer must stop
# waiting for the database's verdict on this report. The key "is_stopped" contains true if the objective must end. The
# key "leaves" contains true if the objective must end although the trial has no verdict yet.
VERDICT = "verdict"
# If more than `_MOST_UNSENT` bytes are unsent, the supervisor refuses to send another message.
_MOST_UNSENT = 1 << 20


class SupervisorChannel:
    """The supervisor's end of the channel between a supervisor and its trainer process.

    The supervisor sends jobs and reads answers without blocking.

    Attributes
    ----------
    trainer_descriptors : tuple of int
        File descriptors of the trainer's end of the channel. The trainer process inherits the file descriptors.
    has_more : bool
        Whether the last call of `read` may have left data in the pipe of answers.
    """

    def __init__(self) -> None:
        self._socket, self._trainer_socket = socket.socketpair()
        self._answers, self._trainer_answers = os.pipe()
        self._wake_ups, self._trainer_wake_ups = os.pipe()
        self._tokens, self._token_input = socket.socketpair()
        for descriptor in (self._answers, self._wake_ups):
            os.set_blocking(descriptor, False)
        # shutdown() prevents the trainer from sending data to the sockets `_socket` and `_token_input`.
        for end in (self._socket, self._token_input):
            end.shutdown(socket.SHUT_RD)
        # The bytes of jobs and messages that the socket has not accepted yet.
        self._unsent = bytearray()
        # True if the supervisor can no longer send jobs, because the trainer has closed the trainer's end of the socket
        # pair.
        self._is_broken = False
        # Whether the supervisor has told the trainer that the worker has received a request to stop.
        self._has_asked = False
        # The received bytes of an answer whose end has not arrived yet.
        self._partial = bytearray()
        self.has_more = False
        self.trainer_descriptors = (
            self._trainer_socket.fileno(),
            self._trainer_answers,
            self._tokens.fileno(),
            self._trainer_wake_ups,
        )

    def close_trainer_end(self) -> None:
        """Close this process's copies of the trainer's descriptors.

        Call `close_trainer_end` after the start of the trainer.
        """
        self._trainer_socket.close()
        for descriptor in (self._trainer_answers, self._trainer_wake_ups):
            os.close(descriptor)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the trainer wakes the supervisor or has ended."""
        return self._wake_ups

    def input_fileno(self) -> int:
        """Return a descriptor that becomes writable when `read` can send more jobs."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether some jobs of the last call of `send` are still unsent.

        The next calls of `read` send the unsent jobs.
        """
        return bool(self._unsent)

    def send(self, batch: Mapping[str, Any], numbers: Iterable[int]) -> None:
        """Send jobs and their tokens to the trainer. All jobs of earlier calls of `send` must have ended.

        Raises
        ------
        MalformedAnswerError
            The objective has shut down the socket of the tokens.
        """
        self._unsent += json.dumps(batch).encode() + b"\n"
        self._send_rest()
        self.add_tokens(numbers)

    def tell(self, key: str, content: Any) -> None:
        """While a job is running, send the trainer a message with one key.

        The key of a reply to the job is `REPLY`, and the key of a verdict is `VERDICT`.

        Raises
        ------
        MalformedAnswerError
            The trainer does not read the messages.
        """
        if len(self._unsent) > _MOST_UNSENT:
            raise MalformedAnswerError("the trainer does not read the replies to its messages")
        self._unsent += json.dumps({key: content}).encode() + b"\n"
        self._send_rest()

    def ask_to_leave(self) -> None:
        """Tell the trainer once that the worker has received a request to stop."""
        if not self._has_asked:
            self._has_asked = True
            self._unsent += json.dumps({_LEAVE: True}).encode() + b"\n"
            self._send_rest()

    def add_tokens(self, numbers: Iterable[int]) -> None:
        """Permit the trainer to start the jobs with the given numbers.

        The supervisor must call `send` for the jobs before the supervisor calls this method.

        Raises
        ------
        MalformedAnswerError
            The objective has shut down the socket of the tokens.
        """
        try:
            self._token_input.send(b"".join(map(_TOKEN.pack, numbers)), socket.MSG_DONTWAIT)
        except OSError as error:
            raise MalformedAnswerError(f"the socket for job tokens accepts no token: {error.strerror}") from None

    def take_tokens(self) -> list[int]:
        """Read all remaining tokens, and return the numbers of the jobs that the trainer can no longer start.

        Raises
        ------
        MalformedAnswerError
            The objective has read a part of a token, or has shut down the socket of the tokens.
        """
        data = _receive(self._tokens, _READ_SIZE)
        if data is None:
            return []
        if not data or len(data) % _TOKEN.size:
            raise MalformedAnswerError("the socket for job tokens is shut down, or a part of a job token is missing")
        return [number for (number,) in _TOKEN.iter_unpack(data)]

    def read(self) -> tuple[list[bytes], bool]:
        """Return all complete lines in the pipe of answers, and whether the trainer's end of the channel is closed.

        Raises
        ------
        MalformedAnswerError
            A line is longer than `LARGEST_ANSWER` bytes.
        """
        if self._unsent:
            self._send_rest()
        # `read` first reads the wake-ups and then reads the answers. If another wake-up arrives later, the pipe of
        # wake-ups becomes readable again, and the supervisor calls `read` again.
        received = None
        for _ in range(_READS):
            if not (received := _read(self._wake_ups)):
                break
        lines = []
        for _ in range(_READS):
            data = _read(self._answers)
            if not data:
                break
            first, *others = data.split(b"\n")
            self._partial += first
            for part in others:
                lines.append(bytes(self._partial))
                self._partial[:] = part
            if len(self._partial) > LARGEST_ANSWER:
                raise MalformedAnswerError(f"the answer is longer than {LARGEST_ANSWER:,} bytes")
        self.has_more = bool(data)
        return lines, received == b"" or self._is_broken

    def close(self) -> None:
        """Close the supervisor's end of the channel."""
        for end in (self._socket, self._tokens, self._token_input):
            end.close()
        for descriptor in (self._answers, self._wake_ups):
            os.close(descriptor)

    def _send_rest(self) -> None:
        """Send as many unsent bytes as the socket accepts without blocking."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            pass
        except OSError:
            self._is_broken = True
            self._unsent.clear()


class TrainerChannel:
    """The trainer's end of the channel between a supervisor and its trainer process.

    The trainer receives jobs and writes answers.

    The trainer process ends when the supervisor ends.

    Parameters
    ----------
    descriptors : sequence of int
        The value of `SupervisorChannel.trainer_descriptors`.

    Attributes
    ----------
    replies : queue.SimpleQueue
        The replies of the supervisor to messages about artifacts and checkpoints.
    should_leave : threading.Event
        An event that is set when the worker has received a request to stop.
    at_end : callable
        Function that a thread calls after the end of the supervisor and before the end of the trainer process.
    stopped_job : int or None
        The last job that the supervisor has stopped by a message.
    leaving_job : int or None
        The last job that the supervisor has stopped without a verdict. None if a verdict has stopped the job later.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        connection, self._answers, tokens, self._wake_ups = descriptors
        self._socket, self._tokens = socket.socket(fileno=connection), socket.socket(fileno=tokens)
        self._token_poll = select.poll()
        self._token_poll.register(self._tokens, select.POLLIN)
        self._batches: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._batch: dict[str, Any] = {"first": 0, "jobs": []}
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.should_leave = threading.Event()
        self.stopped_job: int | None = None
        self.leaving_job: int | None = None
        # `_expected` contains the job and the step of the expected verdict, and an event. When the event is set, the
        # trainer stops waiting for the verdict.
        self._expected = (-1, -1), threading.Event()
        # Number of bytes that the trainer has written to the pipe of answers after the last wake-up.
        self._unannounced = 0
        # `_unwritten` contains the reports that did not fit into the pipe of answers. `_woken_at` is the last time at
        # which a report woke the supervisor.
        self._unwritten = bytearray()
        self._woken_at = -math.inf
        # True if a thread is waiting until the pipe of answers has room for the reports.
        self._is_emptying = False
        # An objective may report and save artifacts from several threads.
        self._lock = threading.Lock()
        self._answer_poll = select.poll()
        self._answer_poll.register(self._answers, select.POLLOUT)
        # A library for tests may replace `time.monotonic` while the objective runs.
        self._clock = time.monotonic
        self.at_end: Callable[[], object] = lambda: None
        threading.Thread(target=self._receive_batches, daemon=True).start()

    def wait(self) -> None:
        """Block until the socket of the tokens contains a token."""
        self._token_poll.poll()

    def next_job(self) -> dict[str, Any] | None:
        """Return the next job. If no token is left, wake the supervisor and return None."""
        token = _receive(self._tokens, _TOKEN.size)
        if token is None:
            if self._unannounced:
                self._wake_supervisor()
            return None
        if not token:
            os._exit(0)
        (number,) = _TOKEN.unpack(token)
        while not 0 <= (index := number - self._batch["first"]) < len(self._batch["jobs"]):
            self._batch = self._batches.get()
        facts = {name: self._batch[name] for name in ("objective", "recorded", "recordable")}
        return {"job": number, **facts, **self._batch["jobs"][index]}

    def answer(self, content: Mapping[str, Any], *, urgent: bool = False) -> None:
        """Write an answer. An urgent answer wakes the supervisor."""
        # Without ensure_ascii=False, escape sequences could make the metrics longer than `LARGEST_ANSWER` allows.
        line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            data, self._unwritten = bytes(self._unwritten) + line, bytearray()
            for start in range(0, len(data), _PIPE_ROOM):
                self._write(data[start : start + _PIPE_ROOM])
            if urgent:
                self._wake_supervisor()

    def report(self, content: Mapping[str, Any], *, urgent: bool = False) -> None:
        """Write a report without waiting for the supervisor. An urgent report wakes the supervisor at once.

        If the pipe of answers is full, a thread writes the report later.
        """
        with self._lock:
            self._unwritten += json.dumps(content).encode() + b"\n"
            self._write_reports()
            if self._unwritten and not self._is_emptying:
                self._is_emptying = True
                threading.Thread(target=self._empty, daemon=True).start()
            if (now := self._clock()) >= self._woken_at + REPORT_SECONDS or urgent:
                self._woken_at = now
                self._wake_supervisor()

    def expect_verdict(self, job: int, step: int) -> threading.Event:
        """Return an event that ends the trainer's wait for the verdict on a report.

        The caller must call this method before the method `report` sends the report of the step. If the trainer already
        waits for the verdict of an earlier step of the job, both waits end with the verdict of the later step.
        """
        (last_job, _), event = self._expected
        if last_job != job or event.is_set():
            event = threading.Event()
        self._expected = (job, step), event
        if self.stopped_job == job:
            event.set()
        return event

    def _take_verdict(self, verdict: Mapping[str, Any]) -> None:
        if verdict["is_stopped"]:
            self.leaving_job = verdict["job"] if verdict["leaves"] else None
            self.stopped_job = verdict["job"]
        (job, step), event = self._expected
        # The supervisor sends no verdicts after a verdict that stops the trial.
        if job == verdict["job"] and (step == verdict["step"] or verdict["is_stopped"]):
            event.set()

    def _write_reports(self) -> None:
        """Write the unwritten reports to the pipe of answers. Stop when the pipe of answers is full."""
        # If poll() reports that the pipe is writable, the pipe accepts `_PIPE_ROOM` bytes without blocking.
        while self._unwritten and self._answer_poll.poll(0):
            self._write(bytes(self._unwritten[:_PIPE_ROOM]))
            del self._unwritten[:_PIPE_ROOM]

    def _empty(self) -> None:
        """Write the unwritten reports. Before each write, wait until the pipe of answers has room."""
        poll = select.poll()
        poll.register(self._answers, select.POLLOUT)
        while self._is_emptying:
            poll.poll()
            with self._lock:
                self._write_reports()
                self._is_emptying = bool(self._unwritten)

    def _write(self, part: bytes) -> None:
        """Write at most `_PIPE_ROOM` bytes to the pipe of answers."""
        # After a wake-up, the supervisor reads all data in the pipe of answers, so the next write to the pipe of
        # answers cannot block forever.
        if self._unannounced + len(part) > _PIPE_ROOM:
            self._wake_supervisor()
        os.write(self._answers, part)
        self._unannounced += len(part)

    def _wake_supervisor(self) -> None:
        os.write(self._wake_ups, b"\n")
        self._unannounced = 0

    def _receive_batches(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                received = json.loads(line)
                if REPLY in received:
                    self.replies.put(received[REPLY])
                elif _LEAVE in received:
                    self.should_leave.set()
                elif VERDICT in received:
                    self._take_verdict(received[VERDICT])
                else:
                    self._batches.put(received)
        # The supervisor has ended, so no process needs the results of the jobs.
        self.at_end()
        os._exit(0)


def _receive(connection: socket.socket, size: int) -> bytes | None:
    """Receive without blocking. Return the received data, b"" at the end of the stream, or None if no data are
    available.
    """
    try:
        return connection.recv(size, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None


def _read(descriptor: int) -> bytes | None:
    """Read without blocking. Return the data, b"" at the end-of-file of the pipe, or None if no data are available."""
    try:
        return os.read(descriptor, _READ_SIZE)
    except BlockingIOError:
        return None
