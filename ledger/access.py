"""Connections to the ledger.

The settings name either a PostgreSQL database or the folder of an embedded server, which starts on demand.
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

# Functions import SQLAlchemy and Alembic when they need them, because a worker that gets a URL needs neither package.
if TYPE_CHECKING:
    from sqlalchemy import Connection

# Time limit in seconds for one statement of a migration. The limit is long, because a statement may rewrite a table.
MIGRATION_SECONDS = 3600.0


class NotPermitted(LedgerError):
    """The database refused an operation because the database role lacks a privilege.

    Attributes
    ----------
    role : str
        The database role that lacks the privilege.
    """

    def __init__(self, role: str, refusal: str) -> None:
        super().__init__(f"role {role} may not do this ({refusal})")
        self.role = role


@contextmanager
def database(settings: Settings, *, create: bool = False, migrate: bool = True) -> Iterator[str]:
    """Yield the URL of the database. An embedded server runs at least until the end of the ``with`` block.

    Parameters
    ----------
    create : bool
        Create the embedded database if it does not exist, and migrate it. This function never migrates a database that
        the settings name by its URL.
    migrate : bool
        False prevents the migration of the embedded database.

    Raises
    ------
    NotPermitted
        The database role lacks the privilege for an operation in the ``with`` block.
    """
    if settings.database_url is not None:
        try:
            yield settings.database_url
        except Exception as error:
            # SQLAlchemy stores the error of psycopg in the attribute `orig` of its own error.
            original = getattr(error, "orig", error)
            if isinstance(original, InsufficientPrivilege):
                raise NotPermitted(_role(settings.database_url), str(original.diag.message_primary)) from None
            raise
        return
    with embedded.running(settings.home, create=create) as url:
        if create and migrate:
            from ledger.database import migration

            with engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
                migration.upgrade(connection)
        yield url


@contextmanager
def connected(settings: Settings, *, create: bool = False, writes: bool = False) -> "Iterator[Connection]":
    """Yield a connection to a migrated ledger.

    Parameters
    ----------
    create : bool
        Create the embedded database if it does not exist, and migrate it.
    writes : bool
        Refuse a standby server, because a standby server is read-only.

    Raises
    ------
    LedgerError
        The database has no ledger schema, or the schema's version is not the version of this program.
    NotPermitted
        The database role lacks the privilege for an operation in the ``with`` block.
    """
    with database(settings, create=create) as url, opened(url, settings, writes=writes) as connection:
        yield connection


@contextmanager
def opened(url: str, settings: Settings, *, writes: bool = False) -> "Iterator[Connection]":
    """Yield a connection to the ledger at `url`.

    The function `connected` describes the parameter `writes` and the errors.
    """
    from ledger.database import migration

    ready = engine(url, "ledger command", statement_seconds=settings.statement_timeout, writes=writes)
    with ready.connect() as connection:
        migration.check(connection)
        yield connection


def read_url(path: Path) -> str:
    """Return the URL of the database that a file or a pipe contains.

    Raises
    ------
    UsageError
        The file cannot be read or contains no URL, belongs to another user, or gives access to other users.
    """
    shown = one_line(str(path))
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                if found.st_uid != os.geteuid():
                    raise UsageError(f"{shown} belongs to another user: give --database-url-file a file of your own")
                if found.st_mode & 0o077:
                    raise UsageError(f"other users have access to {shown}: run `chmod 600 {shown}`")
            elif not stat.S_ISFIFO(found.st_mode):
                raise UsageError(f"{shown} is no file: give --database-url-file a file or a pipe with the URL")
            url = file.read().decode().strip()
    except OSError as error:
        raise UsageError(
            f"{shown} cannot be read ({error.strerror}): give --database-url-file a file with the database's URL"
        ) from None
    except ValueError:
        raise UsageError(f"{shown} is not text in UTF-8: write the database's URL into the file") from None
    if not url:
        raise UsageError(f"{shown} is empty: write the database's URL into the file")
    return url


def _role(url: str) -> str:
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    return str(conninfo_to_dict(url).get("user") or defaults["user"])
