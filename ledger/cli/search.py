"""run, manager and resume: the commands that carry a study on."""

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ledger.cli import outcome
from ledger.cli.access import database
from ledger.cli.options import allow_option, settings_options, study_options
from ledger.errors import LedgerError
from ledger.settings import Settings


@click.command()
@study_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Workers to start on this machine. Default: one a core, at most as many as points.",
)
@allow_option
@settings_options
def run(
    file: Path | None, options: dict[str, Any], workers: int | None, allow: Collection[str], settings: Settings
) -> None:
    """Run a study on this machine: database, workers and manager.

    Without a database URL it starts the embedded PostgreSQL in ./.ledger, whose data stay. The same command, after
    Ctrl-C or a crash, goes on where it was; a complete study is shown.
    """
    from ledger.study import assemble
    from ledger.study import workers as workers_of

    study = assemble(options, file)
    workers = workers or workers_of(file) or min(os.cpu_count() or 1, study.points)
    if study.objective.function is not None:
        _check_objective(study.spec()["objective"], allow)
    with database(settings, create=True) as url:
        _carry_on(url, settings, study=study, workers=workers, allow=allow)


@click.command()
@study_options
@settings_options
def manager(file: Path | None, options: dict[str, Any], settings: Settings) -> None:
    """Manage a study whose workers are started elsewhere.

    Asks the optimizer for points, inserts them, waits for the workers' losses, and tells the optimizer, until the
    budget is used. The exit code is the study's outcome: 0 where it is complete.
    """
    from ledger.study import assemble

    study = assemble(options, file)
    with database(settings, create=True) as url:
        _carry_on(url, settings, study=study)


@click.command()
@click.argument("name")
@click.option("--iterations", type=click.IntRange(min=1), help="Extend the budget to this many iterations.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Workers to start on this machine. Default: one a core for the embedded database, none for another.",
)
@allow_option
@settings_options
def resume(name: str, iterations: int | None, workers: int | None, allow: Collection[str], settings: Settings) -> None:
    """Let a paused study go on, continue one after a kill, or extend it.

    Nothing has to be restored: the ledger is the state.
    """
    if workers is None:
        workers = 0 if settings.database_url else os.cpu_count() or 1
    with database(settings) as url:
        _carry_on(url, settings, name=name, iterations=iterations, workers=workers, allow=allow)


def _carry_on(
    url: str,
    settings: Settings,
    *,
    study: Any = None,
    name: str = "",
    iterations: int | None = None,
    workers: int = 0,
    allow: Collection[str] = (),
) -> None:
    """Register `study`, or resume `name`, and manage it to its end; exits with 1 where it failed."""
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.database.store import Store
    from ledger.manager import Manager, register
    from ledger.worker.crew import Crew

    resuming = study is None
    with engine(url, "ledger manager").connect() as connection:
        migration.check(connection)
        store = Store(connection)
        row = _to_resume(store, name, iterations) if resuming else register(store, study)
        before = row.state
        if resuming and before in ("paused", "failed"):
            store.run(row.id)
            row = store.study(row.name)
        if not row.has_ended:
            quiet = sys.stderr.isatty() and settings.log_format == "text"
            crew_options = ["--log-format", settings.log_format]
            crew_options += ["--log-level", "warning" if quiet else settings.log_level]
            with Crew(workers, url, row.name, allow, crew_options) as crew, _watch(crew, quiet) as watch:
                row = Manager(store, row, watch).run(another_round=before == "failed")
        outcome.show(store, row)
        if row.state != "complete":
            way_out = f": `ledger resume {row.name}` tries again" if row.state == "failed" else ""
            raise LedgerError(f"study {row.name} is {row.state}{way_out}")


def _to_resume(store: Any, name: str, iterations: int | None) -> Any:
    row = store.study(name)
    if row.state == "cancelled":
        raise LedgerError(f"study {name} was cancelled, which is for good: start another with a new --name")
    if iterations is not None:
        if iterations < row.iterations:
            raise LedgerError(f"study {name} has a budget of {row.iterations} iterations, and a budget only grows")
        store.extend(row.id, iterations)
    return store.study(name)


def _check_objective(objective: dict[str, Any], allow: Collection[str]) -> None:
    """Refuse an objective that this machine's workers could not load, before anything is written."""
    from ledger.worker.trainer import Trainer

    trainer = Trainer(allow, threads=1)
    try:
        trainer.check(objective)
    finally:
        trainer.kill()


@contextmanager
def _watch(crew: Any, on_terminal: bool) -> Iterator[Any]:
    """Yield what the manager calls at every poll: it looks after the crew and, on a terminal, draws a bar."""
    if not on_terminal:
        yield lambda _progress: crew.check()
        return
    import logging

    logging.getLogger("ledger").setLevel(logging.WARNING)
    with click.progressbar(
        length=1, label="trials", file=sys.stderr, show_pos=True, item_show_func=lambda best: best
    ) as bar:

        def watch(progress: Any) -> None:
            crew.check()
            bar.length = progress.total
            best = "" if progress.best_loss is None else f"best loss {progress.best_loss:.6g}"
            bar.update(progress.ended - bar.pos, best)

        yield watch
