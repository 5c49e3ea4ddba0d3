"""worker: train what the ledger has to train."""

from collections.abc import Collection

import click

from ledger.cli.access import database
from ledger.cli.options import allow_option, settings_options
from ledger.settings import Settings


@click.command()
@click.option(
    "--study",
    envvar="STUDY_NAME",
    show_envvar=True,
    metavar="NAME",
    help="Work for this study, which need not be there yet. Default: any running one.",
)
@click.option("--max-trials", type=click.IntRange(min=1), metavar="N", help="Leave after N attempts.")
@click.option("--until-complete", is_flag=True, help="Leave when the study, or with none named every study, has ended.")
@click.option(
    "--threads",
    envvar="WORKER_THREADS",
    show_envvar=True,
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of one training.",
)
@click.option("--leash", is_flag=True, hidden=True, help="Leave at the end of the file on standard input.")
@allow_option
@settings_options
def worker(
    study: str | None,
    max_trials: int | None,
    until_complete: bool,
    threads: int,
    leash: bool,
    allow: Collection[str],
    settings: Settings,
) -> None:
    """Claim trials, train, and write their losses back.

    Start as many as you like, anywhere that reaches the database. Ctrl-C or SIGTERM gives the trial in hand back.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.worker.supervisor import Orders, Supervisor

    orders = Orders(study, max_trials, until_complete, allow, threads, leash)
    with database(settings, create=True) as url:
        with engine(url, "ledger worker").connect() as connection:
            migration.check(connection)
        Supervisor(url, orders).run()
