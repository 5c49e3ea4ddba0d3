"""optuna: let Optuna read the ledger."""

import click

from ledger.access import MIGRATION_SECONDS, database
from ledger.cli import document
from ledger.cli.options import examples, settings_options
from ledger.settings import Settings


@click.group(epilog=examples("ledger optuna enable", "ledger optuna status", "ledger optuna url"))
def optuna() -> None:
    """Let Optuna, its plots and its dashboard read the ledger live."""


@optuna.command(epilog=examples("ledger optuna enable"))
@settings_options
def enable(settings: Settings) -> None:
    """Make the views that show the ledger as Optuna's tables, in schema optuna; nothing is copied.

    Optuna only reads them: whatever it writes is refused. `ledger db upgrade` keeps them in step. They cost an index
    more on the trials, and nothing else; `ledger optuna disable` removes both.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.optuna import views as optuna_views

    with database(settings) as url, engine(url, statement_seconds=MIGRATION_SECONDS).connect() as connection:
        migration.check(connection)
        made = optuna_views.enable(connection)
    click.echo(
        f"Optuna can read this ledger{'' if made else ', as before'}: `ledger dashboard` shows it, and"
        " `ledger optuna url` is its storage"
    )


@optuna.command(epilog=examples("ledger optuna disable"))
@settings_options
def disable(settings: Settings) -> None:
    """Remove the views again."""
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
    """Say whether Optuna can read the ledger, with which versions, and what it does not see."""
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
        click.echo("Optuna cannot read this ledger: `ledger optuna enable` lets it")
        return
    versions = " and ".join(f"{package} {series}" for package, series in SUPPORTED.items())
    click.echo(f"Optuna can read this ledger, with {versions}")
    for name in hidden:
        click.echo(
            f"warning: study {name} has more trials than Optuna's ids have room for, and it does not see the last:"
            f" `ledger export {name} --format optuna` writes them all"
        )


@optuna.command(epilog=examples("ledger optuna url", 'optuna-dashboard "$(ledger optuna url)"'))
@settings_options
def url(settings: Settings) -> None:
    """Print the storage URL for Optuna, without a password: PGPASSWORD or ~/.pgpass is its place."""
    from psycopg.conninfo import conninfo_to_dict

    from ledger import embedded
    from ledger.optuna import connect as reading

    if reading.is_installed():
        reading.check_version("optuna")
    with database(settings) as found:
        reading.check_enabled(found)
        click.echo(reading.url(found))
    if settings.database_url is None:
        if not embedded.is_running(settings.home):
            click.echo("ledger: the embedded server is not running now; `ledger dashboard` starts it", err=True)
    elif "password" in conninfo_to_dict(settings.database_url):
        click.echo("ledger: the password is left out: put it into PGPASSWORD or ~/.pgpass", err=True)
