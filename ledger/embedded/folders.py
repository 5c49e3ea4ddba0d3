"""The folders of the embedded server: its data, its socket, and the URL that names them."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ledger.errors import LedgerError

NAME = "ledger"  # of the database and of its superuser
PORT = 5432  # part of the socket's name; the server does not listen on the network
ELSEWHERE = "set LEDGER_HOME to another folder, or name another server with --database-url"


def url(home: Path) -> str:
    """Return the URL of the server of `home`, for psycopg. Nothing is started, read or written."""
    return f"postgresql://{NAME}@/{NAME}?host={quote(os.fsencode(socket_folder(home)))}&port={PORT}"


def exists(home: Path) -> bool:
    """Return whether `home` contains a database.

    Raises
    ------
    LedgerError
        The folder cannot be read.
    """
    with file_errors(home):
        return data_folder(home).joinpath("PG_VERSION").exists()


def data_folder(home: Path) -> Path:
    """Return the folder of the data."""
    return home / "data"


def log_file(home: Path) -> Path:
    """Return the server's log."""
    return home / "postgres.log"


def socket_folder(home: Path) -> Path:
    """Return the folder of the socket. Every process computes the same one from the home's path."""
    home = home.resolve()
    folder = home / "run"
    longest = 103 if sys.platform == "darwin" else 107
    # libpq takes a comma as a separator of hosts
    if len(os.fsencode(socket_file(folder))) <= longest and "," not in str(folder):
        return folder
    # Not the user's temporary folder, because TMPDIR may differ between processes.
    return Path("/tmp", f"ledger-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}")  # noqa: S108


def socket_file(folder: Path) -> Path:
    """Return the socket within its folder."""
    return folder / f".s.PGSQL.{PORT}"


def make_private(folder: Path, owner: tuple[int, int] | None) -> Path:
    """Create a folder that only the server's user can enter, or restrict one that exists.

    Parameters
    ----------
    folder : Path
    owner : (int, int) or None
        User and group that own it; None for those of this process.

    Raises
    ------
    LedgerError
        Another user made the folder, or it is not a folder.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    owners = {os.geteuid(), owner[0] if owner else os.geteuid()}
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
        raise LedgerError(f"{folder} is not a folder of this user: remove it, or {ELSEWHERE}")
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, *owner)
    return folder


@contextmanager
def file_errors(home: Path) -> Iterator[None]:
    """Turn an OSError into a LedgerError that names the home and the way out."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}" if error.filename else error.strerror or error
        raise LedgerError(f"the ledger in {home} cannot be used ({reason}): {ELSEWHERE}") from error
