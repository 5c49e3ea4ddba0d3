"""The schema's version: bring it up to date, say which it is, say what is wrong with it."""

from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from ledger.database import revision
from ledger.resources import folder

# One key for every upgrade of any ledger in a database ("ledger" in ASCII).
UPGRADE_LOCK = 0x6C6564676572


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate to a revision, replace the functions and views, and set the privileges, in one transaction.

    Safe to run from several processes at once. A ledger that is newer than this package is refused.
    """
    revision.refuse_newer(current(connection))
    command.upgrade(_configuration(connection), to)


def downgrade(connection: Connection, to: str) -> None:
    """Migrate down to a revision; "base" removes every table."""
    command.downgrade(_configuration(connection), to)


def current(connection: Connection) -> str | None:
    """Return the database's revision; None where it has no ledger."""
    with connection.begin():
        return revision.current(lambda statement: connection.scalar(text(statement)))


def check(connection: Connection) -> None:
    """Raise a LedgerError that says what is wrong with the schema, if anything is."""
    revision.check(current(connection))


def run_repeatable_files(connection: Connection) -> None:
    """Create or replace the functions, the views that use them, and the privileges on both, as sql/ has them."""
    sql = folder("sql")
    made = (*sorted(sql.glob("functions/*.sql")), *sorted(sql.glob("views/*.sql")))
    for file in (*made, sql / "comments.sql", sql / "privileges.sql"):
        # without parameters, so that % and several statements pass as they are
        connection.connection.cursor().execute(file.read_text())


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(folder("alembic")).replace("%", "%%"))
    attributes: dict[str, Any] = configuration.attributes
    attributes["connection"] = connection
    return configuration
