"""File locks of the embedded server.

Python closes its files in the programs that it starts. So they inherit only the lock that is passed to them on purpose.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def open_private(path: Path) -> IO[bytes]:
    """Open a file that only its owner can read, and create it if it is missing."""
    # Other users could lock a readable file. A symbolic link could lead root to any other file.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "r+b")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file within the block."""
    with open_private(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing is not enough: a child that another thread has just forked shares the open file until its exec.
            fcntl.flock(file, fcntl.LOCK_UN)


def share(file: IO[bytes]) -> None:
    """Take a shared lock of the open file."""
    fcntl.flock(file, fcntl.LOCK_SH)


def release_share(file: IO[bytes]) -> bool:
    """Release the shared lock of the open file, and return whether no other process holds one.

    No process can take a shared lock in between, because the caller holds ``server.lock``.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
    return True
