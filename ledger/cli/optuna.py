"""The command group `ledger optuna`. The commands create and remove the database views that Optuna reads."""

import click

from ledger.access import MIGRATION_SECONDS, database
from ledger.cli import document
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.settings import Settings


@click.group(cls=SectionedGroup, epilog=examples("ledger optuna enable", "ledger optuna status", "ledger optuna url"))
def optuna() -> None:
    """Allow Optuna and its dashboard to read the ledger."""


@optuna.command(epilog=examples("ledger optuna enable"))
@settings_options
def enable(settings: Settings) -> None:
    """Create views that show the ledger as Optuna's tables, in the schema `optuna`.

    The views copy no data, and refuse every write by Optuna. `ledger db upgrade` updates the views. The command also
    creates an index on the table of trials, because the views need this index. `ledger optuna disable` removes the
    views and the index.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.optuna import views as optuna_views

    with database(settings) as url, engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
        migration.check(connection)
        is_new = optuna_views.enable(connection)
    click.echo(
        f"Optuna can read this ledger{'' if is_new else ', as before'}: `ledger dashboard` shows the ledger, and"
        " `ledger optuna url` prints the URL for Optuna"
    )


@optuna.command(epilog=examples("ledger optuna disable"))
@settings_options
def disable(settings: Settings) -> None:
    """Remove the views and the index that `ledger optuna enable` created."""
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.optuna import views as optuna_views

    with database(settings) as url, engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
        migration.check(connection)
        removed = optuna_views.disable(connection)
    click.echo(f"Optuna cannot read this ledger{' any more' if removed else ', as before'}")


@optuna.command(epilog=examples("ledger optuna status", "ledger optuna status --json"))
@document.json_option
@settings_options
def status(as_json: bool, settings: Settings) -> None:
    """Show whether Optuna can read the ledger.

    The command also shows the supported versions of Optuna, and the studies with trials that Optuna cannot see.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.optuna import views as optuna_views
    from ledger.optuna.connect import SUPPORTED

    with database(settings) as url, engine(url).connect() as connection:
        migration.check(connection)
        enabled = optuna_views.enabled(connection)
        hidden = optuna_views.not_shown(connection) if enabled else ()
    if as_json:
        versions_by_key = {package.replace("-", "_"): series for package, series in SUPPORTED.items()}
        document.write({"enabled": enabled, **versions_by_key, "not_wholly_shown": list(hidden)})
        return
    if not enabled:
        click.echo("Optuna cannot read this ledger: run `ledger optuna enable`")
        return
    versions = " and ".join(f"{package} {series}" for package, series in SUPPORTED.items())
    click.echo(f"Optuna can read this ledger; the ledger supports {versions}")
    for name in hidden:
        click.echo(
            f"warning: study {name} has too many trials for Optuna's ids, so Optuna does not see the last trials:"
            f" `ledger export {name} --format optuna` writes all trials"
        )


@optuna.command(epilog=examples("ledger optuna url", 'optuna-dashboard "$(ledger optuna url)"'))
@settings_options
def url(settings: Settings) -> None:
    """Print the ledger's URL for Optuna, without the password.

    The password for the URL must be in the environment variable PGPASSWORD or in the file ~/.pgpass.
    """
    from psycopg.conninfo import conninfo_to_dict

    from ledger import embedded
    from ledger.optuna import connect

    if connect.is_installed():
        connect.check_version("optuna")
    with database(settings) as database_url:
        connect.check_enabled(database_url)
        click.echo(connect.url(database_url))
    if settings.database_url is None:
        if not embedded.is_running(settings.home):
            click.echo("ledger: the embedded server is not running now; `ledger dashboard` starts the server", err=True)
    elif "password" in conninfo_to_dict(settings.database_url):
        click.echo(
            "ledger: the printed URL does not contain the password: set the password in PGPASSWORD or ~/.pgpass",
            err=True,
        )
