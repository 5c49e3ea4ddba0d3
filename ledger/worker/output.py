"""Reads the output of objectives.

The worker copies the output of objectives to the worker's own streams, up to a limit. The worker also keeps the last
part of each attempt's output.
"""

import ctypes
import io
import logging
import os
import re
import secrets
import select
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from ledger.database.bounds import LONGEST_OUTPUT
from ledger.logs import log_event

_log = logging.getLogger("ledger.worker")

# The worker keeps at most `KEPT` bytes from the end of an attempt's output. The database accepts a text of `KEPT`
# characters. A character consists of at least one byte, so the database accepts any text of `KEPT` bytes.
KEPT = LONGEST_OUTPUT
# When a trainer process dies, the error text of the attempt contains at most the last `_ERROR_KEPT` bytes of the
# trainer's standard error.
_ERROR_KEPT = 4096
# The worker copies the trainer's output to the worker's own output. The worker copies the first `BURST_BYTES` bytes
# without delay. After the first `BURST_BYTES` bytes, the worker copies up to `BYTES_PER_SECOND` bytes in each second.
# With the limit `BYTES_PER_SECOND`, the log of a worker grows by at most 1.4 GB per day.
BURST_BYTES, BYTES_PER_SECOND = 1 << 18, 1 << 14
_READ_SIZE = 1 << 16
# At the end of a job, the supervisor reads each output pipe of the trainer until the pipe is empty. The supervisor
# stops reading a pipe after about `_LARGEST_REST` bytes. Without the limit `_LARGEST_REST`, an objective with endless
# output would make the supervisor read forever.
_LARGEST_REST = 1 << 20
_IOLBF = 1
# The trainer writes a mark after the output of each job. A mark consists of a separator, the token of the trainer's
# output, the number of the job in 16 hexadecimal digits, and another separator. The separator is a control character
# that normal output does not contain.
_SEPARATOR = _MARK_END = b"\x1e"


class ByteRateLimiter:
    """A token bucket that limits the number of output bytes per second.

    All trainer processes of a worker share one token bucket.

    After the bucket has become empty, `take` returns 0 until the bucket is a quarter full. Therefore, if the trainer
    writes output faster than the limit, the copy of the output has a few long gaps instead of many short gaps.

    Parameters
    ----------
    burst : int
        Capacity of the bucket in bytes.
    rate : int
        Number of bytes that the bucket gains per second.

    Examples
    --------
    >>> limit = ByteRateLimiter(burst=100, rate=10)
    >>> limit.take(80, now=0.0), limit.take(80, now=0.0), limit.take(80, now=2.0), limit.take(80, now=4.0)
    (80, 20, 0, 40)
    """

    def __init__(self, burst: int = BURST_BYTES, rate: int = BYTES_PER_SECOND) -> None:
        self._burst, self._rate = burst, rate
        self._bytes, self._at, self._is_closed = float(burst), 0.0, False

    def is_open(self, now: float) -> bool:
        """Return whether `take` would return more than 0 at the time `now`. `now` is a value of `time.monotonic`."""
        if self._at < now:
            self._bytes = min(self._burst, self._bytes + (now - self._at) * self._rate)
            self._at = now
        self._is_closed = self._bytes < 1 or (self._is_closed and self._bytes < self._burst / 4)
        return not self._is_closed

    def take(self, size: int, now: float) -> int:
        """At the time `now`, remove up to `size` bytes from the bucket. Return the number of removed bytes."""
        if not self.is_open(now):
            return 0
        taken = min(size, int(self._bytes))
        self._bytes -= taken
        self._is_closed = taken < size
        return taken


