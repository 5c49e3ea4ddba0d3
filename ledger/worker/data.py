"""What a study trains on, where that is a file's content: fetched from the ledger once, and kept for the trainer."""

import tempfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from ledger.database import protocol
from ledger.errors import LedgerError
from ledger.text import one_line

# Of one statement, so that a slow network stays within its time.
PIECE = 1024 * 1024


class Data:
    """The dataset that was worked with last, in a file that has no name and goes with this process."""

    def __init__(self) -> None:
        # made once: whoever inherits it sees the next dataset, too
        self._file: IO[bytes] | None = None
        self._sha256: str | None = None

    def fetch(self, data: Mapping[str, Any], call: Callable[..., Any], go_on: Callable[[], bool]) -> bool:
        """Have the file that `data`, of an objective, names; False where `go_on` said no.

        Parameters
        ----------
        call : callable
            Session.call.
        go_on : callable
            Asked between pieces.

        Raises
        ------
        LedgerError
            The ledger does not have it.
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
                    f"dataset {one_line(data['name'])} (SHA-256 {data['sha256']}) is not in this ledger, though its"
                    " study is: restore the whole ledger from a backup, or begin another study with the file"
                )
            self._file.write(piece)
            if len(piece) < PIECE:
                self._sha256 = data["sha256"]
                return True
            if not go_on():
                return False

    def fileno(self) -> int:
        """Return the descriptor of the file that was fetched; the same one as long as this process lives."""
        assert self._file is not None
        return self._file.fileno()

    def close(self) -> None:
        """Remove it from this machine."""
        if self._file is not None:
            self._file.close()
        self._file = self._sha256 = None
