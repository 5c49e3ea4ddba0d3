"""The commands `worker`, which runs a worker, and `worker list`, which shows the workers."""

from collections.abc import Collection
from datetime import timedelta

import click
from click.core import ParameterSource

from ledger.access import connected, database
from ledger.cli import document, table
from ledger.cli.environment import log_environment
from ledger.cli.names import STUDY
from ledger.cli.options import (
    ByteSizeType,
    SecondsType,
    allow_command_option,
    allow_option,
    examples,
    service_options,
    settings_options,
    store_option,
    trainer_user_option,
)
from ledger.cli.sections import SectionedGroup
from ledger.errors import UsageError
from ledger.settings import Settings
from ledger.text import one_line


@click.group(
    cls=SectionedGroup,
    invoke_without_command=True,
    subcommand_metavar="[list]",
    epilog=examples(
        "ledger worker",
        "ledger worker --study svm-42-341b3e --until-complete",
        "ledger worker --allow my_package --memory-limit 4G --threads 2",
        "ledger worker --allow-command './train.sh {lr}'",
        "ledger worker list",
    ),
)
@click.option(
    "--study",
    envvar="LEDGER_STUDY",
    show_envvar=True,
    type=STUDY,
    metavar="NAME",
    help="Study from which the worker claims trials. The study does not have to exist yet. Default: every running"
    " study.",
)
@click.option("--max-trials", type=click.IntRange(min=1), metavar="N", help="Stop after N attempts.")
@click.option(
    "--until-complete",
    is_flag=True,
    help="Stop when the study has ended. Without --study, stop when every study has ended.",
)
@click.option(
    "--threads",
    envvar="LEDGER_WORKER_THREADS",
    show_envvar=True,
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of threads of one training.",
)
@click.option(
    "--grace",
    envvar="LEDGER_WORKER_GRACE",
    show_envvar=True,
    type=SecondsType(min=0),
    default=8.0,
    show_default=True,
    help="Length of the grace time. After Ctrl-C or SIGTERM, the worker may finish its trial within the grace time, or"
    " keep a checkpoint of the trial. At the end of the grace time, or at a second signal, the worker releases the"
    " trial.",
)
@click.option(
    "--trial-timeout",
    envvar="LEDGER_WORKER_TRIAL_TIMEOUT",
    show_envvar=True,
    type=SecondsType(min=0.01),
    help="Time limit of each attempt on this worker. Default: the time limit of the study.",
)
@click.option(
    "--memory-limit",
    envvar="LEDGER_WORKER_MEMORY_LIMIT",
    show_envvar=True,
    type=ByteSizeType(),
    help="Memory limit (RLIMIT_DATA) of the trainer process, such as 512M or 4G. If a training needs more"
    " memory than this limit, the attempt fails. Default: no limit.",
)
@click.option("--exit-on-eof", is_flag=True, hidden=True, help="Stop when standard input reaches its end.")
@trainer_user_option
@allow_option
@allow_command_option
@service_options
@store_option
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
    trainer_user: str | None,
    exit_on_eof: bool,
    allow: Collection[str],
    allow_command: Collection[str],
    settings: Settings,
) -> None:
    """Claim trials, train models, and record the losses.

    Any number of workers can run at the same time, on any machine that can reach the database. After Ctrl-C or SIGTERM,
    a worker claims no new trial. The worker stops when the worker has finished or released the current trial.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from ledger.worker.system_user import find_system_user

    account = None if trainer_user is None else find_system_user(trainer_user)
    if not exit_on_eof:  # `ledger run` has logged the settings of its workers
        log_environment(settings)
    from ledger.database import revision
    from ledger.database.connection import connect
    from ledger.store import chosen
    from ledger.worker.options import WorkerOptions
    from ledger.worker.supervisor import Supervisor

    if account is not None:
        account.check()
    options = WorkerOptions(
        study,
        max_trials,
        until_complete,
        allow,
        threads,
        grace,
        trial_timeout,
        memory_limit,
        account,
        allow_command,
        chosen(settings),
        exit_on_eof=exit_on_eof,
    )
    with database(settings, create=True) as url:
        with connect(url, "ledger worker", statement_seconds=settings.statement_timeout) as connection:
            revision.check(revision.current(lambda statement: connection.execute(statement).fetchall()[0][0]))
        Supervisor(url, options, settings).run()


@worker.command(name="list", epilog=examples("ledger worker list", "ledger worker list --json"))
@document.json_option
@settings_options
def list_(as_json: bool, settings: Settings) -> None:
    """List the workers, the trials that they hold, and the studies that they refuse.

    The list begins with the worker that was seen most recently.

    A worker is alive if the worker has not stopped and was seen in the last 30 s. A worker that holds a trial with a
    valid lease is also alive. A live worker refuses a study if the worker cannot load the study's objective.
    """
    from ledger.database import reads

    with connected(settings) as connection:
        rows = reads.workers(connection)
        refusals = reads.refusals(connection)
    if as_json:
        names = ("name", "host", "pid", "started_at", "last_seen_at", "stopped_at", "alive", "study", "trial")
        refused = {
            row.name: [
                document.pick(each, "study", "reason", "refused_at") for each in refusals if each.worker == row.name
            ]
            for row, _seconds in rows
        }
        document.write(
            [
                {**document.pick(row, *names), "versions": row.versions, "refusals": refused[row.name]}
                for row, _seconds in rows
            ]
        )
        return
    if not rows:
        click.echo("no worker has started yet: `ledger worker` starts a worker")
        return
    table.show(
        ("WORKER", "HOST", "STATE", "TRAINS", "LAST SEEN"),
        [
            (
                row.name,
                row.host,
                "stopped" if row.stopped_at is not None else "alive" if row.alive else "gone",
                None if row.trial is None else f"{row.study} trial {row.trial}",
                f"{max(timedelta(), timedelta(seconds=int(seconds)))} ago",
            )
            for row, seconds in rows
        ],
    )
    for each in refusals:
        click.echo(f"{one_line(each.worker)} refuses study {each.study}: {one_line(each.reason, 1_000)}")


def _refuse_options(context: click.Context) -> None:
    """Refuse each option between `worker` and the subcommand, because such an option would have no effect."""
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            subcommand = context.invoked_subcommand
            raise UsageError(
                f"{option} is before {subcommand}: write {option} after {subcommand}, or leave {option} out"
            )
