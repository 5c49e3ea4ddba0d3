"""run, manager and resume: the commands that carry a study on."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from ledger.access import database
from ledger.cli.names import STUDY
from ledger.cli.options import allow_option, examples, service_options, study_options, wait_option
from ledger.settings import Settings


@click.command(
    epilog=examples(
        "ledger run --model xgb --iterations 5 --batch-size 4 --workers 4 --seed 7",
        "ledger run --data train.csv --target label --cv 5 --metric f1_macro",
        "ledger run study.toml",
        "ledger run study.toml --allow my_package --trial-timeout 600",
        "ledger run --mode steady --batch-size 8 --iterations 10",
    )
)
@study_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Workers to start on this machine. Default: one a core, at most the batch size.",
)
@allow_option
@wait_option
@service_options
def run(
    file: Path | None,
    options: dict[str, Any],
    workers: int | None,
    allow: Collection[str],
    wait: bool,
    settings: Settings,
) -> None:
    """Run a study on this machine: database, workers and manager.

    Without a database URL it starts the embedded PostgreSQL in ./.ledger, whose data stay. The same command, after
    Ctrl-C or a crash, goes on where it was; a complete study is shown.
    """
    from ledger import search
    from ledger.cli.shown import Shown, end, local
    from ledger.study.spec import assemble
    from ledger.study.spec import workers as workers_of

    study = assemble(options, file)
    workers = workers or workers_of(file) or min(os.cpu_count() or 1, study.batch_size)
    if study.objective.function is not None:
        search.check_objective(study.spec()["objective"], allow)
    with database(settings, create=True) as url:
        shown = Shown(settings)
        row = search.run(url, settings, study, local(workers, allow, shown), wait=wait, listener=shown)
        end(url, settings, row)


@click.command(
    epilog=examples(
        "ledger manager --model svm --iterations 10 --batch-size 8",
        "ledger manager study.toml --wait",
    )
)
@study_options
@wait_option
@service_options
def manager(file: Path | None, options: dict[str, Any], wait: bool, settings: Settings) -> None:
    """Manage a study whose workers are started elsewhere.

    Asks the optimizer for points, inserts them, waits for the workers' losses, and tells the optimizer, until the
    budget is used. The exit code is the study's outcome: 0 where it is complete.
    """
    from ledger import search
    from ledger.cli.shown import Shown, end
    from ledger.study.spec import assemble

    study = assemble(options, file)
    with database(settings, create=True) as url:
        row = search.run(url, settings, study, search.LocalWorkers(), wait=wait, listener=Shown(settings))
        end(url, settings, row)


@click.command(
    epilog=examples(
        "ledger resume svm-42-5a83e9",
        "ledger resume svm-42-5a83e9 --iterations 6 --workers 4",
    )
)
@click.argument("name", type=STUDY)
@click.option("--iterations", type=click.IntRange(min=1), help="Extend the budget to this many iterations.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Workers to start on this machine. Default: one a core for the embedded database, none for another.",
)
@allow_option
@wait_option
@service_options
def resume(
    name: str, iterations: int | None, workers: int | None, allow: Collection[str], wait: bool, settings: Settings
) -> None:
    """Let a paused study go on, continue one after a kill, or extend it.

    Nothing has to be restored: the ledger is the state.
    """
    from ledger import search
    from ledger.cli.shown import Shown, end, local

    if workers is None:
        workers = 0 if settings.database_url else os.cpu_count() or 1
    with database(settings) as url:
        shown = Shown(settings)
        crew = local(workers, allow, shown)
        row = search.resume(url, settings, name, crew, iterations=iterations, wait=wait, listener=shown)
        end(url, settings, row)
