"""A clock that a test can set while processes run. Only the time of day jumps, as on a real machine."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.system.programs import alive

# Debian's package libfaketime, in the folder of any architecture.
_LIBRARIES = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))


def is_available() -> bool:
    return bool(_LIBRARIES)


class Clock:
    """The clock of the processes that start with the variables of `environment`, and of their child processes."""

    def __init__(self) -> None:
        # a server without root's rights reads the file, too
        self._folder = tempfile.TemporaryDirectory(prefix="ledger-clock-", dir="/tmp")
        Path(self._folder.name).chmod(0o755)
        self._file = Path(self._folder.name) / "offset"
        self.set(0)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: int) -> None:
        """Set the clock to this many seconds after the clock of this machine, for all running processes at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self._file)

    def close(self) -> None:
        """Remove the file, and what libfaketime has left of processes that were killed."""
        self._folder.cleanup()
        for file in Path("/dev/shm").glob("*faketime_s*_*"):
            if not alive(int(file.name.rpartition("_")[2])):
                # another user's tests may use libfaketime, too
                with suppress(OSError):
                    file.unlink()