class TrainerOutputReader:
    """A reader of the standard output and the standard error of one trainer process.

    A thread copies the trainer's output to the standard output and the standard error of this process, up to a limit.
    The thread also reads the output above the limit, so the limit never blocks the trainer.

    The output of an attempt is the text that the trainer process wrote during the attempt. The trainer process may
    already write the output of the next trial while this process still waits for the outcome of an earlier trial.
    Therefore the trainer writes a mark after the output of each trial (`OutputMarker`). The position of a mark is exact
    only if the trial writes all output to Python's `sys.stdout` and `sys.stderr`. Some output, such as the output of a
    C library, bypasses `sys.stdout` and `sys.stderr`. If the output of a short trial bypasses `sys.stdout` and
    `sys.stderr`, this class may assign the output to a later trial.

    Parameters
    ----------
    pipes : sequence of binary files
        The pipes from which this process reads the standard output and the standard error of the trainer.
    token : str
        Random text that identifies the marks in the trainer's output.
    limit : ByteRateLimiter
        Limit for the output that the thread copies to the streams of this process.
    """

    def __init__(self, pipes: Sequence[IO[bytes]], token: str, limit: ByteRateLimiter) -> None:
        self._pipes, self._limit = pipes, limit
        self._mark_start = _mark_start(token)
        self._mark = re.compile(re.escape(self._mark_start) + rb"([0-9a-f]{16})" + _MARK_END)
        # `_lock` protects all attributes that the code below this line sets. The thread releases `_lock` before the
        # thread writes output. If a program reads the worker's output slowly, a write can block.
        self._lock = threading.Lock()
        # A mark may arrive in several pieces. For each pipe, the list `_partial` contains the received part of an
        # incomplete mark.
        self._partial = [b""] * len(pipes)
        self._unmarked = _OutputTail()
        self._marked: dict[int, _OutputTail] = {}
        self._jobs = range(0)
        self._count = 0
        self._error = bytearray()
        self._to_pass_on: list[tuple[int, bytes]] = []
        self._ends_line = [True] * len(pipes)
        self._left_out = 0
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        self._wake_up, wake_input = os.pipe()
        os.set_blocking(wake_input, False)
        self._wake_input: int | None = wake_input
        self._thread = threading.Thread(target=self._run, name="output of the trainer", daemon=True)
        self._thread.start()

    def expect(self, jobs: range) -> None:
        """Prepare to read the output of the jobs with the given numbers.

        The method discards the outputs of earlier jobs, but keeps the output after the last mark.
        """
        with self._lock:
            self._jobs = jobs
            self._marked.clear()

    def take(self, jobs: Sequence[int], *, rest: bool) -> list[str]:
        """For each job in `jobs`, return the last `KEPT` bytes of the output, and delete the output.

        Parameters
        ----------
        jobs : sequence of int
            Numbers of the ended jobs. The sequence contains at least one number. The caller must already have read the
            outputs of all earlier jobs.
        rest : bool
            True if no later job is running. If `rest` is True, all output after the last mark belongs to the last job
            of `jobs`.
        """
        with self._lock:
            for index, pipe in enumerate(self._pipes):
                self._read(index, pipe, _LARGEST_REST)
            if rest and not self._unmarked.is_empty:
                self._marked.setdefault(jobs[-1], _OutputTail()).move(self._unmarked, range(len(self._pipes)))
            tails = [self._marked.pop(job, None) for job in jobs]
            if self._to_pass_on and self._wake_input is not None:
                # A write to `_wake_input` wakes the thread that copies the output to the streams of this process.
                with suppress(BlockingIOError):
                    os.write(self._wake_input, b"!")
        return ["" if tail is None else tail.text() for tail in tails]

    def last_error(self, seconds: float) -> str:
        """Return the last part of the trainer's standard error.

        The method waits until all processes have closed the trainer's standard output and standard error. The maximum
        wait is `seconds` seconds.
        """
        self._thread.join(seconds)
        with self._lock:
            return self._error.decode(errors="replace").strip()

    def _run(self) -> None:
        poll = select.poll()
        open_pipes = {pipe.fileno(): index for index, pipe in enumerate(self._pipes)}
        for descriptor in (*open_pipes, self._wake_up):
            poll.register(descriptor, select.POLLIN)
        while open_pipes:
            # If the thread has omitted output because of the limit, poll() returns after at most one second. After
            # poll() returns, the thread can log a note about the omitted output.
            ready = poll.poll(1000 if self._left_out else None)
            for descriptor, _event in ready:
                if descriptor == self._wake_up:
                    os.read(descriptor, _READ_SIZE)
                    continue
                index = open_pipes[descriptor]
                with self._lock:
                    is_open = self._read(index, self._pipes[index], _READ_SIZE)
                if not is_open:
                    poll.unregister(descriptor)
                    del open_pipes[descriptor]
            self._pass_on(is_end=not open_pipes)
        with self._lock:
            for pipe in self._pipes:
                pipe.close()
            assert self._wake_input is not None
            os.close(self._wake_input)
            self._wake_input = None
        os.close(self._wake_up)

    def _read(self, index: int, pipe: IO[bytes], most: int) -> bool:
        """Read data from a pipe, without waiting. Stop reading after about `most` bytes. Return False after all
        processes have closed the other end of the pipe.
        """
        while most > 0 and not pipe.closed:
            try:
                data = os.read(pipe.fileno(), _READ_SIZE)
            except BlockingIOError:
                return True
            most -= len(data)
            self._receive(index, data)
            if not data:
                return False
        return not pipe.closed

    def _receive(self, index: int, data: bytes) -> None:
        """Keep data from one pipe. If all processes have closed the other end of the pipe, `data` is empty."""
        is_end = not data
        data = self._partial[index] + data
        self._partial[index] = b""
        start = 0
        for mark in self._mark.finditer(data):
            self._keep(index, data[start : mark.start()])
            start = mark.end()
            job = int(mark[1], 16)
            if job in self._jobs:
                self._marked.setdefault(job, _OutputTail()).move(self._unmarked, (index,))
        rest = data[start:]
        possible = rest.rfind(self._mark_start[:1], max(0, len(rest) - len(self._mark_start) - 16))
        if not is_end and possible >= 0 and _could_begin(rest[possible:], self._mark_start):
            self._partial[index], rest = rest[possible:], rest[:possible]
        self._keep(index, rest)

    def _keep(self, index: int, data: bytes) -> None:
        if not data:
            return
        self._count += 1
        self._unmarked.append(self._count, index, data)
        if index == len(self._pipes) - 1:
            self._error += data
            del self._error[:-_ERROR_KEPT]
        allowed = self._limit.take(len(data), time.monotonic())
        if allowed:
            self._to_pass_on.append((index, data[:allowed]))
            self._ends_line[index] = data[allowed - 1 : allowed] == b"\n"
        if allowed < len(data):
            self._left_out += len(data) - allowed
            if not self._ends_line[index]:
                self._to_pass_on.append((index, b"\n"))
                self._ends_line[index] = True

    def _pass_on(self, *, is_end: bool = False) -> None:
        """Copy the trainer's output to the streams of this process, up to the limit.

        If the method has omitted bytes because of the limit, the method also logs the number of omitted bytes.
        """
        with self._lock:
            pieces, self._to_pass_on = self._to_pass_on, []
            left_out = self._left_out
            has_note = left_out > 0 and (is_end or self._limit.is_open(time.monotonic()))
            if has_note:
                self._left_out = 0
        for index, piece in pieces:
            stream = sys.stderr if index == len(self._pipes) - 1 else sys.stdout
            # os.write() fails if the process that reads the stream has ended. In a notebook, the stream has no file
            # descriptor.
            with suppress(OSError, ValueError, AttributeError):
                while piece:
                    piece = piece[os.write(stream.fileno(), piece) :]
        if has_note:
            message = (
                f"{left_out} bytes of the objective's output are left out here, because the objective writes more than"
                f" {BYTES_PER_SECOND} bytes per second; `ledger trial show` shows the end of a trial's output"
            )
            log_event(_log, "output left out", message, level=logging.WARNING, bytes=left_out)


