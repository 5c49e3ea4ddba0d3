"""Finds the process of the embedded server, and asks it to stop.

The file ``postmaster.pid`` is not evidence, because any other process may now have the process id in it. On Linux, the
kernel names the process that listens on the server's socket. Only the server's user and root can create a socket there.
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
    """Send SIGINT to the server of `home`, as `pg_ctl stop -m fast` does. pg_ctl itself refuses to run as root.

    Returns
    -------
    bool
        False if the server is not ready for the signal, because it starts or has just ended.

    Raises
    ------
    LedgerError
        Another process has the place of the server. The function has sent no signal.
    """
    return _interrupt_listener(home) if sys.platform == "linux" else _interrupt_recorded(home)


def _interrupt_listener(home: Path) -> bool:
    listener = _listener(home)
    if listener is None:
        return False
    pid, user = listener
    if pid == 0:
        raise LedgerError(f"the server in {home} runs in another container: end the last `ledger` command there")
    try:
        process = _process_descriptor(pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor refers to one process, also after its end. The process still listens now, so the descriptor
        # does not refer to a later process with the same id.
        if _listener(home) != listener:
            return False
        data = data_folder(home)
        if user != data.stat().st_uid or not _can_work_in(pid, data):
            raise LedgerError(
                f"process {pid} listens on the socket of {home}, but does not use {data}: end that process first"
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
    """Return the ids of the process that listens on the socket and of its user, as the kernel gives them."""
    probe = connect(home)
    if probe is None:
        return None
    with probe:
        pid, user, _ = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return pid, user


def _process_descriptor(pid: int) -> int | None:
    """Return a descriptor of a process. Return None if the kernel or a sandbox does not support such descriptors."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        return None


def _can_work_in(pid: int, data: Path) -> bool:
    """Return False if a process is known to have another working folder than `data`, which a server never has."""
    try:
        return Path("/proc", str(pid), "cwd").samefile(data)
    except OSError:
        # Root in a container may lack the right to see the working folder of another user's process.
        return True


def _interrupt_recorded(home: Path) -> bool:
    """Send SIGINT to the process in ``postmaster.pid`` if its command line names the data folder."""
    data = data_folder(home)
    try:
        pid = int(data.joinpath("postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        # The server is writing the file, or is already stopping.
        return False
    command = ["ps", "-ww", "-o", "uid=,command=", "-p", str(pid)]
    shown = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace").stdout.strip()
    if not shown:
        return False
    user, _, words = shown.partition(" ")
    if user != str(data.stat().st_uid) or f" -D {data} " not in f"{words} ":
        raise LedgerError(
            f"process {pid} of {data / 'postmaster.pid'} is not the server of {home}: stop the server yourself"
        )
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    return True
