"""study: create, list, show, pause, cancel, delete."""

from pathlib import Path
from typing import Any

import click

from ledger.cli import outcome
from ledger.cli.access import database, ledger_store
from ledger.cli.options import TEXT, settings_options, study_options
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings


@click.group()
def study() -> None:
    """Look at studies and steer them."""


@study.command()
@study_options
@settings_options
def create(file: Path | None, options: dict[str, Any], settings: Settings) -> None:
    """Record a study and leave it without a manager, so that nothing is proposed yet.

    Points can be enqueued and history imported before it begins: `ledger resume NAME` lets it, as `ledger run` and
    `ledger manager` do with the same settings.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.database.store import Store
    from ledger.manager import record
    from ledger.study import assemble

    asked = assemble(options, file)
    with (
        database(settings, create=True) as url,
        engine(url, "ledger command", statement_seconds=settings.statement_timeout).connect() as connection,
    ):
        migration.check(connection)
        if record(Store(connection), asked) is None:
            raise LedgerError(
                f"study {asked.name} is there already: `ledger study show {asked.name}` shows it, and another --name"
                " makes another"
            )
    click.echo(f"study {asked.name} is recorded, and nothing is proposed yet: `ledger resume {asked.name}` begins it")


@study.command(name="list")
@settings_options
def list_(settings: Settings) -> None:
    """List the studies, the oldest first."""
    with ledger_store(settings) as store:
        rows = store.progress()
    if not rows:
        click.echo("no studies yet: `ledger run` makes one")
        return
    width = max(len("STUDY"), *(len(row.study) for row in rows))
    click.echo(f"{'STUDY':<{width}}  {'STATE':<9}  ITERATIONS  COMPLETE  RUNNING  FAILED  BEST LOSS  CREATED (UTC)")
    for row in rows:
        iterations = f"{row.iterations_told}/{row.iterations}"
        best = "-" if row.best_loss is None else f"{row.best_loss:.6f}"
        click.echo(
            f"{row.study:<{width}}  {row.state:<9}  {iterations:>10}  {row.complete:>8}  {row.running:>7}"
            f"  {row.failed:>6}  {best:>9}  {row.created_at:%Y-%m-%d %H:%M}"
        )


@study.command()
@click.argument("name", type=TEXT)
@settings_options
def show(name: str, settings: Settings) -> None:
    """Show one study: how far it is, each iteration, and the best trial."""
    with ledger_store(settings) as store:
        row = store.study(name)
        outcome.show(store, row)
        if row.spec.get("mode") == "steady":
            return
        for iteration in store.iterations(row.id):
            if iteration.told_at is None:
                told = "waiting for its trials"
            elif iteration.mean_loss is None:
                told = "none completed"
            else:
                told = f"mean loss {iteration.mean_loss:.6f}, best {iteration.best_loss:.6f}"
            click.echo(f"iteration {iteration.number}: {iteration.size} trials, {told}")


@study.command()
@click.argument("name", type=TEXT)
@settings_options
def pause(name: str, settings: Settings) -> None:
    """Hand out no more trials; those that are running finish."""
    with ledger_store(settings) as store:
        row = store.study(name)
        if not store.pause(row.id) and row.state != "paused":
            raise LedgerError(f"study {name} is {row.state}, so it cannot be paused")
    click.echo(f"study {name} is paused: `ledger resume {name}` lets it go on")


@study.command()
@click.argument("name", type=TEXT)
@settings_options
def cancel(name: str, settings: Settings) -> None:
    """End a study for good; what it has found stays."""
    with ledger_store(settings) as store:
        row = store.study(name)
        if row.has_ended:
            raise LedgerError(f"study {name} is {row.state} already, so it cannot be cancelled")
        store.cancel(row.id, "cancelled by `ledger study cancel`")
    click.echo(f"study {name} is cancelled")


@study.command()
@click.argument("name", type=TEXT)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@settings_options
def delete(name: str, yes: bool, settings: Settings) -> None:
    """Remove a study and all that it has: trials, attempts, losses."""
    with ledger_store(settings) as store:
        row = store.study(name)
        if not yes:
            raise UsageError(f"study {name} would be removed with all its trials: say --yes, or export it first")
        if not store.lock(row.id):
            raise LedgerError(
                f"study {name} has a manager at work: stop it, or `ledger study cancel {name}`, then delete"
            )
        store.delete(row.id)
    click.echo(f"study {name} is deleted")
