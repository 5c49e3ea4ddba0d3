"""Functions that upgrade, downgrade or check the database schema of the ledger."""

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from ledger.database import revision
from ledger.database.connection import refused_if_locked
from ledger.resources import folder

# Most commands check the revision of the schema, but do not migrate the schema. The check of the revision does not need
# Alembic. Therefore this module does not import Alembic at the top.
if TYPE_CHECKING:
    from alembic.config import Config

# PostgreSQL has no statement that locks a schema and has no other effect. The statement `comment on schema` locks the
# schema until the end of the transaction. Only the schema's owner can run `comment on schema`. _LOCK sets the comment
# of the schema to the comment's current text, so the comment does not change.
_LOCK = """
do $$
begin
  execute format('comment on schema ledger is %%L', obj_description('ledger'::regnamespace, 'pg_namespace'));
end
$$"""
_BECOME_OWNER = """
select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = 'ledger'"""

_ROLES = """
select coalesce(string_agg(rolname, ', ' order by rolname), 'none') from pg_roles
where rolname in ('ledger_manager', 'ledger_reader', 'ledger_worker')"""


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate to a revision, replace the functions and views, and set the privileges. `upgrade` uses one transaction.

    Several processes can call `upgrade` at the same time.

    Raises
    ------
    LedgerError
        This package does not know the revision of the ledger, or another session has locked a table or view of the
        ledger.
    """
    from alembic import command

    revision.refuse_newer(current(connection))
    with refused_if_locked("a table or view of the ledger"):
        command.upgrade(_configuration(connection), to)


def upgrade_if_needed(connection: Connection) -> None:
    """Upgrade the ledger if the revision, the files of sql/ or the roles have changed since the last upgrade.

    If the function always upgraded the ledger, each start of an embedded server would replace all functions and views.

    Raises
    ------
    LedgerError
        The docstring of `upgrade` lists the causes of a LedgerError.
    """
    with connection.begin():
        recorded = connection.scalar(text("select obj_description(to_regclass('ledger.alembic_version'), 'pg_class')"))
        description = _description(connection)
    if recorded != description or current(connection) != revision.head():
        upgrade(connection)


def downgrade(connection: Connection, to: str) -> None:
    """Migrate the schema down to an older revision. The downgrade to "base" removes all tables."""
    from alembic import command

    with refused_if_locked("a table or view of the ledger"):
        command.downgrade(_configuration(connection), to)


def lock_schema(connection: Connection, *, create: bool = False) -> None:
    """Switch to the role of the schema's owner, wait for other changes of the schema, and lock the schema.

    The schema stays locked until the end of the transaction. Only the owner of the schema can lock the schema, so the
    function switches to the role of the owner. An advisory lock would not be safe, because any role could acquire the
    advisory lock first and never release the lock. Until a superuser runs sql/roles.sql, every role may acquire
    advisory locks.

    Parameters
    ----------
    create : bool
        Whether to create the schema if it does not exist.
    """
    seconds = connection.exec_driver_sql("show lock_timeout").scalar()
    # The wait for the lock of the schema has no time limit, because another upgrade may rewrite a table for a long
    # time.
    connection.exec_driver_sql("set local lock_timeout = 0")
    if create and connection.exec_driver_sql("select to_regnamespace('ledger')").scalar() is None:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql("create schema if not exists ledger")
        except IntegrityError:
            # This upgrade found no schema, but another upgrade has created the schema since then.
            pass
    connection.exec_driver_sql(_BECOME_OWNER)
    connection.exec_driver_sql(_LOCK)
    # The upgrade later locks tables and views, which other sessions may be reading. While the upgrade waits for a lock
    # on a table, other sessions that need the table also wait. Therefore `lock_schema` restores the session's
    # lock_timeout, which limits the wait.
    connection.exec_driver_sql(f"set local lock_timeout = '{seconds}'")


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None if the database has no ledger."""
    with connection.begin():
        return revision.current(lambda statement: connection.scalar(text(statement)))


def check(connection: Connection) -> None:
    """Raise a LedgerError if the schema does not have the revision that this package needs."""
    revision.check(current(connection))


def run_repeatable_files(connection: Connection) -> None:
    """Run the files of sql/ that define functions, views, comments and privileges. Record a hash of the folder sql/."""
    sql = folder("sql")
    files = (*sorted(sql.glob("functions/*.sql")), *sorted(sql.glob("views/*.sql")))
    for file in (*files, sql / "comments.sql", sql / "privileges.sql"):
        # If `execute` gets no parameters, psycopg accepts a text with several statements and with the character %.
        connection.connection.cursor().execute(file.read_text())
    connection.exec_driver_sql(f"comment on table ledger.alembic_version is '{_description(connection)}'")


def _description(connection: Connection) -> str:
    """Return the comment on the table `ledger.alembic_version`. The comment identifies the contents of sql/ and the
    roles.

    The comment includes the roles, because an upgrade sets the privileges of the roles.
    """
    roles = connection.exec_driver_sql(_ROLES).scalar()
    contents = hashlib.sha256()
    for file in sorted(folder("sql").rglob("*.sql")):
        contents.update(file.read_bytes())
    files = f"SHA-256 of the files in sql/: {contents.hexdigest()}"
    return f"The revision of the schema, as alembic records it. {files}. Roles: {roles}"


def _configuration(connection: Connection) -> "Config":
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(folder("alembic")).replace("%", "%%"))
    attributes: dict[str, Any] = configuration.attributes
    attributes["connection"] = connection
    return configuration
