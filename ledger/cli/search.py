"""run, manager and resume: the commands that carry a study on."""

import os
import socket
import sys
import uuid
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from ledger.cli import outcome
from ledger.cli.access import database
from ledger.cli.names import STUDY
from ledger.cli.options import allow_option, examples, service_options, study_options, wait_option
from ledger.errors import LedgerError
from ledger.settings import Settings


@click.command(
    epilog=examples(
        "ledger run --model xgb --iterations 5 --points 4 --workers 4 --seed 7",
        "ledger run --data train.csv --target label --cv 5 --metric f1_macro",
        "ledger run study.toml",
        "ledger run study.toml --allow my_package --trial-timeout 600",
        "ledger run --mode steady --points 8 --iterations 10",
    )
)
@study_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Workers to start on this machine. Default: one a core, at most as many as points.",
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
    from ledger.study import assemble
    from ledger.study import workers as workers_of

    study = assemble(options, file)
    workers = workers or workers_of(file) or min(os.cpu_count() or 1, study.points)
    if study.objective.function is not None:
        check_objective(study.spec()["objective"], allow)
    with database(settings, create=True) as url:
        carry_on(url, settings, study=study, workers=workers, allow=allow, wait=wait)


@click.command(
    epilog=examples(
        "ledger manager --model svm --iterations 10 --points 8",
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
    from ledger.study import assemble

    study = assemble(options, file)
    with database(settings, create=True) as url:
        carry_on(url, settings, study=study, wait=wait)


@click.command(
    epilog=examples(
        "ledger resume svm-42-be6aab",
        "ledger resume svm-42-be6aab --iterations 6 --workers 4",
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
    if workers is None:
        workers = 0 if settings.database_url else os.cpu_count() or 1
    with database(settings) as url:
        carry_on(url, settings, name=name, iterations=iterations, workers=workers, allow=allow, wait=wait)


def carry_on(
    url: str,
    settings: Settings,
    *,
    study: Any = None,
    name: str = "",
    iterations: int | None = None,
    workers: int = 0,
    allow: Collection[str] = (),
    wait: bool = False,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Register `study`, or resume `name`, and manage it to its end; exits with 1 where it failed.

    A manager whose connection is lost begins again on a new one: the ledger is the state.
    """
    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.database.retry import Patience, persist
    from ledger.database.store import Store
    from ledger.manager import Manager, register
    from ledger.steady import SteadyManager
    from ledger.terminal.live import View, can_draw
    from ledger.worker.crew import Crew

    # its own, by which it knows a session that it left behind
    role = f"ledger manager {socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    manager_engine = engine(url, role, statement_seconds=settings.statement_timeout, writes=True)
    patience = Patience(settings.give_up_after)

    with manager_engine.connect() as connection:
        migration.check(connection)
        store = Store(connection)
        row = register(store, study) if study is not None else _to_resume(store, name, iterations)
        another_round = study is None and row.state == "failed"
        if study is None and row.state in ("paused", "failed"):
            store.run(row.id)
            row = store.study(row.name)

    def manage(crew: Crew) -> Any:
        def answered(_progress: Any) -> None:
            patience.worked()
            crew.check()

        with manager_engine.connect() as connection:
            kind = SteadyManager if row.spec.get("mode") == "steady" else Manager
            return kind(Store(connection), row, answered, wait=wait).run(another_round=another_round)

    if not row.has_ended:
        is_seen = can_draw(sys.stderr) and settings.log_format == "text"
        view = View(url, row.id, settings.statement_timeout, sys.stderr) if is_seen else None
        crew_options = ["--log-format", settings.log_format]
        crew_options += ["--log-level", "warning" if view else settings.log_level]
        crew_options += ["--give-up-after", str(settings.give_up_after)]
        crew_options += ["--statement-timeout", str(settings.statement_timeout)]
        with view or nullcontext():
            output = view.output if view else None
            with Crew(workers, url, row.name, allow, crew_options, output, environment) as crew:
                row = persist(lambda: manage(crew), patience)
    with manager_engine.connect() as connection:
        outcome.show(Store(connection), row)
    if row.state != "complete":
        way_out = f": `ledger resume {row.name}` tries again" if row.state == "failed" else ""
        raise LedgerError(f"study {row.name} is {row.state}{way_out}")


def _to_resume(store: Any, name: str, iterations: int | None) -> Any:
    row = store.study(name)
    if row.state == "cancelled":
        raise LedgerError(f"study {name} was cancelled, which is for good: start another with a new --name")
    if iterations is not None:
        # as in the study's file: without what was retried, enqueued or imported
        added = store.unproposed_iterations(row)
        if iterations + added < row.iterations:
            raise LedgerError(
                f"study {name} has a budget of {row.iterations - added} iterations, and a budget only grows"
            )
        store.extend(row.id, iterations + added)
    return store.study(name)


def check_objective(
    objective: dict[str, Any], allow: Collection[str], environment: Mapping[str, str] | None = None
) -> None:
    """Refuse an objective that this machine's workers could not load, before anything is written."""
    from ledger.worker.trainer import Trainer

    trainer = Trainer(allow, threads=1, environment=environment)
    try:
        trainer.check(objective)
    finally:
        trainer.kill()
