"""Locations of the SQL files and of the Alembic files.

A source checkout contains them in the folders `sql` and `alembic`, beside the package. A wheel contains these folders
inside the package, as `_sql` and `_alembic`.
"""

from pathlib import Path

PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the path of the folder `name`, which is "sql" or "alembic"."""
    inside = PACKAGE / f"_{name}"
    return inside if inside.is_dir() else PACKAGE.parent / name
