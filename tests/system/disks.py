"""Small disks that a test can fill while a server writes to them. Only root can mount them."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ledger.embedded.account import server_account
from ledger.embedded.folders import make_private
from tests.system.accounts import is_root


class Disk:
    """A file system in memory.

    Attributes
    ----------
    mount : Path
        The folder at which the disk is mounted.
    folder : Path
        Folder on the disk, which belongs to the account of the servers.
    """

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.folder = make_private(mount / "server", server_account())

    def fill(self) -> None:
        """Write a file until no block of the disk is free."""
        with (self.mount / "filler").open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)) > 0:
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        (self.mount / "filler").unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """Mount a small disk, and unmount it at the end."""
    with tempfile.TemporaryDirectory(prefix="ledger-disk-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", folder], check=True)
        try:
            yield Disk(Path(folder))
        finally:
            # a process that was killed may still have a file open
            subprocess.run(["umount", "--lazy", folder], check=True)


@cache
def is_available() -> bool:
    """Whether this process may mount a disk, as root may outside of many containers."""
    if not is_root():
        return False
    try:
        with small_disk(1):
            return True
    except subprocess.CalledProcessError:
        return False
