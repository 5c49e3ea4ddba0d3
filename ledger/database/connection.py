"""Connections to PostgreSQL: how they are opened, and what a person is told where they are not."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from ledger.errors import LedgerError, UsageError

OLDEST_SERVER = 150000

# A half-open connection is noticed within a minute. An SQL_ASCII database answers in bytes unless told the encoding.
DEFAULTS: Mapping[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


def connect(url: str, role: str = "ledger") -> psycopg.Connection[Any]:
    """Open an autocommitting connection.

    Parameters
    ----------
    url : str
        A libpq URL or keyword string.
    role : str
        What the connection is for, shown as its application_name.

    Raises
    ------
    UsageError
        The URL cannot be parsed.
    LedgerError
        The server cannot be reached or refuses, or is older than PostgreSQL 15.
    """
    parameters = _parse(url)
    settings = {**DEFAULTS, "application_name": role, **parameters}
    try:
        connection = psycopg.connect(**settings, autocommit=True)
    except psycopg.OperationalError as error:
        raise LedgerError(f"cannot connect to {place(url)}: {_reason(error)}; {WAY_OUT}") from None
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise LedgerError(
            f"{place(url)} is PostgreSQL {version // 10000}.{version % 10000}, which is too old: "
            "upgrade the server to 15 or newer"
        )
    return connection


def engine(url: str, role: str = "ledger") -> Engine:
    """Return an SQLAlchemy engine whose connections are those of `connect`, without a pool."""
    return create_engine("postgresql+psycopg://", creator=lambda: _for_sqlalchemy(url, role), poolclass=NullPool)


def place(url: str) -> str:
    """Return what the URL names, as a person would, and never its password."""
    parameters = _parse(url)
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port")
    user = parameters.get("user")
    where = f"{host}:{port}" if port and not str(host).startswith("/") else host
    database = f"database {parameters['dbname']}" if parameters.get("dbname") else "the default database"
    return f"{database} at {where}" + (f" as {user}" if user else "")


WAY_OUT = "check --database-url or DATABASE_URL, and that the server is up"


def _for_sqlalchemy(url: str, role: str) -> psycopg.Connection[Any]:
    connection = connect(url, role)
    # Times in UTC whatever the machine; and a role named like the schema would hide the schema from reflection. Not as
    # start-up options, which poolers refuse.
    connection.execute("set timezone = 'UTC'")
    connection.execute("set search_path = pg_catalog")
    connection.autocommit = False
    return connection


def _parse(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError as error:
        # libpq quotes what it could not parse, which may be the password
        del error
        raise UsageError(
            "the database URL cannot be parsed: write postgresql://user@host:5432/database or key=value pairs"
        ) from None


def _reason(error: psycopg.OperationalError) -> str:
    """Return what the server or the network said, without libpq's account of where it asked."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.rpartition("failed: ")[2] for line in lines if "failed: " in line] or lines
    return said[-1] if said else type(error).__name__