class OutputMarker:
    """A writer of marks. A mark is a byte sequence that shows the supervisor where the output of one job ends.

    The trainer has one `OutputMarker`. After each job, the `OutputMarker` writes a mark to each stream that the job has
    used. The two streams are standard output and standard error. The supervisor's `TrainerOutputReader` reads the
    marks.

    Parameters
    ----------
    token : str
        The token of the supervisor's `TrainerOutputReader`.
    """

    def __init__(self, token: str) -> None:
        self._mark_start = _mark_start(token)
        self._streams: list[tuple[_WriteTrackingFile, io.TextIOWrapper]] = []
        for name in ("stdout", "stderr"):
            before = getattr(sys, name)
            file = _WriteTrackingFile(before.fileno(), "wb", closefd=False)
            # The stream writes each complete line immediately, so no complete line is lost when the trainer process
            # ends.
            stream = io.TextIOWrapper(io.BufferedWriter(file), before.encoding, before.errors, line_buffering=True)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
            self._streams.append((file, stream))
        # After the call of setvbuf(), C libraries also write each line to standard output immediately. The symbol
        # `stdout` does not exist in every C library.
        with suppress(ValueError, AttributeError):
            library = ctypes.CDLL(None)
            library.setvbuf(ctypes.c_void_p.in_dll(library, "stdout"), None, _IOLBF, ctypes.c_size_t(0))

    def end(self, job: int) -> None:
        """Write a mark to each stream to which the job has written."""
        for file, stream in self._streams:
            with suppress(OSError, ValueError):
                stream.flush()
                if file.has_written:
                    file.write(self._mark_start + f"{job:016x}".encode() + _MARK_END)
                    file.has_written = False


