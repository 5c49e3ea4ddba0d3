"""File locks of the embedded server.

A program that Python starts inherits no open files by default. Therefore each program of the server inherits only the
lock file that this package passes to the program.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ledger.embedded.ownership import open_file


def open_private(path: Path) -> IO[bytes]:
    """Open a file that only its owner can read. Create the file if it does not exist.

    Raises
    ------
    LedgerError
        The file is a symbolic link, belongs to another user, or can be written by other users.
    """
    # The lock file is private, because a user who can read a file can also lock the file.
    return os.fdopen(open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "r+b")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file during the ``with`` block."""
    with open_private(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # The code must release the lock explicitly, because the kernel may keep the lock after the lock file is
            # closed. If another thread has just forked a child process, the child process shares the open lock file.
            # The child process shares the lock file until the child process calls exec.
            fcntl.flock(file, fcntl.LOCK_UN)


def share(file: IO[bytes]) -> None:
    """Take a shared lock on an open file."""
    fcntl.flock(file, fcntl.LOCK_SH)


def release_share(file: IO[bytes]) -> bool:
    """Release the shared lock on an open file. Return True if no other process holds a shared lock on the file.

    No process can take a shared lock on the file during the call, because the caller holds the lock on ``server.lock``.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
    return True
