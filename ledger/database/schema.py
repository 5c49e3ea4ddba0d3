"""The SQLAlchemy metadata of the schema `ledger`. Each table of the schema belongs to this metadata."""

from sqlalchemy import Column, Computed, DateTime, MetaData

SCHEMA = "ledger"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
    },
)


def moment(name: str, *, nullable: bool = True, comment: str) -> Column[object]:
    """Return a column that contains a time with a time zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def of_spec(name: str, type_: type, expression: str, *, nullable: bool = False, comment: str) -> Column[object]:
    """Return a generated column that contains one value from the large column `spec`. Frequent statements read the
    small generated column instead of the column `spec`.
    """
    return Column(name, type_, Computed(expression, persisted=True), nullable=nullable, comment=comment)
