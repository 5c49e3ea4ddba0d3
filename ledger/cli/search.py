"""The commands `run`, `manager` and `resume`, which run a study."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger.access import database
from ledger.cli.names import STUDY
from ledger.cli.options import (
    allow_command_option,
    allow_option,
    examples,
    service_options,
    store_option,
    trainer_user_option,
    wait_option,
)
from ledger.cli.sections import SectionedCommand
from ledger.cli.study_options import StudyCommand, study_option, study_options
from ledger.errors import LedgerError, UsageError
from ledger.large_arrays import return_large_arrays
from ledger.objectives.command_template import pattern_of
from ledger.settings import Settings
from ledger.study.file import assemble
from ledger.study.file import workers as workers_of
from ledger.study.tables import COMMAND
from ledger.without_pandas import without_pandas

if TYPE_CHECKING:
    from ledger.database.rows import StudyRow


@click.command(
    cls=StudyCommand,
    epilog=examples(
        "ledger run --model xgb --iterations 5 --batch-size 4 --workers 4 --seed 7",
        "ledger run --data train.csv --target-column label --cv 5 --metric f1_macro",
        "ledger run --data flats.csv --target-column price --model lgbm",
        "ledger run study.toml",
        "ledger run study.toml --allow my_package --trial-timeout 600",
        "ledger run --mode steady --batch-size 8 --iterations 10",
        "ledger run --space space.toml --trials 20 -- python train.py --lr {lr}",
        "ledger run study.toml --trials 1000 --timeout 3600 --patience 50",
    ),
)
@study_options
@study_option("workers")
@trainer_user_option
@allow_option
@allow_command_option
@click.option(
    "--accept-change",
    is_flag=True,
    help="If the code of your own objective differs from the recorded code of the study, record the new code for the"
    " following trials. Without this option, the command refuses a changed objective.",
)
@wait_option
@service_options
@store_option
def run(
    file: Path | None,
    options: dict[str, Any],
    workers: int | None,
    trainer_user: str | None,
    allow: Collection[str],
    allow_command: Collection[str],
    accept_change: bool,
    wait: bool,
    settings: Settings,
) -> None:
    """Run a study with its database, workers and manager on this machine.

    Without a database URL, the command starts the embedded PostgreSQL server, and stores all data in ./.ledger. After
    Ctrl-C or a crash, run the same command again to continue the study. If the study is complete, the command shows the
    result of the study. If the code of your own objective differs from the recorded code, the command refuses to
    continue the study.

    The words after -- are a program and its arguments. A worker runs the program once for each trial. A placeholder
    such as {lr} stands for the value of a parameter. The workers that the command starts may run only the program after
    --, with its arguments.
    """
    from ledger import search
    from ledger.cli.environment import log_environment
    from ledger.cli.progress_display import ProgressDisplay, best_so_far, end, local
    from ledger.manager.objective_change import IfChanged, ObjectiveChangedError
    from ledger.worker.system_user import find_system_user

    account = None if trainer_user is None else find_system_user(trainer_user)
    study = assemble(options, file)
    workers = workers or workers_of(file) or min(os.cpu_count() or 1, study.batch_size)
    if COMMAND in options:
        allow_command = [*allow_command, pattern_of(options[COMMAND])]
    code = search.check_objective(study, allow, allow_command, account=account)
    log_environment(settings)
    with _manager_process(), database(settings, create=True) as url:
        shown = ProgressDisplay(settings)
        started = local(workers, allow, allow_command, shown, trainer_user)
        if_changed: IfChanged = "accept" if accept_change else "refuse"
        try:
            with best_so_far(url, settings, study.name):
                row = search.run(
                    url, settings, study, started, code=code, if_changed=if_changed, wait=wait, listener=shown
                )
        except ObjectiveChangedError as error:
            raise LedgerError(
                f"{error.difference}: use --accept-change to run the next trials with the new code, or choose another"
                " --name"
            ) from None
        end(url, settings, row)


@click.command(
    cls=StudyCommand,
    epilog=examples(
        "ledger manager --model svm --iterations 10 --batch-size 8",
        "ledger manager study.toml --wait",
    ),
)
@study_options
@wait_option
@service_options
@store_option
def manager(file: Path | None, options: dict[str, Any], wait: bool, settings: Settings) -> None:
    """Run only the manager of a study, without workers.

    The manager asks the optimizer for points, and inserts each point as a trial. The manager waits for the losses from
    the workers, and passes the losses to the optimizer. The manager proposes points until the budget is used. The
    command `ledger worker` starts a worker, on this machine or on any other machine. The exit code is 0 if the study is
    complete.
    """
    from ledger import search
    from ledger.cli.environment import log_environment
    from ledger.cli.progress_display import ProgressDisplay, best_so_far, end

    study = assemble(options, file)
    search.check_known_objective(study)
    log_environment(settings)
    with _manager_process(), database(settings, create=True) as url:
        with best_so_far(url, settings, study.name):
            row = search.run(
                url, settings, study, search.LocalWorkerSettings(), wait=wait, listener=ProgressDisplay(settings)
            )
        end(url, settings, row)


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger resume svm-42-341b3e",
        "ledger resume svm-42-341b3e --iterations 6 --workers 4",
        "ledger resume svm-42-341b3e --trials 100",
        "ledger resume svm-42-341b3e --timeout 7200",
        "ledger resume svm-42-341b3e --batch-size 32 --trials 1000 --workers 32",
    ),
)
@click.argument("name", type=STUDY)
@study_option(
    "iterations",
    "Extend the budget to this total number of iterations. The total includes the iterations of earlier runs.",
)
@study_option(
    "trials", "Extend the budget to this total number of trials. The total includes the trials of earlier runs."
)
@study_option("batch_size", "Change the batch size from the next proposal on.")
@study_option(
    "timeout", "Change the timeout. The timeout is the total number of seconds for which managers work on the study."
)
@study_option("target", "Change the target. The study ends when a trial has this value or a better value.")
@study_option("patience", "Change the patience. The study ends after this number of trials without a better value.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Number of workers to start on this machine. Default: one worker per core if the database is embedded, else"
    " no worker.",
)
@trainer_user_option
@allow_option
@allow_command_option
@wait_option
@service_options
@store_option
def resume(
    name: str,
    iterations: int | None,
    trials: int | None,
    batch_size: int | None,
    timeout: float | None,
    target: float | None,
    patience: int | None,
    workers: int | None,
    trainer_user: str | None,
    allow: Collection[str],
    allow_command: Collection[str],
    wait: bool,
    settings: Settings,
) -> None:
    """Continue a paused, interrupted or failed study, raise its budget, or change its batch size.

    If the target, the patience or the timeout has ended the study, change this criterion with an option of the command.
    The study then runs again, unless the study still meets a criterion.

    The ledger contains the whole state of the study, so the command needs no files of an earlier run. To start workers
    for your own objective, the command needs the module or the program of the objective, and the option --allow or
    --allow-command. If a script or a notebook defines the function, only this script or notebook can start workers for
    the function. To continue the study of such a function, run the script or the notebook again. To extend the study,
    set a larger number of trials or iterations in the script or the notebook.
    """
    from ledger import search
    from ledger.cli.progress_display import ProgressDisplay, best_so_far, end, local
    from ledger.worker.system_user import find_system_user

    if iterations is not None and trials is not None:
        raise UsageError("--iterations and --trials exclude each other; remove one of them")
    account = None if trainer_user is None else find_system_user(trainer_user)
    if workers is None:
        workers = 0 if settings.database_url else os.cpu_count() or 1
    with _manager_process(), database(settings) as url:
        shown = ProgressDisplay(settings)
        started = local(workers, allow, allow_command, shown, trainer_user)
        with best_so_far(url, settings, name):
            row = search.resume(
                url,
                settings,
                name,
                started,
                iterations=iterations,
                trials=trials,
                batch_size=batch_size,
                target=target,
                patience=patience,
                timeout=timeout,
                wait=wait,
                account=account,
                listener=shown,
            )
        end(url, settings, row)
        if not shown.has_started:
            click.echo(f"ledger: study {row.name} is already complete: {_way_to_extend(row)}", err=True)


@contextmanager
def _manager_process() -> Iterator[None]:
    """Save memory in a process that runs a manager."""
    return_large_arrays()
    with without_pandas():
        yield


def _way_to_extend(row: "StudyRow") -> str:
    """Return the text that tells the user how to continue a complete study."""
    from ledger.objectives.pickled import is_in_script

    if is_in_script(row.spec["objective"]):
        change = f"change `{row.stopped_by}`" if row.stopped_by else "set a larger `trials` or `iterations`"
        return (
            f"to continue the study, {change} in the study's script or notebook, and run the script or notebook again"
        )
    if row.stopped_by:
        return f"to continue the study, add --{row.stopped_by} with another value"
    return f"to extend the study, add --trials with a total of more than {row.budget} trials"
