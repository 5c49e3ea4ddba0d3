"""Carries a study on: registers or resumes it, starts workers for it, and manages it to its end."""

import os
import socket
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.access import opened
from ledger.database import studies
from ledger.database.connection import engine
from ledger.database.retry import RetryPolicy, call_with_retries
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.manager.loop import Manager, Progress
from ledger.manager.registration import extend, register
from ledger.settings import Settings
from ledger.worker.processes import WorkerProcesses
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
    with opened(url, settings, writes=True) as connection:
        row = register(connection, study)
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
        The new budget, which is not smaller than the recorded one: a number of trials, or of iterations, which counts
        in trials of the study's batch size. At most one of them.

    Returns
    -------
    StudyRow
        As of `run`.

    Raises
    ------
    UsageError
        Both iterations and trials are given.
    LedgerError
        No such study exists, it was cancelled, or the budget would shrink; else as of `run`.
    """
    if iterations is not None and trials is not None:
        raise UsageError("iterations and trials exclude each other; leave one out")
    with opened(url, settings, writes=True) as connection:
        row = studies.get(connection, name)
        if row.state == "cancelled":
            raise LedgerError(f"study {name} was cancelled, which is final: start another with a new --name")
        budget = trials if iterations is None else iterations * row.spec["batch_size"]
        if budget is not None:
            extend(connection, row, budget)
        another_round = row.state == "failed"
        studies.resume(connection, row.id)
        row = studies.get(connection, name)
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
    name, claim = f"{socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:4]}", uuid.uuid4()
    manager_engine = engine(url, f"ledger manager {name}", statement_seconds=settings.statement_timeout, writes=True)
    policy = RetryPolicy(settings.give_up_after)

    def manage(processes: WorkerProcesses) -> StudyRow:
        def polled(progress: Progress) -> None:
            policy.succeeded()
            processes.check()
            listener.progressed(progress)

        with manager_engine.connect() as connection:
            return Manager(connection, row, claim, name, polled, wait=wait).run(another_round=another_round)

    listener.started(url, row)
    try:
        options = ["--give-up-after", str(settings.give_up_after)]
        options += ["--statement-timeout", str(settings.statement_timeout), *workers.options]
        with WorkerProcesses(
            workers.count, url, row.name, workers.allowed, options, listener.worker_output, workers.environment
        ) as processes:
            return call_with_retries(lambda: manage(processes), policy)
    finally:
        listener.stopped()
