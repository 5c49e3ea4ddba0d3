"""The commands of workers: worker, which trains trials, and worker list."""

from collections.abc import Collection
from datetime import timedelta

import click
from click.core import ParameterSource

from ledger.access import database, ledger_store
from ledger.cli import document, table
from ledger.cli.environment import log_environment
from ledger.cli.names import STUDY
from ledger.cli.options import Bytes, Seconds, allow_option, examples, service_options, settings_options
from ledger.errors import UsageError
from ledger.settings import Settings


@click.group(
    invoke_without_command=True,
    subcommand_metavar="[list]",
    epilog=examples(
        "ledger worker",
        "ledger worker --study svm-42-5a83e9 --until-complete",
        "ledger worker --allow my_package --memory-limit 4G --threads 2",
        "ledger worker list",
    ),
)
@click.option(
    "--study",
    envvar="LEDGER_STUDY",
    show_envvar=True,
    type=STUDY,
    metavar="NAME",
    help="Work for this study, which may be created later. Default: every running study.",
)
@click.option("--max-trials", type=click.IntRange(min=1), metavar="N", help="Stop after N attempts.")
@click.option(
    "--until-complete", is_flag=True, help="Stop when the study has ended, or without --study, when all studies have."
)
@click.option(
    "--threads",
    envvar="LEDGER_WORKER_THREADS",
    show_envvar=True,
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of one training.",
)
@click.option(
    "--grace",
    envvar="LEDGER_WORKER_GRACE",
    show_envvar=True,
    type=Seconds(min=0),
    default=8.0,
    show_default=True,
    help="On a signal to stop, finish the trial within this time or give it back. A second signal stops it at once.",
)
@click.option(
    "--trial-timeout",
    envvar="LEDGER_WORKER_TRIAL_TIMEOUT",
    show_envvar=True,
    type=Seconds(min=0, min_open=True),
    help="End an attempt that trains for longer on this worker. Default: the study's limit.",
)
@click.option(
    "--memory-limit",
    envvar="LEDGER_WORKER_MEMORY_LIMIT",
    show_envvar=True,
    type=Bytes(),
    help="Data that a training may hold, such as 512M or 4G; an attempt that needs more fails. Default: no limit.",
)
@click.option("--leash", is_flag=True, hidden=True, help="Leave at the end of the file on standard input.")
@allow_option
@service_options
@click.pass_context
def worker(
    context: click.Context,
    study: str | None,
    max_trials: int | None,
    until_complete: bool,
    threads: int,
    grace: float,
    trial_timeout: float | None,
    memory_limit: int | None,
    leash: bool,
    allow: Collection[str],
    settings: Settings,
) -> None:
    """Claim trials, train, and write their losses back.

    Start any number of workers, on any machine that reaches the database. On Ctrl-C or SIGTERM a worker claims no more
    trials and stops.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    if not leash:  # `ledger run` has logged the settings of its workers
        log_environment(settings)
    from ledger.database import revision
    from ledger.database.connection import connect
    from ledger.worker.supervisor import Orders, Supervisor

    orders = Orders(study, max_trials, until_complete, allow, threads, grace, trial_timeout, memory_limit, leash=leash)
    with database(settings, create=True) as url:
        with connect(url, "ledger worker", statement_seconds=settings.statement_timeout) as connection:
            revision.check(revision.current(lambda statement: connection.execute(statement).fetchall()[0][0]))
        Supervisor(url, orders, settings).run()


@worker.command(name="list", epilog=examples("ledger worker list", "ledger worker list --json"))
@document.json_option
@settings_options
def list_(as_json: bool, settings: Settings) -> None:
    """List the workers and the trials that they train, the latest workers first.

    A worker is alive if it was seen within the last 30 s, or if it holds a trial whose lease has not ended.
    """
    with ledger_store(settings) as store:
        rows = store.workers()
    if as_json:
        names = ("name", "host", "pid", "started_at", "last_seen_at", "stopped_at", "alive", "study", "trial")
        document.write([{**document.pick(row, *names), "versions": row.versions} for row in rows])
        return
    if not rows:
        click.echo("no workers yet: `ledger worker` starts one")
        return
    table.show(
        ("WORKER", "HOST", "STATE", "TRAINS", "LAST SEEN"),
        [
            (
                row.name,
                row.host,
                "stopped" if row.stopped_at is not None else "alive" if row.alive else "gone",
                None if row.trial is None else f"{row.study} trial {row.trial}",
                f"{max(timedelta(), timedelta(seconds=int(row.seconds)))} ago",
            )
            for row in rows
        ],
    )


def _refuse_options(context: click.Context) -> None:
    """Refuse options before the subcommand: they belong to `ledger worker`, and would have no effect."""
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is before {context.invoked_subcommand}: write it after it, or leave it out")
