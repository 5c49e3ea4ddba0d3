"""The folders of the package that are not Python: next to it in a checkout, inside it in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the folder `name` ("sql" or "alembic") of this installation."""
    inside = PACKAGE / f"_{name}"
    return inside if inside.is_dir() else PACKAGE.parent / name
