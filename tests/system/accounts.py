"""Programs that run as a user without rights, also if the tests run as root."""

import atexit
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# The user that such programs run as, if the tests run as root.
USER = pwd.getpwuid(65534).pw_name

# In the mounts of the new process only, every user can enter the folders above Python's installation.
_SCRIPT = """
set -eu
closed=$1 python=$2 spare=$3
shift 3
mount --bind "$python" "$spare"
mount -t tmpfs -o mode=755 tmpfs "$closed"
mkdir -p "$python"
mount --bind "$spare" "$python"
exec "$@"
"""


def is_root() -> bool:
    return os.geteuid() == 0


@cache
def can_change_user() -> bool:
    """Whether this is root, who may start programs as other users, which can then read Python."""
    return is_root() and subprocess.run([*with_python(), "true"], capture_output=True, check=False).returncode == 0


@cache
def with_python() -> tuple[str, ...]:
    """Return the beginning of a command line whose program can start as any user, although Python is in /root."""
    python = Path(sys.base_prefix).resolve()
    closed = next((folder for folder in reversed(python.parents) if not folder.stat().st_mode & 0o001), None)
    if closed is None:
        return ()
    spare = tempfile.mkdtemp(dir="/tmp")
    atexit.register(os.rmdir, spare)
    return ("unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(closed), str(python), spare)


def without_rights() -> tuple[str, ...]:
    """Return the beginning of a command line that runs a program as a user without rights."""
    if not is_root():
        return ()
    entry = pwd.getpwnam(USER)
    return (*with_python(), "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a new folder in which the user without rights can work."""
    folder = Path(tempfile.mkdtemp(prefix="ledger-", dir="/tmp"))
    try:
        if is_root():
            shutil.chown(folder, USER)
        yield folder
    finally:
        shutil.rmtree(folder)
