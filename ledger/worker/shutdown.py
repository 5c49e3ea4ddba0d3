"""Requests to stop a worker: the first one starts the grace time, a second one ends it."""

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType


class Shutdown:
    """Collects requests to stop: SIGTERM, SIGINT and, if asked for, the end of standard input.

    Parameters
    ----------
    grace : float
        Seconds from the first request within which the trial in training may finish.
    exit_on_eof : bool
        Treat the end of standard input as a request: the process that started this worker has ended.

    Attributes
    ----------
    descriptors : list of int
        File descriptors that become readable when a request arrives. Wait for them, then read `is_requested`.
    deadline : float
        Value of time.monotonic() at which the worker must have stopped; infinite before the first request.
    """

    def __init__(self, grace: float, *, exit_on_eof: bool) -> None:
        self._grace = grace
        self._requests, self._request_input = os.pipe()
        for end in (self._requests, self._request_input):
            os.set_blocking(end, False)
        self._stdin = sys.stdin.fileno() if exit_on_eof else None
        self.descriptors = [self._requests] if self._stdin is None else [self._requests, self._stdin]
        self.deadline = math.inf

    @property
    def is_requested(self) -> bool:
        """Whether the worker was asked to stop. Reads the requests that have arrived."""
        for descriptor in wait(self.descriptors, 0):
            assert isinstance(descriptor, int)
            # the content of standard input has no meaning, only its end has
            requests = len(os.read(descriptor, 64)) if descriptor == self._requests else 0
            if descriptor == self._stdin and not os.read(descriptor, 64):
                self.descriptors.remove(descriptor)
                requests = 1
            for _ in range(requests):
                self.deadline = time.monotonic() + self._grace if self.deadline == math.inf else -math.inf
        return self.deadline < math.inf

    @property
    def is_overdue(self) -> bool:
        """Whether the worker was asked to stop and the grace time is over."""
        return self.is_requested and time.monotonic() >= self.deadline

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as requests within the block. Call it in the main thread, and once."""

        def request(_number: int, _frame: FrameType | None) -> None:
            os.write(self._request_input, b"!")

        before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._requests)
            os.close(self._request_input)
