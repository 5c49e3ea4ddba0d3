"""The state of this process that the program sets: the handler of SIGTERM, and the log handlers."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored() -> Iterator[None]:
    """Restore the signal handler and the log handlers at the end of the block."""
    handler = signal.getsignal(signal.SIGTERM)
    logger = logging.getLogger("ledger")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        logger.handlers[:], logger.level, logger.propagate = before
