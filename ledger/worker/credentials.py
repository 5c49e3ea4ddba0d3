"""Protects the credentials of the database from objectives.

By default, an objective runs as the same user as the worker. Through /proc, a process can read the environment, the
memory and the open files of all other processes of the same user. Therefore a process of the ledger keeps the
credentials only in memory, and makes the memory unreadable for other processes of the same user. If an objective runs
as root, unreadable memory does not protect the credentials, because root can read the memory of every process.
"""

import ctypes
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from ledger.errors import LedgerError

# Names of environment variables. Each variable contains a credential, or the path of a file with a credential.
VARIABLES = ("DATABASE_URL", "LEDGER_DATABASE_URL_FILE", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
# Environment variable that contains the number of a file descriptor. A new process reads its credentials from the file
# descriptor with this number.
_DESCRIPTOR = "LEDGER_CREDENTIALS_FD"
_URL_OPTION = "--database-url"
# `_unreadable_blocks` is the number of running ``with unreadable()`` blocks. `_readable_before` is True if other
# processes could read the memory of this process before the first ``with unreadable()`` block began.
_unreadable_blocks = 0
_readable_before = True
_lock = threading.Lock()
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def conceal() -> None:
    """Remove the credentials from the environment and the command line that /proc shows for this process.

    For each process, /proc shows the environment and the command line with which the process started. Therefore
    `conceal` starts the program again in the same process. After the restart, the program reads the credentials from an
    unnamed file. After the restart, `os.environ` and `sys.argv` have the same values as before. Another Python program,
    such as pytest, can call a command of `ledger` as a function. If another Python program calls a command of `ledger`,
    `conceal` does nothing.
    """
    arguments = sys.argv[1:]
    if not arguments or sys.orig_argv[-len(arguments) :] != arguments or not sys.executable:
        return
    if _DESCRIPTOR in os.environ:
        _receive()
    else:
        given = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        shown = _without_url(arguments)
        if given or shown != arguments:
            with _unnamed_file({"environment": given, "arguments": arguments}) as file:
                os.set_inheritable(file.fileno(), True)
                program = [sys.executable, *sys.orig_argv[1 : -len(arguments)], *shown]
                os.execve(  # noqa: S606 (a shell is not needed)
                    sys.executable, program, {**without(os.environ), _DESCRIPTOR: str(file.fileno())}
                )
    _set_readable(False)


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the environment without credentials.

    The function removes each variable that contains a credential. The function also removes each variable that contains
    the path or the descriptor of a file with credentials.

    Examples
    --------
    >>> without({"HOME": "/root", "PGPASSWORD": "secret"})
    {'HOME': '/root'}
    """
    return {name: value for name, value in environment.items() if name not in (*VARIABLES, _DESCRIPTOR)}


@contextmanager
def handed_over(url: str) -> Iterator[tuple[dict[str, str], int]]:
    """Prepare the credentials for a new process of the program `ledger`. The new process must call `conceal`.

    Parameters
    ----------
    url : str
        URL of the database.

    Yields
    ------
    tuple of dict and int
        Additional environment variables for the new process, and a file descriptor that the new process must inherit.
        In addition, the new process needs the environment variables that the function `without` returns. The descriptor
        is open during the ``with`` block.
    """
    of_libpq = {name: os.environ[name] for name in VARIABLES if name.startswith("PG") and name in os.environ}
    with _unnamed_file({"environment": {**of_libpq, "DATABASE_URL": url}}) as file:
        yield {_DESCRIPTOR: str(file.fileno())}, file.fileno()


@contextmanager
def unreadable() -> Iterator[None]:
    """Prevent other processes of this user from reading the memory of this process during the ``with`` block.

    Several threads may run `unreadable` blocks at the same time.
    """
    global _unreadable_blocks, _readable_before
    with _lock:
        if _unreadable_blocks == 0:
            _readable_before = _set_readable(False)
        _unreadable_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _unreadable_blocks -= 1
            if _unreadable_blocks == 0 and _readable_before:
                _set_readable(True)


def _receive() -> None:
    descriptor = os.environ.pop(_DESCRIPTOR)
    try:
        with os.fdopen(int(descriptor), "rb") as file:
            content = json.load(file)
        os.environ.update(content["environment"])
    except (OSError, ValueError, TypeError, KeyError):
        raise LedgerError(
            f"the variable {_DESCRIPTOR}={descriptor} does not name a file with credentials: unset the variable"
        ) from None
    sys.argv[1:] = content.get("arguments", sys.argv[1:])


def _without_url(arguments: Sequence[str]) -> list[str]:
    """Return a copy of command-line arguments. In the copy, a placeholder replaces the value of the option
    `--database-url`."""
    shown = list(arguments)
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{_URL_OPTION}="):
            shown[index] = f"{_URL_OPTION}=hidden"
        elif index and arguments[index - 1] == _URL_OPTION:
            shown[index] = "hidden"
    return shown


@contextmanager
def _unnamed_file(content: object) -> Iterator[IO[bytes]]:
    """Yield an unnamed file with the JSON text of `content`.

    The file has no name, so no other process can open the file by a path.
    """
    in_memory = sys.platform == "linux"
    with os.fdopen(os.memfd_create("credentials"), "w+b") if in_memory else tempfile.TemporaryFile() as file:
        file.write(json.dumps(content).encode())
        file.seek(0)
        yield file


def _set_readable(readable: bool) -> bool:
    """Allow or forbid other processes of this user to read the memory of this process.

    Return True if other processes of this user could read the memory before the call.

    While the memory is unreadable, the kernel does not write a core dump of this process. The kernel also refuses to
    attach a debugger of this user to this process. If this process starts another program by execve(), the kernel makes
    the memory readable again. On systems other than Linux, `_set_readable` does nothing and returns True.
    """
    if sys.platform != "linux":
        return True
    prctl = ctypes.CDLL(None).prctl
    before = bool(prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    prctl(_PR_SET_DUMPABLE, int(readable), 0, 0, 0)
    return before
