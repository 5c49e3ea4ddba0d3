"""The dataset of a study.

A worker fetches the dataset only once from the ledger, and stores the dataset in a file for the trainer.
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ledger.database import protocol
from ledger.objectives.form import FileReference
from ledger.text import one_line
from ledger.worker.refusals import ObjectiveLoadError

# Number of bytes of a dataset that one SQL statement fetches. Even a slow network can transfer `PIECE` bytes within the
# statement timeout.
PIECE = 1024 * 1024


class DatasetFile:
    """An unnamed file with the dataset that a worker fetched last.

    The kernel deletes the file when no process has the file open.

    On Linux, the file is a memory file, and no process can change the file after the fetch. If the system cannot create
    a memory file, the file is a temporary file. Other processes get only read-only descriptors of the temporary file.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        # Read-only descriptor of a temporary file. If the file is a memory file, `_reader` is None.
        self._reader: int | None = None
        self._sha256: str | None = None

    def fetch(self, data: FileReference, call: Callable[..., Any], may_continue: Callable[[], bool]) -> bool:
        """Fetch a dataset. If the file already contains the dataset, do nothing.

        Parameters
        ----------
        data : FileReference
            The reference to the data file that contains the dataset.
        call : callable
            The method `ReconnectingSession.call`.
        may_continue : callable
            Function that `fetch` calls after each piece of the dataset. The fetch stops if `may_continue` returns
            False.

        Returns
        -------
        bool
            False if `may_continue` has stopped the fetch, and True otherwise.

        Raises
        ------
        ObjectiveLoadError
            The ledger does not contain the dataset, or this machine cannot store the dataset.
        """
        if self._sha256 == data.sha256:
            return True
        # Each dataset gets a new file, because a trainer process of an earlier study may still read the old file.
        self.close()
        try:
            return self._fetch(data, call, may_continue)
        except OSError as error:
            raise _not_stored(data.name, error) from error

    def keep(self, data: FileReference, content: bytes) -> None:
        """Store a dataset that this process already has in memory.

        Raises
        ------
        ObjectiveLoadError
            This machine cannot store the dataset.
        """
        self.close()
        try:
            self._file, self._reader = _create()
            _write(self._file, content)
            self._end(data.sha256)
        except OSError as error:
            raise _not_stored(data.name, error) from error

    def open(self) -> int:
        """Return a new read-only descriptor of the dataset's file. The caller must close the descriptor.

        Call `fetch` or `keep` before this method. All descriptors of a temporary file share one file position. Each
        descriptor of a memory file has its own file position.
        """
        assert self._file is not None
        if self._reader is not None:
            return os.dup(self._reader)
        return os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Delete the file. After a call of `close`, the method `fetch` fetches the dataset from the ledger again."""
        if self._file is not None:
            self._file.close()
        if self._reader is not None:
            os.close(self._reader)
        self._file = self._reader = self._sha256 = None

    def _fetch(self, data: FileReference, call: Callable[..., Any], may_continue: Callable[[], bool]) -> bool:
        self._file, self._reader = _create()
        while True:
            piece = call(protocol.dataset, data.sha256, self._file.tell(), PIECE)
            if piece is None:
                raise ObjectiveLoadError(
                    f"dataset {one_line(data.name)} (SHA-256 {one_line(data.sha256)}) of the study is missing in this"
                    " ledger: restore the whole ledger from a backup, or start another study with the file"
                )
            _write(self._file, piece)
            if len(piece) < PIECE:
                self._end(data.sha256)
                return True
            if not may_continue():
                return False

    def _end(self, sha256: str) -> None:
        """Record that the file is complete."""
        assert self._file is not None
        if self._reader is None:
            _seal(self._file.fileno())
        self._sha256 = sha256


def _not_stored(name: str, error: OSError) -> ObjectiveLoadError:
    return ObjectiveLoadError(
        f"dataset {one_line(name)} of the study cannot be stored on this machine ({error.strerror}): free some"
        " memory, or some space in the folder for temporary files"
    )


def _create() -> tuple[IO[bytes], int | None]:
    """Return a pair of a new file and a descriptor.

    Usually, the file is a memory file, and the descriptor is None. If the system cannot create a memory file, the file
    is a temporary file, and the descriptor is a read-only descriptor of the temporary file.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # The kernel or a sandbox may refuse memory files.
            flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
            return open(os.memfd_create("dataset of a study", flags), "w+b", buffering=0), None  # noqa: PTH123
    descriptor, name = tempfile.mkstemp()
    try:
        return open(descriptor, "w+b", buffering=0), os.open(name, os.O_RDONLY | os.O_CLOEXEC)  # noqa: PTH123
    finally:
        Path(name).unlink()


def _write(file: IO[bytes], piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def _seal(descriptor: int) -> None:
    """Make a memory file read-only for all processes, even for processes that have already opened the file."""
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
