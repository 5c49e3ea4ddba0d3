"""The control group (cgroup, version 2) of a trainer, on Linux.

The kernel can end all processes of a cgroup in one step, even if some of the processes are forking. A process stays in
its cgroup even if the process creates its own session, or if the parent of the process ends.
"""

import fcntl
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

_PREFIX = "ledger-trainer-"
# Before this process locks the new folder, another worker can mistake the folder for an abandoned folder. If another
# worker removes the new folder, the supervisor creates another folder.
_TRIES = 5
# This process waits at most `_LONGEST_WAIT` seconds until the killed processes of a cgroup have ended. A killed process
# may need more time to end if the process is waiting for a disk. If the processes of a cgroup have not ended after
# `_LONGEST_WAIT` seconds, another worker removes the cgroup when this other worker starts.
_LONGEST_WAIT = 2.0
_POLL_SECONDS = 0.002


class TrainerCgroup:
    """A Linux control group (cgroup) that contains the trainer process and all processes that the trainer starts.

    The cgroup is a folder below the cgroup of this process. This process holds a lock on the folder until the cgroup is
    removed. If SIGKILL ends this process, the kernel releases the lock, so `end_abandoned` can find and lock the
    folder.

    If this process cannot create a cgroup, this class does nothing. To create a cgroup, a process needs Linux with a
    kernel of version 5.14 or newer. The process also needs a writable mount of the cgroup file system, and write
    permission for the folder of the process's own cgroup.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._descriptor = -1

    @property
    def exists(self) -> bool:
        """Whether the trainer has its own cgroup."""
        return self._folder is not None

    def contain(self, pid: int) -> None:
        """Move a process into a new cgroup. The process must not have children yet, and must not have a job yet."""
        for parent in _own_folders():
            with suppress(OSError):
                self._folder, self._descriptor = _create(parent)
                try:
                    _write(self._descriptor, "cgroup.procs", str(pid))
                except OSError:
                    self.remove()
                else:
                    return

    def kill(self) -> None:
        """Kill all processes of the cgroup."""
        if self._folder is not None:
            with suppress(OSError):
                _write(self._descriptor, "cgroup.kill", "1")

    def remove(self) -> None:
        """Wait until the killed processes of the cgroup have ended, and remove the cgroup."""
        if self._folder is not None:
            _remove(self._folder, time.monotonic() + _LONGEST_WAIT)
            os.close(self._descriptor)
            self._folder = None


def end_abandoned() -> None:
    """If SIGKILL has ended a supervisor, kill the processes of the supervisor's trainer, and remove the trainer's
    cgroup.

    The function finds only trainers whose supervisor ran in the cgroup of this process. The function ends only cgroups
    that belong to the user of this process or to root.
    """
    deadline = time.monotonic() + _LONGEST_WAIT
    for parent in _own_folders():
        with suppress(OSError):
            for folder in list(parent.iterdir()):
                if folder.name.startswith(_PREFIX):
                    with suppress(OSError):
                        _end_abandoned(folder, deadline)


def folders_of_own_cgroup(mounts: str, cgroups: str) -> list[Path]:
    """Return the folders that represent the cgroup of a process in the mounted cgroup file systems.

    Parameters
    ----------
    mounts, cgroups : str
        Content of the file `/proc/PID/mountinfo`, and content of the file `/proc/PID/cgroup`.

    Returns
    -------
    list of Path
        The folders of the process's cgroup (version 2). The list has one folder for each mount of the cgroup file
        system.

    Examples
    --------
    >>> mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
    >>> [str(folder) for folder in folders_of_own_cgroup(mounts, "0::/work.slice")]
    ['/sys/fs/cgroup/work.slice']
    """
    found = []
    for own in [line.removeprefix("0::") for line in cgroups.split("\n") if line.startswith("0::/")]:
        for line in mounts.split("\n"):
            # In a line of the file mountinfo, the number of fields before the separator "-" varies.
            before, _, after = line.partition(" - ")
            if after.split(" ")[0] == "cgroup2":
                root, point = (_unescape(field) for field in before.split(" ")[3:5])
                # A path with ".." points to a folder outside the cgroup namespace of the process.
                if PurePosixPath(own).is_relative_to(root) and ".." not in PurePosixPath(own).parts:
                    found.append(Path(point) / PurePosixPath(own).relative_to(root))
    return found


def _unescape(field: str) -> str:
    """In a text from /proc/PID/mountinfo, replace each escape sequence by the character that the escape sequence
    represents. For example, "\\040" is a space.
    """
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _own_folders() -> list[Path]:
    """Return the folders of this process's cgroup. Omit a folder if this process has no permission to move processes
    into the folder.
    """
    try:
        mounts, cgroups = (os.fsdecode(Path("/proc/self", name).read_bytes()) for name in ("mountinfo", "cgroup"))
    except OSError:
        return []
    # The test with os.access() also excludes a folder that another mount hides.
    return [folder for folder in folders_of_own_cgroup(mounts, cgroups) if os.access(folder / "cgroup.procs", os.W_OK)]


def _create(parent: Path) -> tuple[Path, int]:
    """Create and lock a folder. Return the path of the folder, and the file descriptor that holds the lock."""
    for _ in range(_TRIES):
        folder = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        # The mode 0o700 permits only the user of this process to open the folder. If the mode permitted other users to
        # open the folder, another user could lock the folder.
        folder.mkdir(0o700)
        with suppress(OSError):
            descriptor = _lock(folder)
            try:
                os.stat("cgroup.kill", dir_fd=descriptor)
            except OSError:
                os.close(descriptor)
            else:
                return folder, descriptor
        with suppress(OSError):
            folder.rmdir()
    raise OSError("the kernel does not support cgroup.kill, or other workers removed each new cgroup folder")


def _end_abandoned(folder: Path, deadline: float) -> None:
    descriptor = _lock(folder)
    try:
        if os.fstat(descriptor).st_uid in (0, os.geteuid()):
            _write(descriptor, "cgroup.kill", "1")
            _remove(folder, deadline)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Lock a folder, and return the file descriptor that holds the lock.

    Raises
    ------
    OSError
        Another process holds the lock, or this process cannot open the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write(folder: int, name: str, text: str) -> None:
    """Write a text to an existing file of a folder. `folder` is a file descriptor of the folder."""
    descriptor = os.open(name, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _remove(folder: Path, deadline: float) -> None:
    """Remove a cgroup whose processes were killed.

    The kernel refuses to remove a cgroup with processes. Therefore the function tries the removal again until the
    processes have ended, or until the time `deadline`. `deadline` is a value of `time.monotonic`.
    """
    while not _is_removed(folder, deadline) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_removed(folder: Path, deadline: float) -> bool:
    """Try to remove a cgroup and its child cgroups. An objective may have created child cgroups."""
    found = [folder]
    # The loop appends the subfolders of each folder to the list `found`. Therefore each cgroup precedes its child
    # cgroups in the list.
    for place in found:
        if time.monotonic() > deadline:
            break
        with suppress(OSError):
            found += [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    for place in reversed(found):
        try:
            place.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return True
