"""The commands of `ledger db`, which upgrade, check and access the database."""

import os
import shutil
import subprocess
import sys

import click

from ledger import embedded
from ledger.access import MIGRATION_SECONDS, database
from ledger.cli import document
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.errors import LedgerError
from ledger.settings import Settings


@click.group(cls=SectionedGroup, epilog=examples("ledger db upgrade", "ledger db check", "ledger db psql"))
def db() -> None:
    """Upgrade, check and access the database."""


@db.command(
    epilog=examples(
        "ledger db upgrade",
        "ledger db upgrade --database-url postgresql://ledger_owner@db.example/ledger",
    )
)
@settings_options
def upgrade(settings: Settings) -> None:
    """Upgrade the schema. Several processes can run this command at the same time."""
    from ledger.database import migration
    from ledger.database.connection import engine

    with (
        database(settings, create=True) as url,
        engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection,
    ):
        before = migration.current(connection)
        migration.upgrade(connection)
        after = migration.current(connection)
    click.echo(f"the schema is at revision {after}" + (" as before" if before == after else ""))


@db.command(epilog=examples("ledger db current", "ledger db current --json"))
@document.json_option
@settings_options
def current(as_json: bool, settings: Settings) -> None:
    """Print the schema's revision."""
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.database.revision import head

    with database(settings) as url, engine(url).connect() as connection:
        revision = migration.current(connection)
    if revision is None:
        raise LedgerError("the database is not migrated: run `ledger db upgrade`")
    if as_json:
        document.write({"revision": revision, "head": head()})
        return
    click.echo(revision + (" (head)" if revision == head() else ""))


@db.command(epilog=examples("ledger db check", "ledger db check --older-than 60 --json"))
@click.option(
    "--older-than",
    type=click.FloatRange(0, 1e9),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Warn about each transaction that has been open for longer than this number of seconds.",
)
@document.json_option
@settings_options
def check(older_than: float, as_json: bool, settings: Settings) -> None:
    """Check the schema, and find transactions that keep locks or prevent the removal of dead rows.

    The command names each session that has held locks on the ledger's tables for more than 10 seconds. The command also
    names each session that blocks other sessions. For each named session, the command shows the session's role, the age
    of the transaction and the last statement. Dead rows slow down every claim of a trial. An old snapshot prevents the
    removal of dead rows. A session, a prepared transaction or a replication slot can hold an old snapshot. The command
    warns about each old snapshot, and about sessions that are idle in a transaction. The command also warns about
    rights with which a login could stop the server or the services of other logins. For each of these rights, the
    command prints the SQL statement that revokes the right. The exit code is 1 if PostgreSQL cannot remove dead rows,
    or if the schema is not up to date.
    """
    from ledger.database import health, migration, rights
    from ledger.database.connection import engine, place
    from ledger.database.revision import head

    with database(settings) as url, engine(url).connect() as connection:
        migration.check(connection)
        warnings = health.warnings(connection, older_than)
        lines = [*warnings.lines, *rights.warnings(connection)]
        server = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        if as_json:
            facts = {"database": place(url), "postgresql": server, "revision": head()}
            document.write({**facts, "warnings": lines, "is_held_back": warnings.is_held_back})
        for line in () if as_json else lines:
            click.echo(f"warning: {line}")
        if warnings.is_held_back:
            raise LedgerError("PostgreSQL cannot remove dead rows, so claims become slower: see the warnings")
        if not as_json:
            click.echo(f"{place(url)} is healthy: PostgreSQL {server}, schema at revision {head()}")


@db.command(epilog=examples("ledger db url", 'psql "$(ledger db url)"'))
@settings_options
def url(settings: Settings) -> None:
    """Print the database's URL, for psql and other tools."""
    if settings.database_url is not None:
        click.echo(settings.database_url)
        return
    is_running = embedded.is_running(settings.home)
    click.echo(embedded.url(settings.home))
    if not is_running:
        click.echo("ledger: the embedded server is not running now; `ledger db psql` starts the server", err=True)


@db.command(
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "ledger db psql",
        'ledger db psql -c "select * from ledger.progress"',
        "ledger db psql -v study=svm-42-341b3e -f sql/queries/leaderboard.sql",
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@settings_options
def psql(arguments: tuple[str, ...], settings: Settings) -> None:
    """Open psql on the ledger. The command passes its arguments to psql, as in
    `ledger db psql -f sql/queries/progress.sql`.
    """
    program = shutil.which("psql") or str(embedded.program("psql"))
    with database(settings) as url:
        code = _run([program, *arguments], url)
    sys.exit(code)


@db.command(
    name="pg_dump",
    context_settings={"ignore_unknown_options": True},
    epilog=examples("ledger db pg_dump -n ledger -Fc -f ledger.dump"),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@settings_options
def pg_dump(arguments: tuple[str, ...], settings: Settings) -> None:
    """Run pg_dump on the ledger. The command passes its arguments to pg_dump, as in
    `ledger db pg_dump -n ledger -Fc -f ledger.dump`.

    For the embedded database, the command runs the pg_dump that has the same version as the embedded server.
    """
    with database(settings) as url:
        code = _run([_server_program("pg_dump", settings), *arguments], url)
    sys.exit(code)


@db.command(
    name="pg_restore",
    context_settings={"ignore_unknown_options": True},
    epilog=examples("ledger db pg_restore --no-owner --no-privileges --exit-on-error ledger.dump"),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@settings_options
def pg_restore(arguments: tuple[str, ...], settings: Settings) -> None:
    """Run pg_restore on a database without a ledger. The command passes its arguments to pg_restore, as in
    `ledger db pg_restore --no-owner --no-privileges --exit-on-error ledger.dump`.

    If the embedded database does not exist, the command creates an embedded database without the schema `ledger`. After
    pg_restore, run `ledger db upgrade` to set the privileges of each role. For the embedded database, the command runs
    the pg_restore that has the same version as the embedded server.
    """
    with database(settings, create=True, migrate=False) as url:
        # Without --dbname, pg_restore would print the SQL statements of the dump, but would not run the statements.
        into = f"--dbname={_variables(url).get('PGDATABASE', '')}"
        code = _run([_server_program("pg_restore", settings), into, *arguments], url)
    sys.exit(code)


def _server_program(name: str, settings: Settings) -> str:
    """Return the path of a PostgreSQL program, such as pg_dump.

    If the server is embedded, the function returns the program that has the same version as the server. If the server
    is not embedded, the function searches the folders in PATH. If no folder contains the program, the function returns
    the embedded server's program.
    """
    elsewhere = None if settings.database_url is None else shutil.which(name)
    return elsewhere or str(embedded.program(name))


def _run(command: list[str], url: str) -> int:
    """Run a program that connects to the database, and return the exit code of the program."""
    # This function passes the password in an environment variable, because every user of this machine can read the
    # command line of a process.
    return subprocess.run(command, env={**os.environ, **_variables(url)}, check=False).returncode


def _variables(url: str) -> dict[str, str]:
    """Return a dict of the environment variables from which libpq reads the parameters of the URL."""
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.pq import Conninfo

    variables = {option.keyword.decode(): option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    return {variables[name]: str(value) for name, value in conninfo_to_dict(url).items() if name in variables}
