"""Which revision a ledger is at, and whether it is the one that this package needs.

Without alembic and SQLAlchemy, since every worker asks at its start and needs neither.
"""

from collections.abc import Callable
from typing import Any

from ledger.errors import LedgerError
from ledger.resources import folder


def known() -> list[str]:
    """Return this package's revisions, from the oldest on: a migration's file is named by its own, a number."""
    return sorted(file.name.partition("_")[0] for file in (folder("alembic") / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Return the revision that this package needs."""
    return known()[-1]


def current(ask: Callable[[str], Any]) -> str | None:
    """Return the database's revision; None where it has no ledger.

    Parameters
    ----------
    ask : callable
        Returns the one value that a statement asks for.
    """
    found: str | None
    if ask("select to_regprocedure('ledger.revision()') is not null"):
        found = ask("select ledger.revision()")
        return found
    # a ledger from before that function; asked of the catalog, since a role that may not read the table is not an
    # unmigrated database
    if not ask("select to_regclass('ledger.alembic_version') is not null"):
        return None
    found = ask("select max(version_num) from ledger.alembic_version")
    return found


def check(found: str | None) -> None:
    """Raise a LedgerError that says what is wrong with the revision that was found, if anything is."""
    if found is None:
        raise LedgerError("the database is not migrated: run `ledger db upgrade`")
    refuse_newer(found)
    if found != head():
        raise LedgerError(
            f"the database's schema is too old: it is at revision {found}, {head()} is needed; run `ledger db upgrade`"
        )


def refuse_newer(found: str | None) -> None:
    """Raise a LedgerError where the database is at a revision that this package does not know."""
    if found is not None and found not in known():
        raise LedgerError(
            f"the database's schema is too new: revision {found} is not known to this package; upgrade trial-ledger"
        )
