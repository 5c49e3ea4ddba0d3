"""Saves artifacts for the objective that runs in this process."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ledger.database.bounds import artifact_name_fault
from ledger.errors import LedgerError, UsageError
from ledger.objectives.reporting import INSIDE
from ledger.text import one_line

if TYPE_CHECKING:
    from ledger.objectives.context import Context

# Size of one piece of an artifact on its way to the worker, in bytes.
PIECE = 1 << 19


class Saver(Protocol):
    """A function that saves an artifact of the trial that runs in this process."""

    def __call__(self, context: "Context", name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Save an artifact of the trial of `context`, and return when the ledger has recorded the artifact.

        Raises
        ------
        LedgerError
            The artifact is not saved.
        """


_saver: tuple[int, Saver] | None = None


def use(saver: Saver) -> None:
    """Let `save` call a function, in this process but not in the processes that this process forks."""
    global _saver
    _saver = os.getpid(), saver


def save(context: "Context", name: str, content: Any) -> None:
    """Check an artifact, and save it if a worker runs the objective. `Context.save_artifact` describes the parameters.

    Raises
    ------
    UsageError
        The name is not allowed, or the content is neither bytes nor the path of a file.
    LedgerError
        The file cannot be read, or the artifact is not saved.
    """
    if fault := artifact_name_fault(name):
        raise UsageError(f"save_artifact: {fault}")
    if isinstance(content, bytes | bytearray | memoryview):
        data = bytes(content)
        _send(context, name, len(data), (data[first : first + PIECE] for first in range(0, len(data), PIECE)))
    elif isinstance(content, str | os.PathLike):
        _save_file(context, name, Path(content))
    else:
        raise UsageError(
            f"save_artifact: the content is of type {type(content).__name__}: give bytes, or the path of a file"
        )


def _save_file(context: "Context", name: str, path: Path) -> None:
    shown = one_line(str(path))
    no_file = UsageError(f"save_artifact: {shown} is not a file: write an archive, such as a zip file")
    try:
        file = open(path, "rb", buffering=0, opener=_open_without_waiting)  # noqa: SIM115
    except IsADirectoryError:
        raise no_file from None
    except (OSError, ValueError) as error:
        raise _unreadable(shown, error) from error
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise no_file
        _send(context, name, found.st_size, _pieces(file, found.st_size, shown))


def _unreadable(shown: str, error: Exception) -> LedgerError:
    return LedgerError(f"save_artifact: {shown} cannot be read: {error}")


def _open_without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK, a named pipe could make this process wait forever.
    return os.open(path, flags | os.O_NONBLOCK)


def _pieces(file: Any, size: int, shown: str) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file, because another process may still append to the file."""
    while size:
        try:
            piece = file.read(min(PIECE, size))
        except OSError as error:
            raise _unreadable(shown, error) from error
        if not piece:
            raise LedgerError(f"save_artifact: {shown} became shorter while it was read: write the whole file first")
        size -= len(piece)
        yield piece


def _send(context: "Context", name: str, size: int, pieces: Iterator[bytes]) -> None:
    if _saver is not None and _saver[0] == os.getpid():
        _saver[1](context, name, size, pieces)
    elif _saver is not None or INSIDE in os.environ:
        raise LedgerError(
            "save_artifact: this is not the process of the objective: return the file to the objective, and save the"
            " artifact there"
        )
    else:  # A test calls the objective without a worker.
        for _ in pieces:
            pass
