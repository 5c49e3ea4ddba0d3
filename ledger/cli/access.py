"""The commands `ledger access add`, `ledger access list` and `ledger access remove`."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ledger.access import database
from ledger.cli import document, table
from ledger.cli.options import TEXT, examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.database.login_kinds import CONNECTION_LIMITS, KINDS
from ledger.errors import UsageError
from ledger.settings import Settings

if TYPE_CHECKING:
    import psycopg

# Number of random bytes in a generated password.
PASSWORD_BYTES = 24


@click.group(cls=SectionedGroup, epilog=examples("ledger access add worker-7 --as worker", "ledger access list"))
def access() -> None:
    """Add, list and remove the logins of workers, managers and readers."""


@access.command(
    epilog=examples(
        "ledger access add worker-7 --as worker",
        "ledger access add dashboard --as reader --ask-password",
    )
)
@click.argument("name", type=TEXT)
@click.option(
    "--as",
    "kind",
    required=True,
    type=click.Choice(list(KINDS)),
    help="Kind of the login. The login gets the rights of the role ledger_owner, ledger_manager, ledger_worker or"
    " ledger_reader.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--ask-password", is_flag=True, help="Ask the user for the password twice.")
@click.option(
    "--connection-limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Largest number of open connections of the login. Default: "
    f"{CONNECTION_LIMITS['reader']} for a reader, and no limit for any other login.",
)
@settings_options
def add(
    name: str,
    kind: str,
    password_stdin: bool,
    ask_password: bool,
    connection_limit: int | None,
    settings: Settings,
) -> None:
    """Create a login with the rights of one of the four roles (sql/roles.sql).

    Create a separate login for each service, and for each worker that another person runs. Without an option for the
    password, the command generates a password and prints the password once. The command sends only the SCRAM hash of
    the password to the server. The database URL must name a superuser or a role with CREATEROLE. The role that ran
    sql/roles.sql has the necessary rights.
    """
    from ledger.database import logins

    logins.check_name(name)
    if password_stdin and ask_password:
        raise UsageError("--password-stdin and --ask-password exclude each other: remove one of them")
    # After an outage of the database, the command starts again. After each new start, the command must use the same
    # password as before the outage.
    context = click.get_current_context()
    password = context.meta.get(__name__) or _password(from_stdin=password_stdin, ask=ask_password)
    context.meta[__name__] = password
    logins.check_password(password)
    with _connected(settings) as connection:
        logins.add(connection, name, kind, password, connection_limit)
    click.echo(f"login {name} is created with the rights of {KINDS[kind]}")
    if not password_stdin and not ask_password:
        click.echo(f"password {password}")
        click.echo(
            "ledger: no command shows the password again: keep the password in ~/.pgpass or in a secret store", err=True
        )


@access.command("list", epilog=examples("ledger access list", "ledger access list --json"))
@document.json_option
@settings_options
def list_(as_json: bool, settings: Settings) -> None:
    """List each login with its rights, its open sessions and its settings.

    The settings in the list do not include the settings that `ledger access add` made. A login can change its own
    settings. A login with a wrong setting may be unable to open new sessions. The settings of a login do not affect
    other logins.
    """
    from ledger.database import logins

    with _connected(settings) as connection:
        found = logins.all_of(connection)
    if as_json:
        names = ("name", "kind", "sessions", "settings", "is_removable")
        document.write([document.pick(login, *names) for login in found])
        return
    table.show(
        ["LOGIN", "AS", "SESSIONS", "SETTINGS"],
        [[login.name, login.kind, login.sessions, ", ".join(login.settings) or None] for login in found],
    )


@access.command(epilog=examples("ledger access remove worker-7"))
@click.argument("name", type=TEXT)
@settings_options
def remove(name: str, settings: Settings) -> None:
    """Drop a login that `ledger access add` created, and end the login's sessions.

    If a worker with this login has claimed a trial, the trial becomes pending again when the lease of the trial has
    expired.
    """
    from ledger.database import logins

    logins.check_name(name)
    with _connected(settings) as connection:
        ended = logins.remove(connection, name)
    click.echo(f"login {name} is removed" + (f"; ended sessions of the login: {ended}" if ended else ""))


@contextmanager
def _connected(settings: Settings) -> "Iterator[psycopg.Connection[Any]]":
    """Yield a writable connection in autocommit mode. The function also accepts a database without the schema
    `ledger`.
    """
    from ledger.database.connection import connect

    with (
        database(settings) as url,
        connect(url, "ledger access", statement_seconds=settings.statement_timeout, writes=True) as connection,
    ):
        yield connection


def _password(*, from_stdin: bool, ask: bool) -> str:
    if from_stdin:
        try:
            return sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the password on standard input is not valid UTF-8") from None
    if ask:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return secrets.token_urlsafe(PASSWORD_BYTES)
