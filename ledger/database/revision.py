"""The revision of a ledger, compared with the revisions of this package.

The module imports neither alembic nor SQLAlchemy, because every worker checks the revision and needs neither.
"""

from collections.abc import Callable
from typing import Any

from ledger.errors import LedgerError
from ledger.resources import folder


def known() -> list[str]:
    """Return this package's revisions from the oldest on. The name of a migration's file begins with its revision."""
    return sorted(file.name.partition("_")[0] for file in (folder("alembic") / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Return the revision that this package needs."""
    return known()[-1]


def current(ask: Callable[[str], Any]) -> str | None:
    """Return the database's revision; None if it has no ledger.

    Parameters
    ----------
    ask : callable
        Executes a statement and returns its single value.
    """
    revision: str | None
    if ask("select to_regprocedure('ledger.revision()') is not null"):
        revision = ask("select ledger.revision()")
        return revision
    # A ledger without that function. The catalog shows the table also to a role that may not read it.
    if not ask("select to_regclass('ledger.alembic_version') is not null"):
        return None
    revision = ask("select max(version_num) from ledger.alembic_version")
    return revision


def check(revision: str | None) -> None:
    """Raise a LedgerError unless the database's revision is the one that this package needs."""
    if revision is None:
        raise LedgerError("the database is not migrated: run `ledger db upgrade`")
    refuse_newer(revision)
    if revision != head():
        raise LedgerError(
            f"the database's schema is too old: it is at revision {revision}, but {head()} is needed;"
            " run `ledger db upgrade`"
        )


def refuse_newer(revision: str | None) -> None:
    """Raise a LedgerError if this package does not know the database's revision."""
    if revision is not None and revision not in known():
        raise LedgerError(
            f"the database's schema is too new: this package does not know revision {revision}; upgrade trial-ledger"
        )
