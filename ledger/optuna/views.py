"""The views of schema `optuna`, which present the ledger as the tables of Optuna's RDBStorage (sql/optuna).

They are made where somebody asks for them, `ledger db upgrade` keeps them in step, and no trial is copied.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.database.migration import UPGRADE_LOCK
from ledger.errors import LedgerError
from ledger.resources import folder

SCHEMA = "optuna"
# The schema's comment says whose it is.
MARK = "The ledger as Optuna's tables: `ledger optuna enable` made this schema, `ledger optuna disable` removes it."
# In the order in which they build on each other.
_FILES = ("types", "studies", "trials", "rest", "read_only", "privileges")


def enabled(connection: Connection) -> bool:
    """Say whether the views are there."""
    with connection.begin():
        return _is_ours(connection) is True


def readable(connection: Connection) -> bool:
    """Say whether this role may read the views, which are there."""
    with connection.begin():
        return bool(connection.scalar(text("select has_schema_privilege(:name, 'usage')"), {"name": SCHEMA}))


def enable(connection: Connection) -> bool:
    """Make the views, as the ledger's owner and in one transaction; False where they were there already.

    Raises
    ------
    LedgerError
        The database has a schema `optuna` that is somebody else's.
    """
    with connection.begin():
        _become_owner(connection)
        ours = _is_ours(connection)
        if ours is False:
            raise LedgerError(
                f"the database has a schema {SCHEMA} already, which `ledger optuna enable` did not make: rename it"
                f" (alter schema {SCHEMA} rename to ...), or keep the ledger in a database of its own"
            )
        if ours is None:
            connection.execute(text(f"create schema {SCHEMA}"))
            connection.exec_driver_sql(f"comment on schema {SCHEMA} is '{MARK.replace(chr(39), chr(39) * 2)}'")
        _run_files(connection)
    return ours is None


def disable(connection: Connection) -> bool:
    """Remove the views, and what was built on them; False where there are none.

    Raises
    ------
    LedgerError
        The schema `optuna` is somebody else's.
    """
    with connection.begin():
        _become_owner(connection)
        ours = _is_ours(connection)
        if ours is False:
            raise LedgerError(f"schema {SCHEMA} stays as it is: `ledger optuna enable` did not make it")
        if ours:
            connection.execute(text(f"drop schema {SCHEMA} cascade"))
            # it depends on nothing in the schema
            connection.execute(text("drop index if exists ledger.trial_optuna_id"))
    return bool(ours)


def keep_in_step(connection: Connection) -> None:
    """Create or replace the views where they are there; within the transaction of an upgrade."""
    if _is_ours(connection):
        _run_files(connection)


def not_shown(connection: Connection) -> Sequence[str]:
    """Return the names of the studies with trials that no id of Optuna's has room for."""
    with connection.begin():
        return connection.scalars(
            text(
                "select name from ledger.studies where exists"
                " (select from ledger.trials where trials.study_id = studies.id and number >= case"
                " when studies.id < 512 then 1048576 when studies.id < 8192 then 65536"
                " when studies.id < 262144 then 4096 else 0 end) order by name"
            )
        ).all()


def _is_ours(connection: Connection) -> bool | None:
    """Say whether the schema is the ledger's; None where there is none."""
    rows = connection.execute(
        text("select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = :name"), {"name": SCHEMA}
    ).all()
    return rows[0][0] == MARK if rows else None


def _become_owner(connection: Connection) -> None:
    connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
    connection.exec_driver_sql(
        "select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = 'ledger'"
    )


def _run_files(connection: Connection) -> None:
    for name in _FILES:
        # without parameters, so that % and several statements pass as they are
        connection.connection.cursor().execute((folder("sql") / "optuna" / f"{name}.sql").read_text())
