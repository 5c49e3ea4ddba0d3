"""When a worker is to leave: a first request leaves it the grace time, a second one none."""

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType


class Departure:
    """Requests to leave: SIGTERM, SIGINT, and the end of the leash.

    Parameters
    ----------
    grace : float
        Seconds from the first request in which a trial in hand may be finished.
    leash : bool
        Take the end of the file on standard input for a request: whoever started this worker has ended.

    Attributes
    ----------
    descriptors : list of int
        Can be read when there is a new request; to be waited for, and then looked at by `asked`.
    by : float
        The time of time.monotonic() at which to be gone; infinite until somebody asks.
    """

    def __init__(self, grace: float, *, leash: bool) -> None:
        self._grace = grace
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)
        self._leash = sys.stdin.fileno() if leash else None
        self.descriptors = [self._wake] if self._leash is None else [self._wake, self._leash]
        self.by = math.inf

    @property
    def asked(self) -> bool:
        """Whether anybody has asked."""
        for descriptor in wait(self.descriptors, 0):
            assert isinstance(descriptor, int)
            # of the leash nothing but its end counts
            requests = len(os.read(descriptor, 64)) if descriptor == self._wake else 0
            if descriptor == self._leash and not os.read(descriptor, 64):
                self.descriptors.remove(descriptor)
                requests = 1
            for _ in range(requests):
                self.by = time.monotonic() + self._grace if self.by == math.inf else -math.inf
        return self.by < math.inf

    @property
    def is_due(self) -> bool:
        """Whether the grace time is over."""
        return self.asked and time.monotonic() >= self.by

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to the signals; only in the main thread."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            os.write(self._woken, b"!")

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._wake)
            os.close(self._woken)
