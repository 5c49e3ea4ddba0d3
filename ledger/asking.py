"""Trials that are trained by a Python program instead of a worker.

The method `ask` claims a trial, and the method `tell` records the value of the trial.
"""

import atexit
import math
import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from ledger import search
from ledger.access import database as opened_database
from ledger.access import opened
from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.database.retry import RetryPolicy
from ledger.database.rows import StudyRow
from ledger.database.session import DatabaseUnavailable, ReconnectingSession, ValuesRefused
from ledger.errors import LedgerError, TrialPruned, UsageError
from ledger.manager.loop import StudyHeldError, StudyProgress
from ledger.manager.objective_change import IfChanged
from ledger.objectives import ValueScale, value_scale
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.reporting import checked_step, checked_value, finite_loss
from ledger.objectives.result import checked_metrics, to_result
from ledger.seeds import derive
from ledger.settings import Settings
from ledger.study.python_values import ordered_params
from ledger.study.spec import StudySpec
from ledger.worker.registration import WorkerRegistration

# The shortest and the longest pause, in seconds, between two requests for a trial.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25
# Pause, in seconds, before this program tries again to manage a study that another program manages.
_MANAGER_PAUSE = 1.0
# Interval, in seconds, at which the heartbeat thread checks whether a claim needs a heartbeat.
_HEARTBEAT_POLL = 0.2


@dataclass(frozen=True)
class AskedTrial:
    """A trial that `ledger.Study.ask` has claimed for this program, with the parameters to evaluate.

    Attributes
    ----------
    number : int
        The trial's number within the study, counted from 0.
    attempt : int
        The number of this attempt of the trial, counted from 1.
    seed : int
        The trial's seed, in [0, 2**31). Every attempt of the trial has the same seed.
    params : dict
        The name and the value of each parameter.

    Examples
    --------
    >>> import ledger
    >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="asked", trials=4)
    >>> trial = study.ask()
    >>> trial.number, sorted(trial.params)
    (0, ['x'])
    >>> study.close()
    """

    number: int
    attempt: int
    seed: int
    params: dict[str, Any]
    _asker: "TrialAsker" = field(repr=False, compare=False)

    def report(self, value: Any, step: int, metrics: Mapping[str, Any] | None = None) -> None:
        """Record the value of the trial at a step of the training. The call returns when the ledger has recorded the
        value.

        Parameters
        ----------
        value : real number
            The value at the step, in the direction of the study. NaN is allowed.
        step : int
            An integer from 0 to 10**15, such as the number of the epoch. If a trial reports a step several times, the
            ledger records only the first value.
        metrics : mapping, optional
            Other numbers at the step. Each key is the name of a metric, and each value is a finite number.

        Raises
        ------
        TypeError
            `value` is not a real number, or `step` is not an integer.
        ValueError
            `step` is less than 0 or larger than 10**15.
        LedgerError
            A metric is not a finite number, the metrics are too large, or the claim of the trial is no longer valid.
        UsageError
            This program no longer holds the trial, or the trial has reported too many values.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="curves", trials=1)
        >>> trial = study.ask()
        >>> for epoch in range(3):
        ...     trial.report(abs(trial.params["x"]) / (epoch + 1), epoch)
        >>> study.tell(trial, 0.5)
        >>> study.close()
        """
        known = (checked_metrics(metrics) or None) if metrics is not None else None
        self._asker.report(self.number, checked_value(value), checked_step("report", step), known)

    def should_prune(self) -> bool:
        """Return whether the study's rule of early stopping has stopped this trial.

        The program then ends the training, and calls ``study.tell(trial, error=ledger.TrialPruned())``. If the program
        calls `study.tell` with a value instead, the trial is complete.

        Examples
        --------
        >>> import ledger
        >>> study = ledger.Study(space={"x": (-5.0, 5.0)}, name="unpruned", trials=1)
        >>> study.ask().should_prune()
        False
        >>> study.close()
        """
        return self._asker.is_stopped(self.number)


