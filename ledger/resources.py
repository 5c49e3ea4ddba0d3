"""Locations of the SQL files and of the Alembic files.

In a source checkout, the folders `sql` and `alembic` are next to the package `ledger`. In a wheel, the folders `_sql`
and `_alembic` are inside the package `ledger`.
"""

from pathlib import Path

PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the path of the folder `name`, which is "sql" or "alembic"."""
    inside = PACKAGE / f"_{name}"
    return inside if inside.is_dir() else PACKAGE.parent / name
