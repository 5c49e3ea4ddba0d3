"""How a command comes to its database: the one named, or the embedded one, started on demand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege
from psycopg.pq import Conninfo

from ledger import embedded
from ledger.database.connection import engine
from ledger.errors import LedgerError
from ledger.settings import Settings

# SQLAlchemy and alembic are imported where they are used: a worker of a named database is spared both.
if TYPE_CHECKING:
    from ledger.database.store import Store

# Of one statement of a migration, which may rewrite a table.
MIGRATION_SECONDS = 3600.0
# The role of sql/roles.sql that a command needs where it does more than read.
_ROLES = {
    "run": "ledger_owner",
    "manager": "ledger_manager",
    "resume": "ledger_manager",
    "worker": "ledger_worker",
    "study create": "ledger_manager",
    "study pause": "ledger_manager",
    "study cancel": "ledger_manager",
    "study delete": "ledger_owner",
    "study view": "ledger_owner",
    "trial enqueue": "ledger_manager",
    "trial retry": "ledger_manager",
    "trial cancel": "ledger_manager",
    "import file": "ledger_owner",
    "import csv": "ledger_manager",
    "import optuna": "ledger_manager",
    "db upgrade": "ledger_owner",
    "optuna enable": "ledger_owner",
    "optuna disable": "ledger_owner",
}


@contextmanager
def database(settings: Settings, *, create: bool = False, migrate: bool = True) -> Iterator[str]:
    """Yield the database's URL; an embedded server runs at least until the end of the block.

    Parameters
    ----------
    create : bool
        Make and migrate the embedded database where it is not there yet. A named one is never migrated unasked.
    migrate : bool
        False: do not migrate what was made.

    Raises
    ------
    LedgerError
        The block does what its role may not.
    """
    if settings.database_url is not None:
        try:
            yield settings.database_url
        except Exception as error:
            # SQLAlchemy wraps psycopg's errors
            original = getattr(error, "orig", error)
            if isinstance(original, InsufficientPrivilege):
                raise LedgerError(_refusal(settings.database_url, original)) from None
            raise
        return
    with embedded.running(settings.home, create=create) as url:
        if create and migrate:
            from ledger.database import migration

            with engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
                migration.upgrade(connection)
        yield url


@contextmanager
def ledger_store(settings: Settings) -> "Iterator[Store]":
    """Yield the store of a database that is migrated."""
    from ledger.database import migration
    from ledger.database.store import Store

    with (
        database(settings) as url,
        engine(url, "ledger command", statement_seconds=settings.statement_timeout).connect() as connection,
    ):
        migration.check(connection)
        yield Store(connection)


def _refusal(url: str, error: InsufficientPrivilege) -> str:
    """Return who may not do what, and which role may."""
    names: list[str] = []
    # none in a script or notebook, which runs studies and reads them
    context = click.get_current_context(silent=True)
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    command = " ".join(names) or "run"
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    role = conninfo_to_dict(url).get("user") or defaults["user"]
    needed = _ROLES.get(command, "ledger_reader")
    if role != needed:
        way_out = f"`ledger {command}` needs {needed}"
    elif role == "ledger_owner":
        way_out = "sql/roles.sql, run by a superuser, makes it the owner"
    else:
        way_out = "`ledger db upgrade` as ledger_owner grants it what it needs"
    return f"role {role} may not do this ({error.diag.message_primary}): {way_out}"
