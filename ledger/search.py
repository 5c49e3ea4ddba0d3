"""Carries a study on: registers or resumes it, starts workers for it, and manages it to its end."""

import os
import socket
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.database import migration
from ledger.database.connection import engine
from ledger.database.retry import Patience, persist
from ledger.database.store import Store, StudyRow
from ledger.errors import LedgerError
from ledger.manager.batch import Manager, Progress, register
from ledger.manager.steady import SteadyManager
from ledger.settings import Settings
from ledger.worker.crew import Crew
from ledger.worker.trainer import Trainer

if TYPE_CHECKING:
    from ledger.study.spec import StudySpec


@dataclass(frozen=True)
class LocalWorkers:
    """The workers that are started on this machine.

    Attributes
    ----------
    count : int
        How many processes, from 0.
    allowed : collection of str
        Packages that an own objective may be loaded from.
    environment : mapping
        Variables that the workers get besides those of this process.
    options : sequence of str
        More options of `ledger worker`.
    """

    count: int = 0
    allowed: Collection[str] = ()
    environment: Mapping[str, str] | None = None
    options: Sequence[str] = ()


class Listener:
    """Is told what a search does. Each method does nothing here: override those that you need."""

    def started(self, url: str, study: StudyRow) -> None:
        """The study is registered, and its workers and manager are about to start."""

    @property
    def worker_output(self) -> int | None:
        """A file descriptor for what the workers write; None for this process's own streams."""
        return None

    def progressed(self, progress: Progress) -> None:
        """The manager has polled the study."""

    def stopped(self) -> None:
        """The manager and the workers have ended, also where an error ended them."""


def run(
    url: str,
    settings: Settings,
    study: "StudySpec",
    workers: LocalWorkers,
    *,
    wait: bool = False,
    listener: Listener | None = None,
) -> StudyRow:
    """Register a study, or find it with the same settings, and manage it to its end.

    Parameters
    ----------
    url : str
        The database, which is migrated.
    wait : bool
        Wait while the study has another manager, instead of raising.

    Returns
    -------
    StudyRow
        The study as it ended: complete, failed or cancelled.

    Raises
    ------
    LedgerError
        The study differs from the recorded one of its name, has a manager, or the database was away for too long.
    """
    with _connected(url, settings) as store:
        row = register(store, study)
    return _carry_on(url, settings, row, workers, wait=wait, another_round=False, listener=listener)


def resume(
    url: str,
    settings: Settings,
    name: str,
    workers: LocalWorkers,
    *,
    iterations: int | None = None,
    trials: int | None = None,
    wait: bool = False,
    listener: Listener | None = None,
) -> StudyRow:
    """Continue a study, which may be paused or failed, and manage it to its end.

    Parameters
    ----------
    iterations, trials : int, optional
        The new budget, as one of the two, which is not smaller than the recorded one.

    Returns
    -------
    StudyRow
        As of `run`.

    Raises
    ------
    LedgerError
        There is no such study, it was cancelled, or the budget would shrink; else as of `run`.
    """
    with _connected(url, settings) as store:
        row = _extended(store, name, iterations, trials)
        another_round = row.state == "failed"
        if row.state in ("paused", "failed"):
            store.run(row.id)
            row = store.study(row.name)
    return _carry_on(url, settings, row, workers, wait=wait, another_round=another_round, listener=listener)


def check_objective(
    objective: dict[str, Any], allowed: Collection[str], environment: Mapping[str, str] | None = None
) -> None:
    """Raise a LedgerError where the workers of this machine cannot load the objective. Nothing is written."""
    trainer = Trainer(allowed, threads=1, environment=environment)
    try:
        trainer.check(objective)
    finally:
        trainer.kill()


def _carry_on(
    url: str,
    settings: Settings,
    row: StudyRow,
    workers: LocalWorkers,
    *,
    wait: bool,
    another_round: bool,
    listener: Listener | None,
) -> StudyRow:
    """Manage the study to its end; a manager whose connection is lost begins again: the ledger is the state."""
    if row.has_ended:
        return row
    listener = listener or Listener()
    # its own, by which it knows a session that it left behind
    role = f"ledger manager {socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    manager_engine = engine(url, role, statement_seconds=settings.statement_timeout, writes=True)
    patience = Patience(settings.give_up_after)

    def manage(crew: Crew) -> StudyRow:
        def polled(progress: Progress) -> None:
            patience.worked()
            crew.check()
            listener.progressed(progress)

        with manager_engine.connect() as connection:
            kind = SteadyManager if row.spec.get("mode") == "steady" else Manager
            return kind(Store(connection), row, polled, wait=wait).run(another_round=another_round)

    listener.started(url, row)
    try:
        options = ["--give-up-after", str(settings.give_up_after)]
        options += ["--statement-timeout", str(settings.statement_timeout), *workers.options]
        with Crew(
            workers.count, url, row.name, workers.allowed, options, listener.worker_output, workers.environment
        ) as crew:
            return persist(lambda: manage(crew), patience)
    finally:
        listener.stopped()


def _extended(store: Store, name: str, iterations: int | None, trials: int | None) -> StudyRow:
    row = store.study(name)
    if trials is not None:
        iterations = -(-trials // row.spec["batch_size"])
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


@contextmanager
def _connected(url: str, settings: Settings) -> Iterator[Store]:
    with engine(
        url, "ledger command", statement_seconds=settings.statement_timeout, writes=True
    ).connect() as connection:
        migration.check(connection)
        yield Store(connection)
