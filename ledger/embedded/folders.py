"""The folders and the URL of the embedded server."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ledger.embedded.ownership import ELSEWHERE, check_folder, open_folder
from ledger.errors import LedgerError

NAME = "ledger"  # The database and its superuser have this name.
PORT = 5432  # The port is part of the socket's name only. The server does not listen on the network.


def url(home: Path) -> str:
    """Return the URL of the server in `home`, in the form that psycopg accepts.

    The function does not start the server. The function does not read or write files.
    """
    return f"postgresql://{NAME}@/{NAME}?host={quote(os.fsencode(socket_folder(home)))}&port={PORT}"


def exists(home: Path) -> bool:
    """Return whether `home` contains a database.

    Raises
    ------
    LedgerError
        The folder `home` cannot be read.
    """
    with file_errors(home):
        return data_folder(home).joinpath("PG_VERSION").exists()


def resolved(home: Path) -> Path:
    """Return the absolute path of `home` without symbolic links.

    If the path `home` contains a loop of symbolic links, the function does not resolve the loop.
    """
    # The function does not call Path.resolve. For a loop of symbolic links, Path.resolve raises RuntimeError in Python
    # 3.11 and 3.12.
    return Path(os.path.realpath(home))


def data_folder(home: Path) -> Path:
    """Return the folder that contains the server's data."""
    return home / "data"


def log_file(home: Path) -> Path:
    """Return the path of the server's log file."""
    return home / "postgres.log"


def socket_folder(home: Path) -> Path:
    """Return the folder that contains the server's socket.

    For the same `home`, the function returns the same folder in all processes of one system user.

    The socket's folder is in /tmp if the path of a socket in `home` would be too long or would contain a comma.
    """
    home = resolved(home)
    folder = home / "run"
    longest = 103 if sys.platform == "darwin" else 107
    # The path of the socket's folder must not contain a comma, because libpq uses the comma to separate hosts.
    if len(os.fsencode(socket_file(folder))) <= longest and "," not in str(folder):
        return folder
    # The socket's folder is in /tmp and not in TMPDIR, because each process can have a different value of TMPDIR.
    return Path("/tmp", f"ledger-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}")  # noqa: S108


def socket_file(folder: Path) -> Path:
    """Return the path of the socket in `folder`."""
    return folder / f".s.PGSQL.{PORT}"


def check_home(home: Path) -> None:
    """Check the owner and the permissions of the home folder, the data folder and the socket's folder.

    A process must call `check_home` before the process uses a file in `home`.

    The function accepts a folder that does not exist. The function does not check the parent folders of `home`.

    Raises
    ------
    LedgerError
        A folder cannot be read, is a symbolic link, belongs to another user, or can be written by other users.
    """
    home = resolved(home)
    with file_errors(home):
        for folder in (home, data_folder(home), socket_folder(home)):
            check_folder(folder)


def make_private(folder: Path, owner: tuple[int, int] | None) -> Path:
    """Create a folder that only its owner can enter.

    If the folder already exists, change the folder's owner to `owner`, and remove the permissions of all other users.

    Parameters
    ----------
    folder : Path
        The folder to create.
    owner : (int, int) or None
        The user id and the group id of the folder's owner. None stands for the user and the group of this process.

    Raises
    ------
    LedgerError
        The path is a symbolic link, is not a folder, belongs to another user, or can be written by other users.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = open_folder(folder)
    try:
        os.fchmod(descriptor, 0o700)
        if owner is not None:
            os.fchown(descriptor, *owner)
    finally:
        os.close(descriptor)
    return folder


@contextmanager
def file_errors(home: Path) -> Iterator[None]:
    """Replace an OSError in the ``with`` block by a LedgerError that names the home folder and a solution."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}" if error.filename else error.strerror or error
        raise LedgerError(f"the ledger in {home} cannot be used ({reason}): {ELSEWHERE}") from error
