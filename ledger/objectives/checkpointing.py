"""Keeps and restores checkpoints for the objective that runs in this process."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ledger.errors import LedgerError
from ledger.objectives import checkpoint_archive
from ledger.objectives.artifact_saving import pieces_of, saver_of
from ledger.objectives.reporting import checked_step, report_again

if TYPE_CHECKING:
    from ledger.objectives.context import Context


@dataclass(frozen=True)
class Checkpoint:
    """A trial's checkpoint that `Context.restore` has written into a folder.

    Attributes
    ----------
    step : int
        The step at which the objective kept the checkpoint.
    folder : Path
        A folder with the files of the checkpoint. The worker removes the folder when the attempt ends.

    Examples
    --------
    >>> import ledger
    >>> ledger.Checkpoint(step=7, folder=Path("restored")).step
    7
    """

    step: int
    folder: Path


@contextmanager
def keep(context: "Context", step: int) -> Iterator[Path]:
    """Yield an empty folder. After the ``with`` block, keep the folder's content as a checkpoint. `Context.checkpoint`
    describes the parameters."""
    number = checked_step("checkpoint", step)
    saver = saver_of("checkpoint")
    with tempfile.TemporaryDirectory() if saver is None else saver.trial_folder() as folder:
        yield Path(folder)
        keep_folder(context, number, Path(folder))


def keep_folder(context: "Context", step: int, folder: Path) -> None:
    """Keep the content of a folder as a checkpoint, and return when the ledger has recorded the checkpoint.

    Raises
    ------
    LedgerError
        The docstring of `Context.checkpoint` lists the causes.
    """
    saver = saver_of("checkpoint")
    try:
        with tempfile.TemporaryFile() as archive:
            checkpoint_archive.pack(folder, archive)
            size = archive.seek(0, os.SEEK_END)
            archive.seek(0)
            if saver is not None:
                saver.keep(context, step, size, pieces_of(archive.read, size))
    except OSError as error:
        # If an OSError has no error number, the objective itself has raised the error. For example, a signal handler of
        # the objective can raise a TimeoutError.
        if error.errno is None:
            raise
        raise LedgerError(f"checkpoint: the folder cannot be read or copied: {error}") from error


def restore(context: "Context") -> Checkpoint | None:
    """Write the last checkpoint of a trial into a folder. `Context.restore` describes the result."""
    if (saver := saver_of("restore")) is None:
        return None
    fault: str | None = None
    while True:
        try:
            with tempfile.TemporaryFile() as archive:
                if (found := saver.restore(context, archive, fault)) is None:
                    return None
                folder = Path(saver.until_end.enter_context(saver.trial_folder()))
                fault = _unpack(archive, folder)
        except OSError as error:
            if error.errno is None:
                raise
            raise LedgerError(f"restore: the checkpoint cannot be written: {error}") from error
        if fault is None:
            if found.reported is not None:
                report_again(context, *found.reported)
            return Checkpoint(found.step, folder)


def _unpack(archive: IO[bytes], folder: Path) -> str | None:
    """Unpack an archive. If the bytes are not an archive, return the reason."""
    try:
        checkpoint_archive.unpack(archive, folder)
    except checkpoint_archive.ArchiveError as error:
        return str(error)
    return None
