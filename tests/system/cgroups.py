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

# Each process of the bomb forks, and ends soon after. The bomb has a user of its own, for which the kernel permits at
# most 20 processes, and it ends by itself after 30 s. Its first process adopts and collects the others. Each process
# writes a dot to an open file. The arguments are the number of this file's descriptor and the id of the user.
FORK_BOMB = """
import ctypes, os, resource, signal, sys, time
user = int(sys.argv[2])
ctypes.CDLL(None).prctl(36, 1)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_NPROC, (20, 20))
os.setgroups([])
os.setgid(user)
os.setuid(user)
end = time.monotonic() + 30
if os.fork():
    time.sleep(30)
    os._exit(0)
while time.monotonic() < end:
    try:
        if os.fork():
            time.sleep(0.02)
            os._exit(0)
        os.setsid()
        os.write(int(sys.argv[1]), b".")
    except BlockingIOError:
        pass
os.write(int(sys.argv[1]), b"ended by itself")
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
