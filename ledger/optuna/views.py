"""The database views in the schema `optuna`. For Optuna, the views look like the tables of Optuna's RDBStorage.

`ledger optuna enable` creates the views from sql/optuna, and `ledger db upgrade` updates the views. The views copy no
data.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from ledger.database.connection import refused_if_locked
from ledger.database.migration import lock_schema
from ledger.errors import LedgerError
from ledger.resources import folder

SCHEMA = "optuna"
# The SQL comment that the ledger sets on the schema `optuna`. The schema belongs to the ledger only if the schema's
# comment is equal to `MARK`.
MARK = "The ledger as Optuna's tables: `ledger optuna enable` made this schema, `ledger optuna disable` removes it."
# Names of the files in sql/optuna, in the order in which the ledger runs the files. A file depends only on files before
# it in the list.
_FILES = ("types", "studies", "trials", "attributes", "rest", "read_only", "privileges")


def enabled(connection: Connection) -> bool:
    """Return whether the views for Optuna exist."""
    with connection.begin():
        return _is_ours(connection) is True


def readable(connection: Connection) -> bool:
    """Return True if the database role of the connection can read the views for Optuna. The views must exist."""
    with connection.begin():
        return bool(connection.scalar(text("select has_schema_privilege(:name, 'usage')"), {"name": SCHEMA}))


def enable(connection: Connection) -> bool:
    """Create the views for Optuna in one transaction. Only the owner of the ledger's schema can create the views.

    Returns
    -------
    bool
        True if the function created new views. False if the views existed before the call.

    Raises
    ------
    LedgerError
        The database has a schema named `optuna` that does not belong to the ledger.
    """
    with refused_if_locked("a table or view of the ledger"), connection.begin():
        lock_schema(connection)
        ours = _is_ours(connection)
        if ours is False:
            raise LedgerError(
                f"the database has a schema {SCHEMA} that `ledger optuna enable` did not make: rename the schema"
                f" (alter schema {SCHEMA} rename to ...), or use another database for the ledger"
            )
        if ours is None:
            connection.execute(text(f"create schema {SCHEMA}"))
            connection.exec_driver_sql(f"comment on schema {SCHEMA} is '{MARK.replace(chr(39), chr(39) * 2)}'")
        _run_files(connection)
    return ours is None


def disable(connection: Connection) -> bool:
    """Remove the views for Optuna, and all database objects that depend on the views.

    Returns
    -------
    bool
        False if no views existed.

    Raises
    ------
    LedgerError
        The schema `optuna` does not belong to the ledger.
    """
    with refused_if_locked("a table or view of the ledger"), connection.begin():
        lock_schema(connection)
        ours = _is_ours(connection)
        if ours is False:
            raise LedgerError(f"schema {SCHEMA} stays, because `ledger optuna enable` did not make it")
        if ours:
            connection.execute(text(f"drop schema {SCHEMA} cascade"))
            # The index `trial_optuna_id` does not depend on the schema `optuna`, so the statement `drop schema` does
            # not remove the index.
            connection.execute(text("drop index if exists ledger.trial_optuna_id"))
    return bool(ours)


def update(connection: Connection) -> None:
    """If the views for Optuna exist, replace the views by new views within the transaction of `ledger db upgrade`."""
    if _is_ours(connection):
        _run_files(connection)


def not_shown(connection: Connection) -> Sequence[str]:
    """Find trials that the views for Optuna cannot show, and return the names of the studies that contain these trials.

    The views cannot show a trial if the trial's number is too large for an id.
    """
    with connection.begin():
        return connection.scalars(
            text(
                "select study from ledger.studies where exists"
                " (select from ledger.trials where trials.study_id = studies.study_id and trial >= case"
                " when studies.study_id < 512 then 1048576 when studies.study_id < 8192 then 65536"
                " when studies.study_id < 262144 then 4096 else 0 end) order by study"
            )
        ).all()


def _is_ours(connection: Connection) -> bool | None:
    """Return True if the schema `optuna` belongs to the ledger. Return None if the schema `optuna` does not exist."""
    rows = connection.execute(
        text("select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = :name"), {"name": SCHEMA}
    ).all()
    return rows[0][0] == MARK if rows else None


def _run_files(connection: Connection) -> None:
    for name in _FILES:
        # If a call of `execute` has no parameters, the SQL text in the call may contain several statements and the
        # character %.
        connection.connection.cursor().execute((folder("sql") / "optuna" / f"{name}.sql").read_text())
