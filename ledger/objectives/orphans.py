"""A reaper that ends the detached processes of an objective. The reaper works only on Linux.

The supervisor adopts the processes that are detached from the trainer. The trainer adopts the processes that are
detached from a command.

A process is detached if its parent process has ended. For example, a double fork creates a detached process. The
nearest ancestor that adopts detached processes becomes the new parent of a detached process. Without adoption, the
worker could not find a detached process, because a detached process may have its own session and its own process group.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
# On most kernels, the file /proc/thread-self/children exists and lists the children of the current thread.
_LIST = Path("/proc/thread-self/children")
# Maximum time in seconds that the supervisor waits for the end of killed processes. A killed process that waits for a
# disk may need more time to end.
LONGEST_WAIT = 5.0
_POLL_SECONDS = 0.002


class OrphanReaper:
    """An object that kills detached processes. A child of this process has started the detached processes, directly or
    indirectly.

    The child is a trainer or a command.

    While the reaper is active, the kernel makes this process the new parent of each detached process.

    On systems other than Linux, this class does nothing.

    Between `begin` and `stop`, this process must not start any process except the child.
    """

    def __init__(self) -> None:
        self._others: set[int] | None = None

    def begin(self) -> None:
        """Make this process the new parent of each descendant that becomes detached.

        Call this method before the child starts.
        """
        if sys.platform == "linux":
            self._others = _children()
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def stop(self) -> None:
        """End all adopted processes, and stop the adoption of detached processes.

        Call this method after the child has ended.
        """
        if self._others is not None:
            self.end(())
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0)
            self._others = None

    def end(self, remaining: Collection[int]) -> bool:
        """Kill all adopted processes and the descendants of the adopted processes.

        Return False if an adopted process is still running after `LONGEST_WAIT` seconds.

        Parameters
        ----------
        remaining : collection of int
            Ids of the child processes that this method must not end, such as the id of the trainer process.
        """
        if self._others is None:
            return True
        spared = self._others.union(remaining)
        deadline = time.monotonic() + LONGEST_WAIT
        # When an adopted process ends, the current process also adopts the children of the ended process. Therefore the
        # `while` loop also kills all descendants of the adopted processes.
        while (pids := _children() - spared) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except PermissionError:  # The process has changed its user.
                    spared.add(pid)
            if not _collect(pids):
                time.sleep(_POLL_SECONDS)
        return not pids

    def collect(self, remaining: Collection[int]) -> None:
        """If an adopted process has ended, remove the process from the kernel's process table."""
        if self._others is not None:
            _collect(_children() - self._others.union(remaining))


def _collect(pids: Collection[int]) -> bool:
    """Remove each ended child from the kernel's table of processes. Return whether any child has ended."""
    found = False
    for pid in pids:
        with suppress(ChildProcessError):
            found = os.waitpid(pid, os.WNOHANG)[0] == pid or found
    return found


def _children() -> set[int]:
    """Return the process ids of the children of this process."""
    if _LIST.exists():
        lists = []
        for task in Path("/proc/self/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # The thread has ended.
                lists.append((task / "children").read_text())
        return {int(pid) for pids in lists for pid in pids.split()}
    own, found = os.getpid(), set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                # In /proc/PID/stat, the name of the program ends at the last closing parenthesis. The name may contain
                # any character, even a parenthesis.
                if int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1]) == own:
                    found.add(int(folder.name))
    return found
