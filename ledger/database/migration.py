"""The schema's version: bring it up to date, say which it is, say what is wrong with it."""

from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from ledger.database.tables import SCHEMA
from ledger.errors import LedgerError
from ledger.resources import folder

# One key for every upgrade of any ledger in a database ("ledger" in ASCII).
UPGRADE_LOCK = 0x6C6564676572


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Migrate to `revision`, replace the functions and views, and set the privileges, in one transaction.

    Safe to run from several processes at once. A ledger that is newer than this package is refused.
    """
    _refuse_newer(connection)
    command.upgrade(_configuration(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Migrate down to `revision`; "base" removes every table."""
    command.downgrade(_configuration(connection), revision)


def current(connection: Connection) -> str | None:
    """Return the database's revision; None where it has no ledger."""
    with connection.begin():
        if connection.scalar(text("select to_regprocedure('ledger.revision()') is not null")):
            revision: str | None = connection.scalar(text("select ledger.revision()"))
            return revision
        # a ledger from before that function; asked of the catalog, since a role that may not read the table is not an
        # unmigrated database
        if not connection.scalar(text("select to_regclass('ledger.alembic_version') is not null")):
            return None
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        return context.get_current_revision()


def head() -> str:
    """Return the revision that this package needs."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def check(connection: Connection) -> None:
    """Raise a LedgerError that says what is wrong with the schema, if anything is."""
    found = current(connection)
    if found is None:
        raise LedgerError("the database is not migrated: run `ledger db upgrade`")
    if found == head():
        return
    _refuse_newer(connection)
    raise LedgerError(
        f"the database's schema is too old: it is at revision {found}, {head()} is needed; run `ledger db upgrade`"
    )


def run_repeatable_files(connection: Connection) -> None:
    """Create or replace the functions, the views that use them, and the privileges on both, as sql/ has them."""
    sql = folder("sql")
    for file in (*sorted(sql.glob("functions/*.sql")), *sorted(sql.glob("views/*.sql")), sql / "privileges.sql"):
        # without parameters, so that % and several statements pass as they are
        connection.connection.cursor().execute(file.read_text())


def _refuse_newer(connection: Connection) -> None:
    found = current(connection)
    if found is None:
        return
    try:
        _scripts().get_revision(found)
    except CommandError:
        raise LedgerError(
            f"the database's schema is too new: revision {found} is not known to this package; upgrade trial-ledger"
        ) from None


def _configuration(connection: Connection | None = None) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(folder("alembic")).replace("%", "%%"))
    attributes: dict[str, Any] = configuration.attributes
    attributes["connection"] = connection
    return configuration


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_configuration())
