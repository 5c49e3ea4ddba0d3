"""Functions that run a study to its end, with a manager and workers on this machine."""

import os
import socket
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.access import opened
from ledger.database import datasets, studies
from ledger.database import trials as recorded_trials
from ledger.database.connection import engine
from ledger.database.retry import RetryPolicy, call_with_retries
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, StudyFailedError, UsageError
from ledger.manager.loop import StudyManager, StudyProgress
from ledger.manager.objective_change import IfChanged, accept
from ledger.manager.registration import criteria_of, extend, register, set_batch_size, set_criteria
from ledger.objectives import runs_users_code
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.form import FileReference
from ledger.settings import STORE_VARIABLE, Settings
from ledger.store import LEDGER, chosen
from ledger.store import opened as opened_store
from ledger.worker.dataset_file import DatasetFile
from ledger.worker.processes import WorkerProcesses
from ledger.worker.system_user import SystemUser
from ledger.worker.trainer import TrainerHandle

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ledger.study.spec import StudySpec


@dataclass(frozen=True)
class LocalWorkerSettings:
    """The number and the settings of the worker processes that a search starts on this machine.

    Attributes
    ----------
    count : int
        Number of worker processes, at least 0.
    allowed : collection of str
        Packages from which a worker may load the user's objective.
    commands : collection of str
        Patterns of the commands that a worker may run. The function `command_template.pattern_words` describes the
        patterns.
    environment : mapping
        Additional environment variables for the workers. The workers also get all environment variables of this
        process.
    options : sequence of str
        Additional command-line options for `ledger worker`.
    """

    count: int = 0
    allowed: Collection[str] = ()
    commands: Collection[str] = ()
    environment: Mapping[str, str] | None = None
    options: Sequence[str] = ()


class SearchStopped(Exception):
    """An exception that the method `progressed` of a `SearchObserver` raises to stop a search early."""


class SearchObserver:
    """Base class of the objects that a search notifies about its progress. The methods of `SearchObserver` do nothing.

    A subclass overrides only the methods that it needs.
    """

    def started(self, url: str, study: StudyRow) -> None:
        """The search calls `started` after the search has registered the study, and before the workers start."""

    @property
    def worker_output(self) -> int | None:
        """The file descriptor to which the workers write their output.

        None means that the workers write to the standard streams of this process.
        """
        return None

    def progressed(self, progress: StudyProgress) -> None:
        """The search calls `progressed` each time the manager has polled the study.

        If `progressed` raises SearchStopped, the workers finish or release their trials, and the search ends. If
        `progressed` raises another exception, the search ends and raises the exception.
        """

    def stopped(self) -> None:
        """The search calls `stopped` when the manager and the workers have ended, with or without an error."""


def run(
    url: str,
    settings: Settings,
    study: "StudySpec",
    workers: LocalWorkerSettings,
    *,
    code: ObjectiveCode | None = None,
    if_changed: IfChanged = "refuse",
    wait: bool = False,
    again: bool = False,
    listener: SearchObserver | None = None,
) -> StudyRow:
    """Register a study, start workers on this machine, and manage the study until the study ends.

    If the ledger already contains a study with the same name and the same settings, the function continues the recorded
    study.

    Parameters
    ----------
    url : str
        URL of a database whose ledger schema has the version that this program requires.
    code : ObjectiveCode, optional
        The result of `check_objective`. If the caller passes no code, the first worker records the code of the
        objective.
    if_changed : {"refuse", "accept", "new"}
        What to do if the code of the objective differs from the code that the ledger has recorded for the study.
    wait : bool
        Whether to wait until no other manager runs the study. If `wait` is false and another manager runs the study,
        the function raises an error.
    again : bool
        Whether to resume a failed study. The manager of a resumed study tries one more round of trials.

    Returns
    -------
    StudyRow
        The study in its final state, which is complete, failed or cancelled. If `listener` has stopped the search, the
        function returns the study in its current state.

    Raises
    ------
    LedgerError
        Another manager runs the study, or a recorded study with the same name has different settings or different code.
        A LedgerError also occurs if the database is unavailable for longer than `settings.give_up_after`.
    """
    _check_store(settings, workers)
    with opened(url, settings, writes=True) as connection:
        row = register(connection, study, code, if_changed)
        another_round = again and row.state == "failed"
        if another_round:
            studies.resume(connection, row.id)
            row = studies.get(connection, row.name)
    try:
        return _carry_on(url, settings, row, workers, wait=wait, another_round=another_round, listener=listener)
    except KeyboardInterrupt as interrupt:
        # Python prints the note after the traceback of a script. The commands print no traceback.
        interrupt.add_note(f"Study {row.name} is in the ledger. To continue the search, run the program again.")
        raise


