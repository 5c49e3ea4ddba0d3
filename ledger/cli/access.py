"""How a command comes to its database: the one named, or the embedded one, started on demand."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger import embedded
from ledger.database import migration
from ledger.database.connection import engine
from ledger.database.store import Store
from ledger.settings import Settings


@contextmanager
def database(settings: Settings, *, create: bool = False) -> Iterator[str]:
    """Yield the database's URL; an embedded server runs at least until the end of the block.

    Parameters
    ----------
    create : bool
        Make and migrate the embedded database where it is not there yet. A named one is never migrated unasked.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded.running(settings.home, create=create) as url:
        if create:
            with engine(url).connect() as connection:
                migration.upgrade(connection)
        yield url


@contextmanager
def ledger_store(settings: Settings) -> Iterator[Store]:
    """Yield the store of a database that is migrated."""
    with database(settings) as url, engine(url, "ledger command").connect() as connection:
        migration.check(connection)
        yield Store(connection)
