"""Functions that upgrade and downgrade the schema, and that check its revision."""

from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from ledger.database import revision
from ledger.resources import folder

# An upgrade takes the advisory lock with this key, which is the word "ledger" in ASCII.
UPGRADE_LOCK = 0x6C6564676572


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate to a revision, replace the functions and views, and set the privileges in one transaction.

    Several processes can call this function at the same time.

    Raises
    ------
    LedgerError
        The ledger is newer than this package.
    """
    revision.refuse_newer(current(connection))
    command.upgrade(_configuration(connection), to)


def downgrade(connection: Connection, to: str) -> None:
    """Migrate down to an older revision. The revision "base" has no tables."""
    command.downgrade(_configuration(connection), to)


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None if the database has no ledger."""
    with connection.begin():
        return revision.current(lambda statement: connection.scalar(text(statement)))


def check(connection: Connection) -> None:
    """Raise a LedgerError if the schema does not have the revision that this package needs."""
    revision.check(current(connection))


def run_repeatable_files(connection: Connection) -> None:
    """Create or replace the functions, the views and the privileges from sql/."""
    sql = folder("sql")
    files = (*sorted(sql.glob("functions/*.sql")), *sorted(sql.glob("views/*.sql")))
    for file in (*files, sql / "comments.sql", sql / "privileges.sql"):
        # A psycopg cursor without parameters accepts the character % and several statements.
        connection.connection.cursor().execute(file.read_text())


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(folder("alembic")).replace("%", "%%"))
    attributes: dict[str, Any] = configuration.attributes
    attributes["connection"] = connection
    return configuration
