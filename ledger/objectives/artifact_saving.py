"""Saves artifacts for the objective that runs in this process, and finds the saver of this process."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from ledger.database.bounds import artifact_name_fault
from ledger.errors import LedgerError, UsageError
from ledger.objectives.reporting import INSIDE
from ledger.text import one_line

if TYPE_CHECKING:
    from ledger.objectives.context import Context

# Number of bytes in one piece of an artifact. This process sends an artifact to the worker in pieces.
PIECE = 1 << 19


@dataclass(frozen=True)
class RestoredCheckpoint:
    """The step of a checkpoint, and the last report before the checkpoint.

    Attributes
    ----------
    step : int
    reported : (int, float or None) or None
        The step and the loss of the report. The loss is None if the reported value was not finite. `reported` is None
        if the trial has no rung behind it, or if the verdict at the last rung lets the trial go on.
    """

    step: int
    reported: tuple[int, float | None] | None


class Saver(Protocol):
    """Saves artifacts and checkpoints of the trial that runs in this process, and restores checkpoints.

    Attributes
    ----------
    until_end : ExitStack
        The context managers that this process closes when the attempt ends.
    """

    until_end: ExitStack

    def save(self, context: "Context", name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Save an artifact of the trial of `context`, and return when the ledger has recorded the artifact.

        Raises
        ------
        LedgerError
            The artifact is not saved.
        """

    def keep(self, context: "Context", step: int, size: int, pieces: Iterator[bytes]) -> None:
        """Save the archive of a checkpoint in the same way as `save` saves an artifact."""

    def restore(self, context: "Context", archive: IO[bytes], unusable: str | None) -> RestoredCheckpoint | None:
        """Write the archive of the last checkpoint into an empty file, and return the facts about the checkpoint.

        Return None if the trial has no readable checkpoint.

        Parameters
        ----------
        unusable : str or None
            The reason why the checkpoint of the previous call cannot be unpacked, as one line of at most 300
            characters. If `unusable` is not None, the method skips the checkpoint of the previous call.

        Raises
        ------
        LedgerError
            The worker's disk has no space for the archive.
        """

    def trial_folder(self) -> AbstractContextManager[str]:
        """Create a private folder, and remove the folder at the end of the ``with`` block."""

    def should_leave(self) -> bool:
        """Return whether the worker has received a request to stop."""


_saver: tuple[int, Saver] | None = None


def use(saver: Saver) -> None:
    """Set the saver that `saver_of` returns in this process. A forked child of this process has no saver."""
    global _saver
    _saver = os.getpid(), saver


def saver_of(method: str) -> Saver | None:
    """Return the saver of this process, or None if no worker runs the objective, as in a test.

    Parameters
    ----------
    method : str
        The name of the method of `Context` that needs the saver.

    Raises
    ------
    LedgerError
        This process is a child process of the objective's process.
    """
    if _saver is not None and _saver[0] == os.getpid():
        return _saver[1]
    if _saver is not None or INSIDE in os.environ:
        raise LedgerError(
            f"{method}: this is not the process of the objective: pass the data to the process of the objective, and"
            " call the method there"
        )
    return None


def pieces_of(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file in pieces.

    Raises
    ------
    EOFError
        The file has become shorter.
    """
    # The loop reads only `size` bytes, because another process may still append to the file.
    while size:
        if not (piece := read(min(PIECE, size))):
            raise EOFError
        size -= len(piece)
        yield piece


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
        _send(context, name, len(data), pieces_of(BytesIO(data).read, len(data)))
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
        # The kernel gives some files, such as those in /proc, the size 0.
        if found.st_size == 0 and file.read(1):
            raise LedgerError(f"save_artifact: {shown} has an unknown size: read the file, and give its bytes")
        _send(context, name, found.st_size, _pieces(file, found.st_size, shown))


def _unreadable(shown: str, error: Exception) -> LedgerError:
    return LedgerError(f"save_artifact: {shown} cannot be read: {error}")


def _open_without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK, a named pipe could make this process wait forever.
    return os.open(path, flags | os.O_NONBLOCK)


def _pieces(file: IO[bytes], size: int, shown: str) -> Iterator[bytes]:
    try:
        yield from pieces_of(file.read, size)
    except OSError as error:
        raise _unreadable(shown, error) from error
    except EOFError:
        raise LedgerError(
            f"save_artifact: {shown} became shorter while it was read: write the whole file first"
        ) from None


def _send(context: "Context", name: str, size: int, pieces: Iterator[bytes]) -> None:
    if (saver := saver_of("save_artifact")) is not None:
        saver.save(context, name, size, pieces)
        return
    for _ in pieces:
        pass
