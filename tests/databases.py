"""Separate databases for tests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.database import migration
from ledger.database.connection import engine


@contextmanager
def new_database(server: str, template: str = "template0") -> Iterator[str]:
    """Create a database on a server, and drop it at the end of the block. Yields the URL of the database.

    The encoding is UTF8, as in the image postgres:17, for any encoding of the server.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            # faster than a copy through the log, because the servers do not wait for the disk
            sql.SQL("create database {} template {} encoding 'UTF8' strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield make_conninfo(server, dbname=name, client_encoding="UTF8")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def migrated_template(server: str) -> Iterator[str]:
    """Create a database with an empty ledger, as the template of other databases. Yields the name of the database."""
    with new_database(server) as url:
        upgrade(url)
        yield name_of(url)


def upgrade(url: str) -> None:
    """Create the schema of a ledger, or upgrade it."""
    with engine(url).connect() as connection:
        migration.upgrade(connection)


def name_of(url: str) -> str:
    """Return the name of the database in a URL."""
    return str(conninfo_to_dict(url)["dbname"])
