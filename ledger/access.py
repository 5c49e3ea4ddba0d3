"""Connections to the ledger's database.

The settings contain either the URL of a PostgreSQL database or the folder of an embedded server. If the embedded server
is not running, the functions of this module start the server.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege
from psycopg.pq import Conninfo

from ledger import embedded
from ledger.database.connection import engine
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import one_line

# SQLAlchemy is imported inside functions, because a worker that receives a database URL does not need SQLAlchemy.
if TYPE_CHECKING:
    from sqlalchemy import Connection

# Time limit in seconds for one statement of a migration. The time limit of a migration is long, because the migration
# may rewrite a whole table.
MIGRATION_SECONDS = 3600.0


class MissingPrivilegeError(LedgerError):
    """The database role lacks a privilege for an operation.

    Attributes
    ----------
    role : str
        The database role that lacks the privilege.
    refusal : str
        The error message of the database.
    """

    def __init__(self, role: str, refusal: str) -> None:
        super().__init__(f"role {role} lacks a privilege for this operation ({refusal})")
        self.role, self.refusal = role, refusal


@contextmanager
def database(settings: Settings, *, create: bool = False, migrate: bool = True) -> Iterator[str]:
    """Yield the URL of the database. An embedded server runs at least until the end of the ``with`` block.

    Parameters
    ----------
    create : bool
        Whether to create a missing embedded database. If the settings contain the URL of a database, the function
        neither creates nor migrates the database.
    migrate : bool
        Whether to migrate the embedded database if necessary. The function ignores `migrate` if `create` is false.

    Raises
    ------
    MissingPrivilegeError
        The database role lacks the privilege for an operation in the ``with`` block.
    """
    if settings.database_url is not None:
        try:
            yield settings.database_url
        except Exception as error:
            # SQLAlchemy catches each error of psycopg, and raises an error of SQLAlchemy. The attribute `orig` of
            # SQLAlchemy's error is the error of psycopg.
            original = getattr(error, "orig", error)
            if isinstance(original, InsufficientPrivilege):
                raise MissingPrivilegeError(_role(settings.database_url), str(original.diag.message_primary)) from None
            raise
        return
    with embedded.running(settings.home, create=create) as url:
        if create and migrate:
            from ledger.database import migration

            with engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
                migration.upgrade_if_needed(connection)
        yield url


@contextmanager
def connected(settings: Settings, *, create: bool = False, writes: bool = False) -> "Iterator[Connection]":
    """Yield a connection to a ledger whose schema has the version that this program requires.

    Parameters
    ----------
    create : bool
        Whether to create or migrate the embedded database if necessary.
    writes : bool
        Whether the caller writes to the database. If `writes` is true, the function refuses a standby server, because a
        standby server is read-only.

    Raises
    ------
    LedgerError
        The database has no ledger schema, or this program requires another version of the schema.
    MissingPrivilegeError
        The database role lacks the privilege for an operation in the ``with`` block.
    """
    with database(settings, create=create) as url, opened(url, settings, writes=writes) as connection:
        yield connection


@contextmanager
def opened(url: str, settings: Settings, *, writes: bool = False) -> "Iterator[Connection]":
    """Yield a connection to the ledger in the database `url`.

    The docstring of `connected` describes the parameter `writes` and the causes of a LedgerError.
    """
    from ledger.database import migration

    ready = engine(url, "ledger command", statement_seconds=settings.statement_timeout, writes=writes)
    with ready.connect() as connection:
        migration.check(connection)
        yield connection


def read_url(path: Path) -> str:
    """Read the URL of a database from a file or a pipe, and return the URL.

    Raises
    ------
    UsageError
        The path names neither a file nor a pipe, or the function cannot read a URL from the file. A UsageError also
        occurs if the file belongs to another user, or if other users have access to the file.
    """
    shown = one_line(str(path))
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                if found.st_uid != os.geteuid():
                    raise UsageError(f"{shown} belongs to another user: pass your own file to --database-url-file")
                if found.st_mode & 0o077:
                    raise UsageError(f"other users have access to {shown}: run `chmod 600 {shown}`")
            elif not stat.S_ISFIFO(found.st_mode):
                raise UsageError(
                    f"{shown} is neither a file nor a pipe: pass a file or a pipe with the URL to --database-url-file"
                )
            url = file.read().decode().strip()
    except OSError as error:
        raise UsageError(
            f"{shown} cannot be read ({error.strerror}): pass a file with the database's URL to --database-url-file"
        ) from None
    except ValueError:
        raise UsageError(f"{shown} is not text in UTF-8: write the database's URL into the file") from None
    if not url:
        raise UsageError(f"{shown} is empty: write the database's URL into the file")
    return url


def _role(url: str) -> str:
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    return str(conninfo_to_dict(url).get("user") or defaults["user"])