def resume(
    url: str,
    settings: Settings,
    name: str,
    workers: LocalWorkerSettings,
    *,
    iterations: int | None = None,
    trials: int | None = None,
    batch_size: int | None = None,
    target: float | None = None,
    patience: int | None = None,
    timeout: float | None = None,
    wait: bool = False,
    account: SystemUser | None = None,
    listener: SearchObserver | None = None,
) -> StudyRow:
    """Resume a recorded study, and manage the study until the study ends. The study may be paused or failed.

    If the study has failed and has no complete trial, the function accepts this machine's code of the objective.

    Parameters
    ----------
    iterations, trials : int, optional
        The new budget, as a number of iterations or as a number of trials. If the caller gives `iterations`, the new
        budget in trials is `iterations` times the study's batch size. The new budget must not be smaller than the
        recorded budget.
    batch_size : int, optional
        The new batch size. The optimizer uses the new batch size for all later proposals. If the value is None, the
        batch size does not change.
    target, patience, timeout : optional
        The new value of each stopping criterion. If the value of a criterion is None, the criterion does not change.
    account : SystemUser, optional
        The system user of the process in which `check_objective` loads the objective.

    Returns
    -------
    StudyRow
        The study in its final state, which is complete, failed or cancelled.

    Raises
    ------
    UsageError
        The caller gives both `iterations` and `trials`.
    LedgerError
        The study does not exist or was cancelled, or the new budget is smaller than the recorded budget. A LedgerError
        also occurs if the caller requests workers, but this machine cannot load the objective. If the request is
        invalid, or if this machine cannot load the objective, the function does not change the study. The docstring of
        `run` lists other causes of a LedgerError.
    """
    if iterations is not None and trials is not None:
        raise UsageError("iterations and trials exclude each other; remove one of them")
    _check_store(settings, workers)
    with opened(url, settings, writes=True) as connection:
        row = studies.get(connection, name)
        if row.state == "cancelled":
            raise LedgerError(f"study {name} was cancelled, which is final: start a study with a new --name")
        code = None
        if workers.count and runs_users_code(row.spec["objective"]):
            code = check_objective(_with_contents(connection, row), workers.allowed, workers.commands, account=account)
        if batch_size is not None:
            set_batch_size(connection, row, batch_size)
        budget = trials if iterations is None else iterations * (batch_size or row.batch_size)
        if budget is not None:
            extend(connection, row, budget)
        set_criteria(connection, row, criteria_of(row).changed(target, patience, timeout))
        another_round = row.state == "failed"
        if another_round and code is not None and recorded_trials.best(connection, row.id) is None:
            # The objective failed in every trial. A user who resumes the study has probably corrected the objective.
            accept(connection, row, code)
        studies.resume(connection, row.id)
        row = studies.get(connection, name)
    return _carry_on(url, settings, row, workers, wait=wait, another_round=another_round, listener=listener)


def failure(connection: "Connection", row: StudyRow, message: str) -> StudyFailedError:
    """Return an error with the given message and with the traceback of the study's last failed trial."""
    trial = recorded_trials.last_failed(connection, row.id)
    return StudyFailedError(message, trial.error if trial else None)


def check_objective(
    study: "StudySpec",
    allowed: Collection[str],
    commands: Collection[str] = (),
    environment: Mapping[str, str] | None = None,
    account: SystemUser | None = None,
) -> ObjectiveCode | None:
    """Load and check the objective in the same way as a worker of this machine, and return the objective's code.

    The function starts a process. The process imports the user's code, scikit-learn, XGBoost and LightGBM, and reads
    the data files. The function starts no process for a built-in model with a random split, because the calling process
    has already checked the model. The function does not write to the ledger.

    Returns
    -------
    ObjectiveCode or None
        The code of the objective. None if the objective runs no code that a user has written.

    Raises
    ------
    UsageError
        The estimator of the objective does not fit the space or the data.
    LedgerError
        The workers of this machine cannot load the objective.
    """
    if study.objective.model is not None and not study.objective.needs_check:
        return None
    if account is not None:
        account.check()
    spec = study.spec()
    trainer = TrainerHandle(allowed, threads=1, environment=environment, account=account, commands=commands)
    with ExitStack() as stack:
        stack.callback(trainer.close)
        openers = []
        for file in study.objective.data.files if study.objective.data is not None else ():
            assert file.content is not None
            kept = DatasetFile()
            stack.callback(kept.close)
            kept.keep(FileReference(file.name, file.sha256, file.format), file.content)
            openers.append(kept.open)
        return trainer.check(spec["objective"], spec["space"], study.seed, openers)


