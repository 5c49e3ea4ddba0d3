"""Checks of the owner and the permissions of the embedded server's folders and files.

Other users must not be able to change the server's folders, because these folders contain the server's data and
settings. Some settings can make the server run programs.
"""

import errno
import os
import pwd
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from ledger.errors import LedgerError

SYSTEM_USER = "ledger-postgres"
ELSEWHERE = "set LEDGER_HOME to another folder, or name another server with --database-url"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# Error numbers of open(2) for a symbolic link and for a path that is not a folder.
_WRONG_KIND = (errno.ELOOP, errno.ENOTDIR)


def system_user() -> tuple[int, int] | None:
    """Return the user id and the group id of `SYSTEM_USER`, or None if this user does not exist."""
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def check_folder(path: Path) -> None:
    """Check the owner and the permissions of a folder of the server. The function accepts a folder that does not exist.

    Raises
    ------
    LedgerError
        The path is a symbolic link or not a folder, belongs to another user, or can be written by other users.
    OSError
        The folder cannot be read.
    """
    with suppress(FileNotFoundError):
        os.close(open_folder(path))


def open_folder(path: Path) -> int:
    """Open a folder of the server, check its owner and permissions, and return the folder's file descriptor.

    Raises
    ------
    LedgerError
        See `check_folder`.
    OSError
        The folder is missing or cannot be read.
    """
    folder = _open(path, os.O_RDONLY | os.O_DIRECTORY, "a folder")
    try:
        _check(os.fstat(folder), path)
    except BaseException:
        os.close(folder)
        raise
    return folder


def open_file(path: Path, flags: int) -> int:
    """Open a file of the server, check its owner and permissions, and return the file's descriptor.

    If the function creates the file, only the file's owner can read the file.

    Raises
    ------
    LedgerError
        The path is a symbolic link or not a regular file, belongs to another user, or can be written by other users.
    OSError
        The file cannot be opened.
    """
    # Without O_NONBLOCK, this process could wait forever if the path is a named pipe.
    file = _open(path, flags | os.O_NONBLOCK, "a file")
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _wrong_kind(path, "a file")
        _check(status, path)
        os.set_blocking(file, True)
    except BaseException:
        os.close(file)
        raise
    return file


def _open(path: Path, flags: int, kind: str) -> int:
    try:
        # Without O_NOFOLLOW, a symbolic link could make root open any other file.
        return os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno in _WRONG_KIND:
            raise _wrong_kind(path, kind) from None
        raise


def _check(status: os.stat_result, path: Path) -> None:
    me, system = os.geteuid(), system_user()
    # A server that root has started runs as the user `SYSTEM_USER`, so `SYSTEM_USER` owns the data folder and the
    # socket's folder.
    trusted = {me, system[0]} if me == 0 and system else {me}
    if status.st_uid not in trusted:
        raise LedgerError(
            f"{path} belongs to user {_name(status.st_uid)}: run this program as user {_name(status.st_uid)}, or"
            f" change the owner of {path} if you trust its content, or {ELSEWHERE}"
        )
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise LedgerError(f"other users can write to {path}: run `chmod go-w {shlex.quote(str(path))}`, or {ELSEWHERE}")


def _wrong_kind(path: Path, kind: str) -> LedgerError:
    return LedgerError(f"{path} is not {kind}, or is a symbolic link: remove {path}, or {ELSEWHERE}")


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
