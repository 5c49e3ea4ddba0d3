"""Runs migrations in one transaction under a lock, then the repeatable files of sql/."""

from alembic import context
from sqlalchemy import Connection

from ledger.database.connection import engine
from ledger.database.migration import lock_schema, run_repeatable_files
from ledger.database.tables import SCHEMA, metadata
from ledger.errors import UsageError
from ledger.optuna import views as optuna_views
from ledger.settings import Settings


def run(connection: Connection) -> None:
    with connection.begin():
        # Held until the commit: of several upgrades at once, one works and the others find it done. What a superuser
        # upgrades belongs to the ledger's owner too.
        lock_schema(connection, create=True)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            version_table_schema=SCHEMA,
            include_schemas=True,
            include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
        )
        context.run_migrations()
        if context.get_head_revision() in context.get_context().get_current_heads():
            run_repeatable_files(connection)
            optuna_views.update(connection)


if context.is_offline_mode():
    raise UsageError("migrations run against a database, not offline: drop --sql")
given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = Settings.from_environment().database_url
    if url is None:
        raise UsageError("DATABASE_URL is not set: name the database, or use `ledger db upgrade`")
    with engine(url).connect() as connection:
        run(connection)
