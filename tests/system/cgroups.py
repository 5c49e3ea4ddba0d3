"""A mounted file system of cgroups (version 2), and a cgroup of a test in it."""

import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.system.accounts import is_root
from tests.system.programs import wait_until

# In the mounts of a new process only: mounts the cgroups, and looks for the file that ends a cgroup.
_PROBE = """
set -eu
mount -t cgroup2 none "$0"
test -w "$0/cgroup.procs"
made=$(mktemp -d -p "$0")
trap 'rmdir "$made"' EXIT
test -w "$made/cgroup.kill"
"""


@cache
def is_available() -> bool:
    """Whether this is root, who can mount cgroups and create one."""
    if not is_root():
        return False
    with tempfile.TemporaryDirectory() as folder:
        probe = ["unshare", "--mount", "sh", "-c", _PROBE, folder]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@contextmanager
def new_cgroup() -> Iterator[Path]:
    """Yield the folder of a new cgroup; at the end, its processes are ended."""
    mount = Path(tempfile.mkdtemp(prefix="ledger-cgroup-"))
    subprocess.run(["mount", "-t", "cgroup2", "none", str(mount)], check=True)
    group = mount / f"ledger-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        try:
            yield group
        finally:
            (group / "cgroup.kill").write_text("1")
            wait_until(lambda: "populated 0" in (group / "cgroup.events").read_text())
            for child in [path for path in group.iterdir() if path.is_dir()]:
                child.rmdir()
            group.rmdir()
    finally:
        subprocess.run(["umount", str(mount)], check=True)
        mount.rmdir()


def inside(group: Path) -> tuple[str, ...]:
    """Return the beginning of a command line that runs a program in a cgroup."""
    return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