class _ClosedError(LedgerError):
    """The exception that a method raises if the study has ended, or if another thread has closed the study."""


@dataclass
class _HeldTrial:
    """A record of one trial that this program has claimed. The record contains the thread that claimed the trial, and
    the times of the claim and of the next heartbeat.

    The times are values of `time.monotonic`.
    """

    claimed: ClaimedTrial
    thread: int = field(default_factory=threading.get_ident)
    since: float = field(default_factory=time.monotonic)
    heartbeat_at: float = math.inf
    is_lost: bool = False
    is_stopped: bool = False


class TrialAsker:
    """An object that claims trials of one study for this program. The object also manages the study if no other program
    manages the study.

    One thread renews the claims of the trials, and a second thread proposes the trials. Each method may be called from
    any thread.

    Parameters
    ----------
    study : StudySpec
        The study that the constructor records in the ledger.
    settings : Settings
        The settings that contain the location of the database.
    code : ObjectiveCode, optional
        The code of the objective. None if the objective contains no code of the user.
    if_changed : {"refuse", "accept", "new"}
        What to do if the code of the objective differs from the code that the ledger has recorded for the study.
    """

    def __init__(
        self,
        study: StudySpec,
        settings: Settings,
        code: ObjectiveCode | None = None,
        if_changed: IfChanged = "refuse",
    ) -> None:
        if study.stopping.group_size is not None:
            raise UsageError(
                "ask: the rule of early stopping has groups (group_size), but a program that asks for trials cannot"
                " wait for earlier groups: remove group_size, or let workers train the trials"
            )
        self._study, self._settings = study, settings
        self._space = study.space.to_json()
        self._scale: ValueScale = value_scale(study.spec()["objective"])
        self._held: dict[int, _HeldTrial] = {}
        # `_lock` protects the database session and the claimed trials. A thread must acquire `_finishing` before the
        # thread reads the final row of the study.
        self._lock, self._finishing = threading.Lock(), threading.Lock()
        self._is_closed = False
        self._is_closing = threading.Event()
        self._failure: BaseException | None = None
        self._row: StudyRow | None = None
        self._resources = ExitStack()
        try:
            self._url = self._resources.enter_context(opened_database(settings, create=True))
            host = socket.gethostname()
            self._worker = f"{host[:20]}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
            self._session = ReconnectingSession(
                self._url,
                f"ledger worker {self._worker}"[:63],
                settings.statement_timeout,
                RetryPolicy(settings.give_up_after),
                protocol.listen,
                time.sleep,
            )
            self._resources.callback(self._session.close)
            self._registration = WorkerRegistration(self._session, self._worker, host)
            self._study_id = self._register(code, if_changed)
            self._registration.announce()
        except BaseException:
            self._resources.close()
            raise
        self._threads = [
            threading.Thread(target=task, name=f"ledger {what} of {study.name}", daemon=True)
            for task, what in ((self._manage, "manager"), (self._renew, "heartbeats"))
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    @property
    def ended(self) -> StudyRow | None:
        """The final row of the study. The row is None until this object has detected the end of the study."""
        return self._row

    def ask(self) -> AskedTrial | None:
        """Claim a trial. If no trial is pending, wait until a trial is pending. Return None if the study has ended.

        Raises
        ------
        LedgerError
            The thread of the manager has failed, or the program must first call `tell` for one of its claimed trials.
        """
        try:
            return self._ask()
        except _ClosedError:
            with self._finishing:
                if self._row is not None:
                    return None
            raise

    def _ask(self) -> AskedTrial | None:
        pause = _SHORTEST_PAUSE
        while True:
            if self._failure is not None:
                raise self._failure
            claimed = self._call(protocol.claim, self._study.name, [protocol.draw_claim()], self._worker)
            if claimed:
                return self._keep(claimed[0])
            if self._call(protocol.ended, self._study.name):
                self._finish()
                return None
            self._check_waiting()
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def tell(self, number: int, value: Any, error: BaseException | str | None) -> None:
        """Record the value or the error of a trial that `ask` has returned.

        Raises
        ------
        UsageError
            This program has not claimed the trial, or the value is invalid. If the value is invalid, this program keeps
            the claim of the trial.
        LedgerError
            The claim of the trial is no longer valid.
        """
        held = self._held.get(number)
        if held is None:
            raise UsageError(
                f"tell: trial {number} of study {self._study.name} is not a running trial of this program: call ask()"
                " first"
            )
        seconds = time.monotonic() - held.since
        arguments: tuple[Any, ...]
        if isinstance(error, TrialPruned):
            arguments = (protocol.prune, held.claimed, seconds)
        elif error is None:
            try:
                result = to_result(value, self._scale)
            except LedgerError as invalid:
                raise UsageError(f"tell: trial {number}: {invalid}") from None
            arguments = (protocol.complete, held.claimed, result.loss, result.metrics, seconds)
        else:
            text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
            arguments = (protocol.fail, held.claimed, text, seconds)
        try:
            answer = self._call(*arguments)
        except ValuesRefused as refused:
            raise UsageError(f"tell: trial {number}: {refused}") from None
        if answer == "continue":
            raise UsageError(
                f"tell: the rule of early stopping has not stopped trial {number}: call tell with TrialPruned only if"
                " should_prune() has returned True"
            )
        with self._lock:
            self._held.pop(number, None)
        if answer in ("stale", "unknown"):
            raise self._late("tell", number)

    def report(self, number: int, value: float, step: int, metrics: Mapping[str, Any] | None) -> None:
        """Record a value of a trial that `ask` has returned.

        Raises
        ------
        UsageError
            This program no longer holds the trial, or the trial has reported too many values.
        LedgerError
            The claim of the trial is no longer valid.
        """
        held = self._held.get(number)
        if held is None:
            raise UsageError(
                f"report: trial {number} of study {self._study.name} is not a running trial of this program"
            )
        loss = finite_loss(self._scale, value)
        try:
            answer = self._call(protocol.report, held.claimed, [step], [loss], [metrics])
        except ValuesRefused as refused:
            raise UsageError(f"report: trial {number}: {refused}") from None
        if answer in ("stale", "unknown"):
            raise self._late("report", number)
        held.is_stopped |= answer == "stop"

    def is_stopped(self, number: int) -> bool:
        """Return whether the rule of early stopping has stopped a trial that `ask` has returned."""
        held = self._held.get(number)
        return held is not None and held.is_stopped

    def _late(self, call: str, number: int) -> LedgerError:
        return LedgerError(
            f"{call}: the ledger does not use the result of trial {number}, because the trial was cancelled or exceeded"
            f" its time limit: run `ledger trial show {self._study.name} {number}` to see the reason"
        )

    def close(self) -> None:
        """Release the trials that this program has claimed, and stop managing the study. A second call of `close` has
        no effect.
        """
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        atexit.unregister(self.close)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        with self._lock:
            with suppress(LedgerError):
                if self._held:
                    self._session.try_call(protocol.release, *(held.claimed for held in self._held.values()))
                self._registration.announce_stop()
            self._held.clear()
            self._is_closed = True
            self._resources.close()

    def _register(self, code: ObjectiveCode | None, if_changed: IfChanged) -> int:
        from ledger.database import studies
        from ledger.manager.registration import register

        with opened(self._url, self._settings, writes=True) as connection:
            row = register(connection, self._study, code, if_changed)
            self._study = self._study.model_copy(update={"name": row.name})
            if row.state in ("paused", "failed"):
                studies.resume(connection, row.id)
            return row.id

    def _keep(self, claimed: ClaimedTrial) -> AskedTrial:
        held = _HeldTrial(claimed)
        held.heartbeat_at = held.since + claimed.heartbeat_seconds
        with self._lock:
            self._held[claimed.trial] = held
        seed = derive(claimed.study_seed, "trial", claimed.trial)
        params = ordered_params(claimed.params, self._space)
        return AskedTrial(claimed.trial, claimed.attempt, seed, params, self)

    def _finish(self) -> None:
        from ledger.database import studies

        with self._finishing:
            if self._row is None and not self._is_closed:
                self._threads[0].join()
                with opened(self._url, self._settings) as connection:
                    self._row = studies.get(connection, self._study.name)
                self.close()

    def _check_waiting(self) -> None:
        """Raise a LedgerError if `ask` would wait forever. `ask` would wait forever if the calling thread itself has
        claimed all open trials.

        If another thread has claimed an open trial, `ask` waits until the other thread calls `tell`.
        """
        with self._lock:
            threads = [trial.thread for trial in self._held.values()]
        held = len(threads)
        if not held or (self._study.mode == "steady" and held < self._study.batch_size):
            return
        if any(thread != threading.get_ident() for thread in threads):
            return
        (open_trials,) = self._call(_open_trials, self._study_id)
        if open_trials == held:
            raise LedgerError(
                f"ask: before the next proposal, study {self._study.name} needs the results of {held} trials that this"
                ' program runs: call tell() for a running trial first, or pass mode="steady" or a larger batch_size to'
                " Study()"
            )

    def _call(self, statement: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the module `protocol`. Repeat the call while the database is unavailable."""
        while True:
            try:
                with self._lock:
                    if self._is_closed:
                        raise _ClosedError(f"another thread has closed study {self._study.name}: call ask() again")
                    return self._session.try_call(statement, *arguments)
            except DatabaseUnavailable as error:
                pause = error.pause
            time.sleep(pause)

    def _manage(self) -> None:
        """Manage the study until the study ends. If another program manages the study, first wait until the other
        program stops.
        """
        observer = _ClosingObserver(self._is_closing)
        workers = search.LocalWorkerSettings()
        while not self._is_closing.is_set():
            try:
                search.run(self._url, self._settings, self._study, workers, listener=observer)
            except StudyHeldError:
                if self._ended():
                    return
                self._is_closing.wait(_MANAGER_PAUSE)
            except BaseException as error:
                self._failure = error
                return
            else:
                return

    def _ended(self) -> bool:
        with suppress(DatabaseUnavailable), self._lock:
            return bool(self._session.try_call(protocol.ended, self._study.name))
        return False

    def _renew(self) -> None:
        """Renew the claims of this program's trials until the program closes the study."""
        while not self._is_closing.wait(_HEARTBEAT_POLL):
            now = time.monotonic()
            with self._lock:
                due = [held for held in self._held.values() if not held.is_lost and now >= held.heartbeat_at]
            for held in due:
                try:
                    with self._lock:
                        held.is_lost = not self._session.try_call(protocol.heartbeat, held.claimed)
                except DatabaseUnavailable as error:
                    held.heartbeat_at = now + error.pause
                except BaseException as error:
                    self._failure = error
                    return
                else:
                    held.heartbeat_at = now + held.claimed.heartbeat_seconds
            with self._lock, suppress(LedgerError):
                self._registration.announce()


class _ClosingObserver(search.SearchObserver):
    """A search observer that stops the search when the program closes the study."""

    def __init__(self, is_closing: threading.Event) -> None:
        self._is_closing = is_closing

    def progressed(self, progress: StudyProgress) -> None:  # noqa: ARG002
        if self._is_closing.is_set():
            raise search.SearchStopped


def _open_trials(connection: Connection[Any], study_id: int) -> tuple[int]:
    statement = "select count(*) from ledger.trials where study_id = %s and state in ('pending', 'running')"
    row = connection.execute(statement, (study_id,)).fetchone()
    assert row is not None
    return (int(row[0]),)
