"""The file that a study trains on: fetched from the ledger once, and kept for the trainer."""

import tempfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from ledger.database import protocol
from ledger.errors import LedgerError
from ledger.text import one_line

# Bytes fetched by one statement; small enough for a slow network within the statement timeout.
PIECE = 1024 * 1024


class DatasetFile:
    """The dataset that was fetched last, in an unnamed temporary file that ends with this process.

    The file is created once. A trainer that inherits its descriptor sees the content of the next dataset too.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._sha256: str | None = None

    def fetch(self, data: Mapping[str, Any], call: Callable[..., Any], may_continue: Callable[[], bool]) -> bool:
        """Fetch a dataset, unless it was the last one fetched.

        Parameters
        ----------
        data : mapping
            The value of "data" in the study's objective, with "name" and "sha256".
        call : callable
            `Session.call`.
        may_continue : callable
            Called between pieces; False interrupts the fetch.

        Returns
        -------
        bool
            False if the fetch was interrupted.

        Raises
        ------
        LedgerError
            The ledger does not contain the dataset.
        """
        if self._sha256 == data["sha256"]:
            return True
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by close)
        self._sha256 = None
        self._file.truncate(0)
        self._file.seek(0)
        while True:
            piece = call(protocol.dataset, data["sha256"], self._file.tell(), PIECE)
            if piece is None:
                raise LedgerError(
                    f"dataset {one_line(data['name'])} (SHA-256 {data['sha256']}) is not in this ledger, although its"
                    " study is: restore the whole ledger from a backup, or start another study with the file"
                )
            self._file.write(piece)
            if len(piece) < PIECE:
                self._sha256 = data["sha256"]
                return True
            if not may_continue():
                return False

    def fileno(self) -> int:
        """Return the file's descriptor, which stays the same for this object's life. Call `fetch` first."""
        assert self._file is not None
        return self._file.fileno()

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()
        self._file = self._sha256 = None
