"""The class `Study`, with which scripts and notebooks run studies."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ledger import search
from ledger.access import connected
from ledger.access import database as opened
from ledger.annotating import annotate
from ledger.asking import AskedTrial, TrialAsker
from ledger.background import RunningSearch
from ledger.database.annotations import AnnotationChange
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.keywords import known_keywords
from ledger.manager.objective_change import IfChanged, check_if_changed
from ledger.notebook.display import in_notebook
from ledger.objectives import Direction, pickled, runs_users_code, search_path
from ledger.objectives.command_template import pattern_of
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.objective_code import code_of_pickled
from ledger.objectives.reporting import INSIDE
from ledger.observers import ProgramObserver
from ledger.settings import Settings, settings_of
from ledger.study.arguments import AnySpace, LimitOptions, Mode, OptimizerOptions, StoppingOptions
from ledger.study.callables import CallableName, name_of, space_of
from ledger.study.command import CommandObjective
from ledger.study.conversion import from_any
from ledger.study.estimator import EstimatorObjective
from ledger.study.file import assemble
from ledger.study_result import StudyResult, Trial, load_study
from ledger.worker import credentials


class Study:
    """A search for the parameters with which an objective returns its best value.

    The constructor checks all arguments, and writes nothing to the ledger. The methods `run` and `start` train the
    trials with workers. A program that trains the trials without workers calls the methods `ask` and `tell`.

    Parameters
    ----------
    objective : callable, CommandObjective or EstimatorObjective, optional
        A function or another callable, such as a `functools.partial` or a bound method. The results of `ledger.command`
        and `ledger.estimator` are also objectives. If a worker can import the callable from a module, the ledger
        records the names of the module and the callable. With the recorded names, workers on other machines can import
        the callable. If a script or a notebook defines the callable, or if the callable is a closure, only workers that
        `run` starts can load the callable. A program that calls `ask` and `tell` needs no objective. A study without an
        objective needs the arguments `space` and `name`.
    space : mapping, sequence or Space, optional
        The search space, in a form that `ledger.space.from_any` accepts. The default is the space that the program gave
        to `ledger.objective`, `ledger.command` or `ledger.estimator`.
    name : str, optional
        The study's name, which is unique in a ledger. A name has 1 to 100 letters, digits, dots, underscores or
        hyphens, and begins with a letter or digit. The default name contains the function's name, the seed and a part
        of a hash of the study's settings. A lambda has no name, so a study with a lambda needs the argument `name`. If
        the ledger already contains a study with the same name and the same settings, `run` continues the recorded
        study.
    iterations : int, optional
        The budget as a number of iterations, from 1 to 1,000,000. The number of trials is `iterations` times
        `batch_size`. The default is 3. If `run` continues a recorded study, the budget may be larger than before.
    trials : int, optional
        The budget as a number of trials, from 1 to 1,000,000. The caller may not pass both `trials` and `iterations`.
        The last batch may have fewer than `batch_size` trials.
    timeout : float, optional
        The time limit of the study in seconds, from 0.01 to 31,536,000. The time limit excludes the time between two
        runs. After the time limit, the running trials have 8 seconds to end. By default, the study has no time limit.
    target : float, optional
        The study ends when the value of a trial is equal to `target` or better. By default, the study has no target.
    patience : int, optional
        The study ends after `patience` successive trials without a new best value. The range of `patience` is 1 to
        1,000,000. By default, the number of trials without a new best value has no limit. If `run` continues a recorded
        study, `timeout`, `target` and `patience` may differ from the recorded values.
    batch_size : int, optional
        The number of trials that the optimizer proposes together, from 1 to 10,000. In steady mode, `batch_size` is the
        total number of pending and running trials. The default is 2.
    direction : {"minimize", "maximize"}, optional
        Whether to search for the objective's lowest value ("minimize") or highest value ("maximize"). The default is
        "minimize". The study always maximises the score of an estimator.
    seed : int, optional
        The study's seed, in [0, 2**31). The ledger derives the seed of each proposal and of each trial from the study's
        seed. The default is 42.
    mode : {"batch", "steady"}, optional
        In the default mode "batch", an iteration begins when all trials of the previous iteration have ended. Therefore
        the proposals do not depend on the number and speed of the workers. In the mode "steady", the manager proposes a
        new trial when a trial ends, so no worker waits for the slowest trial.
    optimizer : OptimizerOptions, optional
        Options of the optimizer, such as ``{"base_estimator": "RF"}``.
    stopping : StoppingOptions, optional
        The rule that stops trials early, such as ``{"rule": "halving", "max_resource": 81}``. The default is no rule.
    limits : LimitOptions, optional
        Limits for the attempts and the trials, such as ``{"trial_timeout": 60.0}`` for 60 seconds in each attempt.
    record_source : bool, optional
        Whether the ledger stores the source text of the objective (the default), or only hashes of the source text. The
        hashes suffice to detect a change of the code.
    keep_models : {"none", "best"}, optional
        With "best", the study keeps the fitted model of its best trial. `ledger.load_model` reads the kept model. The
        value "best" needs a built-in model or an estimator. The default is "none".
    database : str, optional
        The URL of the ledger's PostgreSQL database. The default is the environment variable DATABASE_URL. Without
        DATABASE_URL, the study uses an embedded server in the folder LEDGER_HOME or ``./.ledger``.

    Raises
    ------
    UsageError
        An argument is unknown or invalid, the caller passes both `iterations` and `trials`, or the study has no search
        space. The error message names the argument and the allowed values.

    See Also
    --------
    load_study : Reads a study from the ledger. The study may still be running.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0)})
    ... def parabola(params):
    ...     return (params["x"] - 1) ** 2
    >>> study = ledger.Study(parabola, name="parabola", trials=20, batch_size=4, optimizer={"acq_func": "LCB"})
    >>> study.name
    'parabola'
    >>> ledger.Study(parabola, iteratons=3)
    Traceback (most recent call last):
    ledger.errors.UsageError: Study() has no argument 'iteratons'; did you mean 'iterations'?
    >>> ledger.Study(parabola, iterations=3, trials=20)
    Traceback (most recent call last):
    ledger.errors.UsageError: [study]: iterations and trials exclude each other; remove one of them
    """

    @known_keywords
    def __init__(
        self,
        objective: Callable[..., Any] | CommandObjective | EstimatorObjective | None = None,
        *,
        space: AnySpace | None = None,
        name: str | None = None,
        iterations: int | None = None,
        trials: int | None = None,
        timeout: float | None = None,
        target: float | None = None,
        patience: int | None = None,
        batch_size: int = 2,
        direction: Direction | None = None,
        seed: int = 42,
        mode: Mode = "batch",
        optimizer: OptimizerOptions | None = None,
        stopping: StoppingOptions | None = None,
        limits: LimitOptions | None = None,
        record_source: bool = True,
        keep_models: Literal["none", "best"] = "none",
        database: str | None = None,
    ) -> None:
        self._has_objective, self._database = objective is not None, database
        self._allowed: list[str] = []
        self._commands: list[str] = []
        # The objective that `run` pickles for its workers. None if the workers import the objective from a module.
        self._pickled: Callable[..., Any] | None = None
        self._observer: ProgramObserver | None = None
        self._asker: TrialAsker | None = None
        self._asking = threading.Lock()
        if objective is None and (name is None or space is None):
            raise UsageError("a study without an objective needs a name and a space: Study(name=..., space={...})")
        if isinstance(objective, CommandObjective):
            table, self._label = objective.table, "ledger.command"
            self._commands.append(pattern_of(table["command"]))
        elif isinstance(objective, EstimatorObjective):
            table, self._label = objective.table, "ledger.estimator"
            self._allowed += objective.modules
        else:
            reference = CallableName(None, "asked") if objective is None else name_of(objective, name)
            if reference.module is None:
                self._pickled = objective
            else:
                self._allowed.append(reference.module)
            table, self._label = {"function": str(reference)}, reference.name
        searched = space_of(objective) if space is None else from_any(space)
        if searched is None and "model" not in table:
            decorator = ", or put @ledger.objective(space={...}) above the function's definition"
            raise UsageError(
                f"the objective {self._label!r} has no space: call Study(..., space={{...}})"
                f"{decorator if 'function' in table else ''}"
            )
        settings = {"name": name, "iterations": iterations, "trials": trials, "timeout": timeout, "target": target}
        settings |= {"patience": patience, "batch_size": batch_size, "seed": seed, "mode": mode}
        self._study = assemble(
            {},
            tables={
                "study": {key: value for key, value in settings.items() if value is not None},
                "objective": {
                    **table,
                    "record_source": record_source,
                    "keep_models": keep_models,
                    **({} if direction is None else {"direction": direction}),
                },
                **({} if searched is None else {"space": {each.pop("name"): each for each in searched.to_json()}}),
                "optimizer": dict(optimizer or {}),
                "stopping": dict(stopping or {}),
                "limits": dict(limits or {}),
            },
        )

    @property
    def name(self) -> str:
        """The study's name, which is the argument `name` of the constructor or the default name.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def parabola(params):
        ...     return (params["x"] - 1) ** 2
        >>> ledger.Study(parabola, seed=7).name
        'parabola-7-...'
        """
        return self._study.name

    @known_keywords
    def run(
        self,
        workers: int | None = None,
        *,
        callbacks: Iterable[Callable[[Trial], object]] = (),
        show: bool | None = None,
        if_changed: IfChanged = "refuse",
    ) -> StudyResult:
        """Run the search on this machine until the search ends, and return the result.

        The method starts a process for each worker. The calling thread manages the study until the study ends. If the
        ledger already contains the study, the method continues the study. If the study is already complete, the method
        immediately returns the result. If the study has failed, the method tries one more round of trials.

        Outside a notebook, `run` prints nothing by default. This process writes its own log records and the workers'
        log records to loggers whose names begin with ``ledger.``. To show the log records, call
        ``logging.basicConfig(level=logging.INFO)``. After Ctrl-C, the workers finish the trials that they are training.
        After Ctrl-C, another call of `run` continues the study.

        Parameters
        ----------
        workers : int, optional
            The number of worker processes, at least 1. By default, the method starts one worker for each core, but at
            most `batch_size` workers.
        callbacks : iterable of callable, optional
            Functions with one parameter. When a trial has ended, this process calls each function with the `Trial`. A
            callback can call the method `stop` to stop the search. If a callback raises an exception, the search ends,
            and `run` raises the exception.
        show : bool, optional
            Whether to show the progress of the search. In a notebook or on a terminal, the method updates a status
            display. On any other output, the method prints one line for each iteration. By default, the method shows
            the progress only in a notebook.
        if_changed : {"refuse", "accept", "new"}, optional
            What to do if the recorded code of the objective differs from the current code. The code consists of the
            functions and the values that the objective uses. By default ("refuse"), the method raises an error that
            names the changes. With "accept", the study continues with the new code. The ledger records the number of
            the first trial with the new code. With "new", the method runs a new study. The name of the new study ends
            with a part of the new code's hash. A later call of `run` with "new" continues the new study.

        Returns
        -------
        StudyResult
            The study with all its trials. The study's state is "complete". If `stop` has stopped the search, the state
            is "running".

        Raises
        ------
        UsageError
            `workers` is less than 1, the study has no objective, or the objective cannot be pickled for the workers.
        StudyFailedError
            The study failed. The exception contains the traceback of the objective.
        LedgerError
            A user cancelled the study, or another manager runs the study. A LedgerError also occurs if the recorded
            study has different settings or different code, or if the database is unavailable. The method also raises a
            LedgerError if the objective's module calls `run` while a worker imports the module.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def distance(params):
        ...     return abs(params["x"] - 1)
        >>> result = ledger.Study(distance, trials=3).run(workers=1)
        >>> result
        <study distance-42-...: complete, 3 of 3 trials complete>
        """
        return self._search(workers, self._observed(callbacks, show), if_changed)

    @known_keywords
    def start(
        self,
        workers: int | None = None,
        *,
        callbacks: Iterable[Callable[[Trial], object]] = (),
        show: bool | None = None,
        if_changed: IfChanged = "refuse",
    ) -> RunningSearch:
        """Start the search in the background, and return immediately.

        A thread of this process manages the study and calls the callbacks.

        Parameters
        ----------
        workers : int, optional
            The number of worker processes. See the parameter `workers` of `run`.
        callbacks : iterable of callable, optional
            See the parameter `callbacks` of `run`.
        show : bool, optional
            Whether to show the progress of the search. See the parameter `show` of `run`.
        if_changed : {"refuse", "accept", "new"}, optional
            See the parameter `if_changed` of `run`.

        Returns
        -------
        RunningSearch
            The running search. A `RunningSearch` has the methods `wait`, `stop` and `result`.

        Raises
        ------
        LedgerError
            If the search fails, the method `result` of the returned `RunningSearch` raises the same error as `run`.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def distance(params):
        ...     return abs(params["x"] - 1)
        >>> ended = []
        >>> running = ledger.Study(distance, trials=3, seed=1).start(workers=1, callbacks=[ended.append])
        >>> running.result().state, len(ended)
        ('complete', 3)
        """
        observer = self._observed(callbacks, show)
        search_study = partial(self._search, workers, observer, if_changed)
        return RunningSearch(self.name, search_study, observer.request_stop)

    def stop(self) -> None:
        """Stop the search that `run` or `start` has begun. Callbacks and other threads may call `stop`.

        The method returns before the search ends. The workers have eight seconds to finish their running trials. After
        eight seconds, the workers release their unfinished trials. A later call of `run` continues the study.

        Examples
        --------
        >>> import ledger
        >>> @ledger.objective(space={"x": (-5.0, 5.0)})
        ... def distance(params):
        ...     return abs(params["x"] - 1)
        >>> study = ledger.Study(distance, name="enough", trials=1000)
        >>> study.run(workers=1, callbacks=[lambda trial: study.stop()]).state
        'running'
        """
        if self._observer is not None:
            self._observer.request_stop()

    @known_keywords
    def ask(self, *, if_changed: IfChanged = "refuse") -> AskedTrial | None:
        """Claim the next trial for this program. The program trains the trial without a worker, and reports the value
        with `tell`.

        No other program can claim the trial until this program calls `tell` or ends. A thread of this program renews
        the claim. If this program crashes, another program can claim the trial. Several programs and several threads
        may ask for trials of the same study at the same time. If no other program manages the study, a thread of this
        program proposes the trials. The first call of `ask` creates the study, or continues the recorded study.

        Parameters
        ----------
        if_changed : {"refuse", "accept", "new"}, optional
            See the parameter `if_changed` of `run`. Only the first call of `ask` uses `if_changed`. A study without an
            objective has no code, so `if_changed` has no effect.

        Returns
        -------
        AskedTrial or None
            The claimed trial. None if the study has ended.

        Raises
        ------
        StudyFailedError
            The study has failed. The exception contains the error of the last failed trial.
        LedgerError
            A user cancelled the study, the recorded study has different settings or different code, or the database is
            unavailable. A LedgerError also occurs if the calling thread must first call `tell` for its claimed trials.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="own-loop", trials=4)
        >>> while (trial := study.ask()) is not None:
        ...     study.tell(trial, (trial.params["x"] - 1) ** 2)
        >>> ledger.load_study("own-loop").state
        'complete'
        """
        check_if_changed(if_changed)
        with self._asking:
            if self._asker is None:
                self._asker = TrialAsker(self._study, settings_of(self._database), self._own_code(), if_changed)
            asker = self._asker
        trial = asker.ask()
        if trial is None:
            with self._asking:
                if self._asker is asker:
                    self._asker = None
            assert asker.ended is not None
            self._check_end(asker.ended, settings_of(self._database), "ask")
        return trial

    @known_keywords
    def tell(self, trial: AskedTrial | int, value: Any = None, *, error: BaseException | str | None = None) -> None:
        """Record the value or the error of a trial that `ask` has returned.

        Parameters
        ----------
        trial : AskedTrial or int
            The trial, or the number of the trial.
        value : real number or dict, optional
            The value of the trial, or a dict that contains the value and the metrics.
        error : BaseException or str, optional
            The error of a failed trial, or a `ledger.TrialPruned` for a trial that the rule of early stopping has
            stopped.

        Raises
        ------
        UsageError
            The caller gives both `value` and `error`, or neither `value` nor `error`. A UsageError also occurs if the
            value is invalid, or if this program has not claimed the trial. If the value is invalid, the program keeps
            the claim of the trial, and can call `tell` again.
        LedgerError
            The claim is no longer valid, for example because a user has cancelled the trial.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="told", trials=4)
        >>> trial = study.ask()
        >>> study.tell(trial, {"value": abs(trial.params["x"]), "seconds": 2.5})
        >>> study.close()
        """
        number = trial if isinstance(trial, int) else trial.number
        if (value is None) == (error is None):
            raise UsageError(f"tell: give either the value or the error of trial {number}")
        asker = self._asker
        if asker is None:
            raise UsageError(
                f"tell: trial {number} of study {self.name} is not a running trial of this program: call ask() first"
            )
        asker.tell(number, value, error)

    @known_keywords
    def annotate(
        self,
        *,
        trial: int | None = None,
        tags: Collection[str] = (),
        untag: Collection[str] = (),
        note: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        remove: Collection[str] = (),
    ) -> None:
        """Change the tags, the note and the user attributes of the study or of one of its trials.

        The study must exist in the ledger. The docstring of `StudyResult.annotate` describes the parameters.

        Raises
        ------
        UsageError
            A value exceeds its bound, or `trial` is not the number of a trial.
        LedgerError
            The study or the trial does not exist, or the database is unavailable.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="parabola")
        >>> study.annotate(tags=["demo"], note="a first try")
        >>> ledger.load_study("parabola").note
        'a first try'
        >>> study.annotate(untag=["demo"], note="")
        """
        change = AnnotationChange(tags, untag, note, attributes or {}, remove)
        annotate(self.name, settings_of(self._database), trial, change)

    def close(self) -> None:
        """Release each claimed trial for which the program has not yet called `tell`. Stop managing the study.

        The program also releases the trials when the program ends. A later call of `ask` continues the study.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="closed", trials=4)
        >>> trial = study.ask()
        >>> study.close()
        >>> study.ask().number == trial.number
        True
        >>> study.close()
        """
        if self._asker is not None:
            self._asker.close()
            self._asker = None

    def _observed(self, callbacks: Iterable[Callable[[Trial], object]], show: bool | None) -> ProgramObserver:
        shows = in_notebook() if show is None else show
        self._observer = ProgramObserver(settings_of(self._database), callbacks, shows=shows)
        return self._observer

    def _own_code(self) -> ObjectiveCode | None:
        """Return the code of the objective, or None if the objective contains no code of the user."""
        if not self._has_objective or not runs_users_code(self._study.spec()["objective"]):
            return None
        self._refuse_inside("ask")
        with credentials.unreadable(), self._environment() as environment:
            return search.check_objective(self._study, self._allowed, self._commands, environment)

    def _refuse_inside(self, method: str) -> None:
        """Raise an error if the objective's module calls `method` while a worker imports the module."""
        if os.environ.get(INSIDE):
            raise LedgerError(
                f"the objective's module calls {method}() of study {self.name} while a worker imports the module: put"
                f' {method}() under if __name__ == "__main__":'
            )

    def _search(self, workers: int | None, observer: ProgramObserver, if_changed: IfChanged) -> StudyResult:
        """Run the search. Return the study when the study has ended, or when `observer` has stopped the search."""
        if not self._has_objective:
            raise UsageError(
                f"study {self.name} has no objective: call Study(objective, ...), or train the trials by ask() and"
                " tell()"
            )
        self._refuse_inside("run")
        if workers is not None and workers < 1:
            raise UsageError(f"the number of workers must be 1 or more, but it is {workers!r}")
        check_if_changed(if_changed)
        workers = workers or min(os.cpu_count() or 1, self._study.batch_size)
        settings = settings_of(self._database)
        with credentials.unreadable(), self._environment() as environment:
            code = search.check_objective(self._study, self._allowed, self._commands, environment)
            with opened(settings, create=True) as url:
                local = search.LocalWorkerSettings(
                    workers, self._allowed, self._commands, environment, ("--log-format", "json")
                )
                try:
                    row = search.run(
                        url,
                        settings,
                        self._study,
                        local,
                        code=code,
                        if_changed=if_changed,
                        again=True,
                        listener=observer,
                    )
                    observer.call_back()
                except LedgerError as error:
                    if observer.last_problem is None:
                        raise
                    raise type(error)(
                        f"{error}; the last warning or error of a worker was: {observer.last_problem}"
                    ) from None
        self._check_end(row, settings, "run")
        return load_study(row.name, self._database)

    def _check_end(self, row: StudyRow, settings: Settings, method: str) -> None:
        """Raise an error if the study has failed or was cancelled."""
        if row.state == "cancelled":
            raise LedgerError(f"study {row.name} is cancelled: start a study with another name")
        if row.state == "failed":
            message = f"study {row.name} is failed: {row.reason}: correct the cause, and call {method}() again"
            with connected(settings) as connection:
                raise search.failure(connection, row, message)

    @contextmanager
    def _environment(self) -> Iterator[dict[str, str]]:
        """Yield the environment variables that the workers need to load the objective.

        The variable PYTHONPATH contains the folders of `sys.path`, except the current folder. If workers cannot import
        the objective from a module, the variable LEDGER_PICKLED_FUNCTION contains the path of the pickled objective. If
        the objective is a command, the function does not set PYTHONPATH, because the command may run another Python
        interpreter.
        """
        if self._commands:
            yield {}
            return
        path, current = search_path.without_current(sys.path)
        environment = {"PYTHONPATH": os.pathsep.join(path)}
        if self._pickled is None:
            yield environment
            return
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            file = Path(folder) / "function.pickle"
            code = code_of_pickled(self._pickled, self._label)
            pickled.write(self._pickled, self._label, file, current, code)
            yield {**environment, pickled.VARIABLE: str(file)}
