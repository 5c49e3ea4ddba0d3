"""Opens the ledger that the settings name: a given database, or the embedded server, started on demand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege
from psycopg.pq import Conninfo

from ledger import embedded
from ledger.database.connection import engine
from ledger.errors import LedgerError
from ledger.settings import Settings

# SQLAlchemy and alembic are imported where they are used: a worker of a named database is spared both.
if TYPE_CHECKING:
    from sqlalchemy import Connection

# Of one statement of a migration, which may rewrite a table.
MIGRATION_SECONDS = 3600.0


class NotPermitted(LedgerError):
    """The database refuses what its role may not do.

    Attributes
    ----------
    role : str
        The role that was refused.
    """

    def __init__(self, role: str, refusal: str) -> None:
        super().__init__(f"role {role} may not do this ({refusal})")
        self.role = role


@contextmanager
def database(settings: Settings, *, create: bool = False, migrate: bool = True) -> Iterator[str]:
    """Yield the database's URL; an embedded server runs at least until the end of the block.

    Parameters
    ----------
    create : bool
        Make and migrate the embedded database where there is none. A named database is never migrated here.
    migrate : bool
        False: do not migrate what was made.

    Raises
    ------
    NotPermitted
        The block does what its role may not.
    """
    if settings.database_url is not None:
        try:
            yield settings.database_url
        except Exception as error:
            # SQLAlchemy wraps psycopg's errors
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
    """Yield a connection to a ledger that is migrated.

    Parameters
    ----------
    create : bool
        As of `database`.
    writes : bool
        Refuse a standby.

    Raises
    ------
    LedgerError
        The database is not migrated, or not to this version.
    NotPermitted
        As of `database`.
    """
    with database(settings, create=create) as url, opened(url, settings, writes=writes) as connection:
        yield connection


@contextmanager
def opened(url: str, settings: Settings, *, writes: bool = False) -> "Iterator[Connection]":
    """Yield a connection to the ledger at `url`, which is migrated; else as `connected`."""
    from ledger.database import migration

    ready = engine(url, "ledger command", statement_seconds=settings.statement_timeout, writes=writes)
    with ready.connect() as connection:
        migration.check(connection)
        yield connection


def _role(url: str) -> str:
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    return str(conninfo_to_dict(url).get("user") or defaults["user"])
