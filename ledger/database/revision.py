"""Comparison of a ledger's schema revision with the revisions that this package knows.

Every worker uses this module. The module does not import alembic or SQLAlchemy, because workers do not need these
packages.
"""

from collections.abc import Callable
from typing import Any

from ledger.errors import LedgerError
from ledger.resources import folder


def known() -> list[str]:
    """Return the schema revisions that this package knows, the oldest first.

    The file name of a migration begins with the revision of the migration.
    """
    return sorted(file.name.partition("_")[0] for file in (folder("alembic") / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Return the schema revision that this package needs."""
    return known()[-1]


def current(ask: Callable[[str], Any]) -> str | None:
    """Return the revision of the database, or None if the database has no ledger.

    Parameters
    ----------
    ask : callable
        Function that executes a statement, and returns the single value of the result.
    """
    revision: str | None
    if ask("select to_regprocedure('ledger.revision()') is not null"):
        revision = ask("select ledger.revision()")
        return revision
    # The schema of an old ledger does not contain the function `ledger.revision`. A role can find a table in the
    # catalog even if the role may not read the table.
    if not ask("select to_regclass('ledger.alembic_version') is not null"):
        return None
    revision = ask("select max(version_num) from ledger.alembic_version")
    return revision


def check(revision: str | None) -> None:
    """Raise a LedgerError if the database does not have the revision that this package needs."""
    if revision is None:
        raise LedgerError("the database is not migrated: run `ledger db upgrade`")
    refuse_newer(revision)
    if revision != head():
        raise LedgerError(
            f"the database's schema is too old: the schema's revision is {revision}, but this package needs revision"
            f" {head()}; run `ledger db upgrade`"
        )


def refuse_newer(revision: str | None) -> None:
    """Raise a LedgerError if this package does not know the revision of the database."""
    if revision is not None and revision not in known():
        raise LedgerError(
            f"the database's schema is too new: this package does not know revision {revision}; upgrade trial-ledger"
        )
