"""Requests to stop a worker.

The grace time begins with the first request to stop. A second request to stop ends the grace time.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType


class StopRequests:
    """The received requests to stop a worker, and the latest time at which the worker must stop.

    Each of three events is a request to stop: the signal SIGTERM, the signal SIGINT, and the end of standard input.

    Parameters
    ----------
    grace : float
        Grace time in seconds. In the grace time after the first request to stop, the worker can finish the running
        trial.
    exit_on_eof : bool
        Whether the end of standard input is a request to stop. Standard input ends when the parent process ends.

    Attributes
    ----------
    descriptors : list of int
        File descriptors that become readable when a request to stop arrives. The caller waits until a descriptor is
        readable. After the wait, the caller reads `is_requested`.
    deadline : float
        The latest time at which the worker must stop, as a value of `time.monotonic`. The deadline is infinite before
        the first request to stop.
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
        """Whether a request to stop the worker has arrived.

        Each use of `is_requested` reads all requests to stop that have arrived since the previous use.
        """
        for descriptor in wait(self.descriptors, 0):
            assert isinstance(descriptor, int)
            # The end of standard input is a request to stop. The worker ignores the content of standard input.
            requests = len(os.read(descriptor, 64)) if descriptor == self._requests else 0
            if descriptor == self._stdin and not os.read(descriptor, 64):
                self.descriptors.remove(descriptor)
                requests = 1
            for _ in range(requests):
                self.deadline = time.monotonic() + self._grace if self.deadline == math.inf else -math.inf
        return self.deadline < math.inf

    @property
    def is_overdue(self) -> bool:
        """Whether the grace time after a request to stop has ended."""
        return self.is_requested and time.monotonic() >= self.deadline

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Treat SIGTERM and SIGINT as requests to stop during the ``with`` block.

        Only the main thread may call this method. Call this method only once for each `StopRequests` object.
        """

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
