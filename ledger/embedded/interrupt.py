"""Finds the process of the embedded server, and asks this process to stop.

The process id in the file ``postmaster.pid`` is not reliable, because another process may have this process id now. On
Linux, this module asks the kernel for the process that listens on the server's socket. Only root and the user that runs
the server can create a socket in the socket's folder.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ledger.embedded.folders import data_folder, socket_file, socket_folder
from ledger.errors import LedgerError

_CREDENTIALS = struct.Struct("=iII")  # process id, user id and group id of the peer, from the kernel


def connect(home: Path) -> socket.socket | None:
    """Return a connection to the server's socket in `home`, or None if no process listens on the socket."""
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(os.fsencode(socket_file(socket_folder(home))))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        probe.close()
        return None
    except BaseException:
        probe.close()
        raise
    return probe


def interrupt(home: Path) -> bool:
    """Send SIGINT to the server of `home`, as `pg_ctl stop -m fast` does.

    The function does not call pg_ctl, because pg_ctl refuses to run as root.

    Returns
    -------
    bool
        Whether the function has sent the signal. The function sends no signal if the server is starting, is stopping,
        or has ended.

    Raises
    ------
    LedgerError
        The process that would get SIGINT is not the server of `home`, or is in another container. If the function
        raises LedgerError, the function has not sent a signal.
    """
    return _interrupt_listener(home) if sys.platform == "linux" else _interrupt_recorded(home)


def _interrupt_listener(home: Path) -> bool:
    listener = _listener(home)
    if listener is None:
        return False
    pid, user = listener
    if pid == 0:
        raise LedgerError(
            f"the server in {home} runs in another container: end all `ledger` commands in that container"
        )
    try:
        process = _process_descriptor(pid)
    except ProcessLookupError:
        return False
    try:
        # A process descriptor (pidfd) always refers to the same process, even after the end of this process. The server
        # may end before the call of pidfd_open, and a new process may get the server's process id. Therefore the code
        # checks, after the call of pidfd_open, whether the same process still listens on the socket.
        if _listener(home) != listener:
            return False
        data = data_folder(home)
        if user != data.stat().st_uid or not _can_work_in(pid, data):
            raise LedgerError(
                f"process {pid} listens on the socket of {home}, but does not use {data}: end process {pid} first"
            )
        with suppress(ProcessLookupError):
            if process is None:
                os.kill(pid, signal.SIGINT)
            else:
                signal.pidfd_send_signal(process, signal.SIGINT)
        return True
    finally:
        if process is not None:
            os.close(process)


def _listener(home: Path) -> tuple[int, int] | None:
    """Return the process id and the user id of the process that listens on the socket.

    The result is None if no process listens on the socket.
    """
    probe = connect(home)
    if probe is None:
        return None
    with probe:
        pid, user, _ = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return pid, user


def _process_descriptor(pid: int) -> int | None:
    """Return a descriptor of a process, or None if the kernel or a sandbox does not support process descriptors."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        return None


def _can_work_in(pid: int, data: Path) -> bool:
    """Return False if the working folder of the process `pid` is certainly not `data`, and True otherwise.

    The server's working folder is always its data folder.
    """
    try:
        return Path("/proc", str(pid), "cwd").samefile(data)
    except OSError:
        # Root in a container may lack the right to see the working folder of another user's process.
        return True


def _interrupt_recorded(home: Path) -> bool:
    """Send SIGINT to the process that ``postmaster.pid`` names.

    The function sends the signal only if the command line of the process contains the data folder.
    """
    data = data_folder(home)
    try:
        pid = int(data.joinpath("postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        # The file ``postmaster.pid`` can be missing or incomplete for two reasons. Either the server is still writing
        # the file ``postmaster.pid``, or the server is already stopping.
        return False
    command = ["ps", "-ww", "-o", "uid=,command=", "-p", str(pid)]
    shown = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace").stdout.strip()
    if not shown:
        return False
    user, _, words = shown.partition(" ")
    if user != str(data.stat().st_uid) or f" -D {data} " not in f"{words} ":
        raise LedgerError(
            f"{data / 'postmaster.pid'} contains the process id {pid}, but process {pid} is not the server of {home}:"
            " find the server with `ps`, and stop the server with `kill -INT`"
        )
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    return True