def check_known_objective(study: "StudySpec") -> None:
    """Check an objective with `check_objective`, unless the objective runs the user's code or program.

    A manager does not need the user's packages and programs, because only the workers run the objective.
    """
    if not runs_users_code(study.spec()["objective"]):
        check_objective(study, ())


def accept_code(
    connection: "Connection",
    name: str,
    allowed: Collection[str],
    commands: Collection[str] = (),
    account: SystemUser | None = None,
) -> list[str]:
    """Record this machine's code of the objective as the study's valid code. Return the differences between the
    previous code and the new code.

    The list is empty if the code has not changed. The list is also empty if the ledger contained no code for the study.

    Raises
    ------
    LedgerError
        The study does not exist or trains a built-in model, or this machine cannot load the objective.
    """
    row = studies.get(connection, name)
    if not runs_users_code(row.spec["objective"]):
        raise LedgerError(f"study {name} trains a built-in model, so there is no code to accept")
    code = check_objective(_with_contents(connection, row), allowed, commands, account=account)
    assert code is not None
    return accept(connection, row, code)


def _with_contents(connection: "Connection", row: StudyRow) -> "StudySpec":
    """Read the data files of a recorded study, and return the study's spec with the contents of the files."""
    from ledger.study.spec import StudySpec

    study = StudySpec.from_spec(row.name, row.budget, row.spec)
    data = study.objective.data
    if data is None:
        return study
    contents = [b"".join(datasets.pieces(connection, file.sha256)) for file in data.files]
    holdout = data.holdout and data.holdout.model_copy(update={"content": contents[1]})
    filled = data.model_copy(update={"content": contents[0], "holdout": holdout})
    objective = study.objective.model_copy(update={"data": filled})
    return study.model_copy(update={"objective": objective})


def _check_store(settings: Settings, workers: LocalWorkerSettings) -> None:
    """Raise UsageError if the local workers cannot open the store that the user has named."""
    if workers.count and settings.store is not None and (store := chosen(settings)) is not None:
        opened_store(store)


def _carry_on(
    url: str,
    settings: Settings,
    row: StudyRow,
    workers: LocalWorkerSettings,
    *,
    wait: bool,
    another_round: bool,
    listener: SearchObserver | None,
) -> StudyRow:
    """Run the workers and a manager until the study ends.

    If the connection to the database is lost, a new `StudyManager` continues the study from the state in the ledger.
    """
    if row.has_ended:
        return row
    listener = listener or SearchObserver()
    name, claim = f"{socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:4]}", uuid.uuid4()
    manager_engine = engine(url, f"ledger manager {name}", statement_seconds=settings.statement_timeout, writes=True)
    policy = RetryPolicy(settings.give_up_after)

    def manage(processes: WorkerProcesses) -> StudyRow:
        def polled(progress: StudyProgress) -> None:
            policy.succeeded()
            processes.check()
            listener.progressed(progress)

        with manager_engine.connect() as connection:
            manager = StudyManager(connection, row, claim, name, polled, wait=wait, store=store)
            return manager.run(another_round=another_round)

    store = chosen(settings)
    # The workers receive only the URL of the embedded server, and cannot find the server's folder of artifacts.
    # Therefore an environment variable names the place of the artifacts.
    environment = {**(workers.environment or {}), STORE_VARIABLE: store or LEDGER}
    listener.started(url, row)
    try:
        options = ["--give-up-after", str(settings.give_up_after)]
        options += ["--statement-timeout", str(settings.statement_timeout), *workers.options]
        options += [f"--allow-command={pattern}" for pattern in workers.commands]
        with WorkerProcesses(
            workers.count, url, row.name, workers.allowed, options, listener.worker_output, environment
        ) as processes:
            return call_with_retries(lambda: manage(processes), policy)
    except SearchStopped:
        with opened(url, settings) as connection:
            return studies.get(connection, row.name)
    finally:
        listener.stopped()