class _WriteTrackingFile(io.FileIO):
    """A file object whose attribute `has_written` is True after a write."""

    has_written = False

    def write(self, data: Any, /) -> int:
        self.has_written = True
        return super().write(data)


class _OutputTail:
    """A buffer of the last `KEPT` bytes that arrived from several streams, in the order of arrival."""

    def __init__(self) -> None:
        # Each piece of output is a tuple of three items. The first item is the position of the piece in the order of
        # arrival. The second item is the index of the stream, and the third item is the data.
        self._pieces: list[tuple[int, int, bytearray]] = []
        self._size = 0

    def append(self, number: int, stream: int, data: bytes) -> None:
        if self._pieces and self._pieces[-1][1] == stream:
            self._pieces[-1][2].extend(data)
        else:
            self._pieces.append((number, stream, bytearray(data)))
        self._size += len(data)
        self._trim()

    def move(self, other: "_OutputTail", streams: Sequence[int]) -> None:
        """Move the pieces of the given streams from `other` to this object."""
        self._pieces = sorted([*self._pieces, *(piece for piece in other._pieces if piece[1] in streams)])
        other._pieces = [piece for piece in other._pieces if piece[1] not in streams]
        for tail in (self, other):
            tail._size = sum(len(piece[2]) for piece in tail._pieces)
        self._trim()

    @property
    def is_empty(self) -> bool:
        return not self._pieces

    def text(self) -> str:
        return b"".join(data for _, _, data in self._pieces).decode(errors="replace")

    def _trim(self) -> None:
        while self._size > KEPT:
            first = self._pieces[0][2]
            excess = min(self._size - KEPT, len(first))
            del first[:excess]
            if not first:
                del self._pieces[0]
            self._size -= excess


def draw_token() -> str:
    """Return a new token for `TrainerOutputReader` and `OutputMarker`."""
    return secrets.token_hex(8)


def _mark_start(token: str) -> bytes:
    return _SEPARATOR + token.encode()


def _could_begin(rest: bytes, start: bytes) -> bool:
    """Return whether `rest` can be the first part of a mark that begins with `start`."""
    return rest.startswith(start) if len(rest) >= len(start) else start.startswith(rest)
