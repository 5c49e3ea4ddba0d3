"""Functions that open the ledger as an Optuna storage. Notebooks call the function `storage`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ledger import embedded
from ledger.database import migration
from ledger.database.connection import DEFAULTS, STATEMENT_SECONDS, connect, engine, place, set_up
from ledger.errors import LedgerError
from ledger.keywords import known_keywords
from ledger.optuna import views as optuna_views
from ledger.settings import Settings

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# The releases of Optuna and optuna-dashboard with which the project tests the database views. Versions of Optuna before
# 5.0 expect local times, but the views contain times in UTC.
SUPPORTED = {"optuna": "5.0", "optuna-dashboard": "0.21"}


def check_version(package: str) -> None:
    """Raise a LedgerError if `package` is not installed or if the installed version is not supported."""
    version, series = _installed_version(package), SUPPORTED[package]
    if version is None:
        raise LedgerError(f"{package} is not installed: pip install 'trial-ledger[dashboard]'")
    if version.split(".")[:2] != series.split("."):
        raise LedgerError(
            f"the supported version of {package} is {series}, not {version}: pip install '{package}=={series}.*'"
        )


def is_installed() -> bool:
    """Return True if Optuna is installed, even if the installed version is not supported."""
    return _installed_version("optuna") is not None


def url(database_url: str) -> str:
    """Return the URL with which Optuna opens the ledger. The URL contains no password.

    Parameters
    ----------
    database_url : str
        The address of the ledger's database, as a URL or as a keyword/value string of libpq.

    Examples
    --------
    >>> url("host=db.example user=me dbname=mine")
    'postgresql+psycopg://me@db.example/mine?client_encoding=UTF8&options=-csearch_path%3Doptuna'
    """
    given = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
    given.pop("password", None)
    # If the database has the encoding SQL_ASCII, and the parameter `client_encoding` is not set, psycopg returns each
    # text as bytes.
    given.setdefault("client_encoding", DEFAULTS["client_encoding"])
    given["options"] = f"{given.pop('options', '')} -csearch_path={optuna_views.SCHEMA}".strip()
    user = f"{quote(given.pop('user'), safe='')}@" if "user" in given else ""
    database = quote(given.pop("dbname", ""), safe="")
    where = ""
    # If the host in `database_url` is a list of hosts or the folder of a Unix socket, the function writes the host into
    # the query string of the returned URL.
    if not set(given.get("host", "/")) & set("/,"):
        host = given.pop("host")
        where = f"[{host}]" if ":" in host else quote(host, safe="")
        where += f":{given.pop('port')}" if "port" in given else ""
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in given.items())
    return f"postgresql+psycopg://{user}{where}/{database}?{query}"


@known_keywords
@contextmanager
def storage(database_url: str | None = None, home: Path | None = None) -> "Iterator[RDBStorage]":
    """Yield the ledger as a read-only Optuna storage.

    Parameters
    ----------
    database_url : str, optional
        The address of the ledger's database, as a URL or as a keyword/value string of libpq. If `home` is None, the
        default of `database_url` is the value of the environment variable DATABASE_URL.
    home : Path, optional
        The folder of the embedded server. If the caller passes `database_url`, the function does not use the embedded
        server. If the caller passes only `home`, the function uses the embedded server. If the caller passes no
        argument, the function uses the embedded server only if DATABASE_URL is not set. The embedded server runs at
        least until the end of the ``with`` block. The default folder of the embedded server is the value of the
        environment variable LEDGER_HOME. If LEDGER_HOME is not set, the default folder of the embedded server is
        ``./.ledger``.

    Yields
    ------
    optuna.storages.RDBStorage
        A read-only Optuna storage that contains the studies of the ledger. At the end of the ``with`` block, the
        context manager closes the storage's connections.

    Raises
    ------
    LedgerError
        No supported version of Optuna is installed, the database cannot be reached, or `ledger optuna enable` was not
        run.

    Examples
    --------
    >>> import optuna
    >>> from ledger.optuna import storage
    >>> with storage() as ledger:
    ...     study = optuna.load_study(study_name="parabola", storage=ledger)
    ...     len(study.trials)
    6
    """
    settings = Settings.from_environment()
    with ExitStack() as stack:
        url_ = database_url or (settings.database_url if home is None else None)
        if url_ is None:
            url_ = stack.enter_context(embedded.running(home or settings.home, create=False))
        yield stack.enter_context(opened(url_))


@contextmanager
def opened(database_url: str, statement_seconds: float = STATEMENT_SECONDS) -> "Iterator[RDBStorage]":
    """Yield the ledger as an Optuna storage. The database server must be running."""
    check_version("optuna")
    check_enabled(database_url)
    from optuna.storages import RDBStorage

    def create() -> psycopg.Connection[Any]:
        connection = connect(database_url, "ledger optuna", statement_seconds=statement_seconds, prepares=False)
        set_up(connection, {"timezone": "UTC", "search_path": optuna_views.SCHEMA})
        connection.autocommit = False
        return connection

    # SQLAlchemy receives the function `create` instead of the database URL. The function `create` accepts each URL that
    # libpq accepts. SQLAlchemy does not receive the password, so an error message of SQLAlchemy cannot contain the
    # password.
    engine_kwargs = {"creator": create, "pool_pre_ping": True}
    opened_storage = RDBStorage("postgresql+psycopg://", engine_kwargs=engine_kwargs, skip_table_creation=True)
    try:
        yield opened_storage
    finally:
        opened_storage.remove_session()
        opened_storage.engine.dispose()


def check_enabled(database_url: str) -> None:
    """Raise a LedgerError if the schema is not up to date, or if the database role cannot read the views for Optuna."""
    with engine(database_url).connect() as connection:
        migration.check(connection)
        if not optuna_views.enabled(connection):
            raise LedgerError(f"Optuna cannot read {place(database_url)} yet: run `ledger optuna enable`")
        if not optuna_views.readable(connection):
            raise LedgerError(
                f"Optuna cannot read {place(database_url)}: connect with the login of a reader, or as ledger_owner"
            )


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
