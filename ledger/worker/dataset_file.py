"""The dataset of a study, which a worker fetches from the ledger once and keeps in a file for its trainer."""

import tempfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from ledger.database import protocol
from ledger.text import one_line
from ledger.worker.refusals import Refused

# Number of bytes that one statement fetches. Even a slow network can transfer this number of bytes within the statement
# timeout.
PIECE = 1024 * 1024


class DatasetFile:
    """The last fetched dataset, in an unnamed temporary file. The file disappears when this process ends.

    Each fetched dataset replaces the previous dataset in the same file. A trainer that has inherited the file's
    descriptor can therefore read the next dataset, too.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._sha256: str | None = None

    def fetch(self, data: Mapping[str, Any], call: Callable[..., Any], may_continue: Callable[[], bool]) -> bool:
        """Fetch a dataset, unless the file already contains this dataset.

        Parameters
        ----------
        data : mapping
            The value of "data" in the study's objective, with the keys "name" and "sha256".
        call : callable
            The method `Session.call`.
        may_continue : callable
            Function that `fetch` calls after each piece of the dataset. The fetch stops if the function returns False.

        Returns
        -------
        bool
            False if `may_continue` has stopped the fetch, else True.

        Raises
        ------
        Refused
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
                raise Refused(
                    f"dataset {one_line(data['name'])} (SHA-256 {data['sha256']}) of the study is missing in this"
                    " ledger: restore the whole ledger from a backup, or start another study with the file"
                )
            self._file.write(piece)
            if len(piece) < PIECE:
                self._sha256 = data["sha256"]
                return True
            if not may_continue():
                return False

    def fileno(self) -> int:
        """Return the file's descriptor, which is the same for all datasets. Call `fetch` before this method."""
        assert self._file is not None
        return self._file.fileno()

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()
        self._file = self._sha256 = None
