"""The worker's supervisor process.

The supervisor manages the database connection, the claims, the deadlines and the signals.
"""

import logging
import math
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from psycopg import Connection

from ledger.database import protocol
from ledger.database.bounds import json_fault
from ledger.database.protocol import ClaimedTrial
from ledger.database.retry import RetryPolicy
from ledger.database.session import DatabaseUnavailable, ReconnectingSession
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.objectives import Context
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.form import dataset_reference
from ledger.seeds import derive
from ledger.settings import Settings
from ledger.worker import cgroup
from ledger.worker.artifact_saver import ArtifactSaver
from ledger.worker.best_losses import BestLosses
from ledger.worker.claim_size import ClaimSizeEstimator
from ledger.worker.claimed_trials import ClaimedTrials
from ledger.worker.dataset_file import DatasetFile
from ledger.worker.options import WorkerOptions
from ledger.worker.outcome import AttemptOutcome
from ledger.worker.promoted_trials import say_restarts
from ledger.worker.recorded_code import RecordedCodes
from ledger.worker.refusals import ObjectiveLoadError, RefusedStudies
from ledger.worker.registration import WorkerRegistration
from ledger.worker.stop_requests import StopRequests
from ledger.worker.trainer import TrainerHandle

_log = logging.getLogger("ledger.worker")

POLL_SECONDS = 1.0
# Time in seconds that the trainer has for imports and for the dataset, in addition to a trial's time limit. Without
# `LOADING_SECONDS`, a trial could exceed its time limit because the machine loads modules or data slowly.
LOADING_SECONDS = 300.0
# Longest time in seconds for which the supervisor waits for the trainer. `_LONGEST_WAIT` is necessary, because poll()
# refuses a timeout of more than 24 days.
_LONGEST_WAIT = 1e6


class _StoppedDuringOutageError(Exception):
    """An exception that reports that the worker must stop, and that the database is unavailable."""


class Supervisor:
    """The supervisor of a worker's trainer process. Until the worker must stop, the supervisor claims trials, sends the
    trials to the trainer, and writes the outcomes of the trials.

    Parameters
    ----------
    url : str
        URL of the database.
    options : WorkerOptions
        The options of the worker.
    settings : Settings
        The settings contain the statement timeout and the longest allowed outage of the database.

    Attributes
    ----------
    name : str
        The worker's unique name in the ledger.
    """

    def __init__(self, url: str, options: WorkerOptions, settings: Settings) -> None:
        self._options = options
        host = socket.gethostname()
        self.name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        self._shutdown = StopRequests(options.grace, exit_on_eof=options.exit_on_eof)
        self._is_delivering = False
        self._claim_size = ClaimSizeEstimator()
        self._best = BestLosses()
        # A study has at most two data files: the file with the training rows, and the hold-out file.
        self._data_files = (DatasetFile(), DatasetFile())
        self._refusals = RefusedStudies()
        self._trainer = TrainerHandle(
            options.allowed,
            options.threads,
            options.memory_limit,
            account=options.trainer_account,
            adopts=True,
            commands=options.commands,
        )
        self._artifacts = ArtifactSaver(options.store, self._trainer.reply)
        self._session = ReconnectingSession(
            url,
            f"ledger worker {self.name}"[:63],
            settings.statement_timeout,
            RetryPolicy(settings.give_up_after),
            protocol.listen,
            self._wait_before_retry,
        )
        self._registration = WorkerRegistration(self._session, self.name, host)
        self._codes = RecordedCodes(self._session)

    def run(self) -> int:
        """Claim and train trials until the worker stops.

        Returns
        -------
        int
            Number of attempts that this worker has made.

        Raises
        ------
        LedgerError
            The worker trains trials of only one study, and this machine cannot load the objective of this study. The
            method also raises LedgerError if the database was unavailable for too long.
        """
        attempts = 0
        with self._shutdown.handle_signals():
            try:
                cgroup.end_abandoned()
                self._registration.announce()
                log_event(_log, "started", f"worker {self.name} has started", worker=self.name)
                while not self._shutdown.is_requested and attempts != self._options.max_trials:
                    claims = self._draw_claims(attempts)
                    left_alone = self._refusals.left_alone(time.monotonic())
                    claimed = self._session.call(protocol.claim, self._options.study, claims, self.name, left_alone)
                    if claimed:
                        # The log lines about promoted trials are not important, so the supervisor does not wait for the
                        # database.
                        with suppress(DatabaseUnavailable):
                            say_restarts(claimed, self.name, self._session.try_call)
                        attempts += self._process(ClaimedTrials(claimed, self.name, self._best))
                    elif self._options.until_complete and self._session.call(protocol.ended, self._options.study):
                        break
                    else:
                        self._idle()
                    self._registration.announce()
            except _StoppedDuringOutageError:
                message = "the worker stops, because a request to stop arrived while the database was unavailable"
                log_event(_log, "stopped during outage", message, level=logging.WARNING)
            finally:
                self._trainer.close()
                self._close_data_files()
                self._registration.announce_stop()
                self._session.close()
                message = f"worker {self.name} has stopped after it ran {attempts} attempts of trials"
                log_event(_log, "stopped", message, worker=self.name, attempts=attempts)
        return attempts

    def _draw_claims(self, attempts: int) -> list[uuid.UUID]:
        """Return a list of new random claims. A claim is a UUID.

        With each UUID of the list, the worker can claim one trial.

        `attempts` is the number of attempts that the worker has already made. The worker's limit `max_trials` also
        counts the earlier attempts.
        """
        size = self._claim_size.trials
        if self._options.max_trials is not None:
            size = min(size, self._options.max_trials - attempts)
        return [protocol.draw_claim() for _ in range(size)]

    def _process(self, trials: ClaimedTrials) -> int:
        """Train the claimed trials one after the other, and write the outcomes of the trials.

        Return the number of attempts that the worker has made for these trials.
        """
        try:
            # If the trainer process ends before all trials have ended, the loop starts a new trainer process for the
            # remaining trials.
            while not self._shutdown.is_requested and (claimed := trials.start()):
                if not self._fetch_data_files(claimed[0], trials):
                    break
                version = claimed[0].code
                if self._codes.is_missing(claimed[0]):
                    code = self._load_code(claimed[0], trials)
                    if code is None:
                        continue
                    version = self._codes.record(claimed[0], code)
                # During the fetch of the dataset or the loading of the objective, the worker may have released some
                # trials. Therefore the code calls `start` again.
                self._train(trials.start(), trials, version)
        except ObjectiveLoadError as refused:
            if self._options.study is not None:
                raise
            self._refuse(trials, str(refused))
        finally:
            trials.stop()
            self._settle(trials)
        return trials.attempts

    def _refuse(self, trials: ClaimedTrials, reason: str) -> None:
        """Release the first unfinished trial, because this machine cannot load the trial's objective.

        After a refusal, the worker claims no trials of the refused study for some time. If the study's previous refusal
        had the same reason, the worker does not log the reason again.
        """
        first = trials.first
        if self._refusals.add(first.study_id, reason, time.monotonic()):
            message = f"the worker claims no trials of study {first.study_name} for a while: {reason}"
            fields = {"worker": self.name, "study": first.study_name, "reason": reason}
            log_event(_log, "refused", message, level=logging.WARNING, **fields)
        # The user can remove the cause of a refusal. For example, the user can install a missing package. Therefore,
        # when the worker next claims trials of the study, the worker starts a new trainer process and fetches the
        # dataset again. The supervisor kills the old trainer process, because the old trainer process may still have
        # unfinished jobs.
        self._trainer.kill()
        self._close_data_files()
        trials.refuse(self._session.call, reason)

    def _accept(self, claimed: ClaimedTrial) -> None:
        """Withdraw the refusal of a study, because the trainer has loaded the study's objective.

        If the database is unavailable, the supervisor calls this method again later.
        """
        with suppress(DatabaseUnavailable):
            self._session.try_call(protocol.accept, claimed)
            self._refusals.remove(claimed.study_id)

    def _settle(self, trials: ClaimedTrials) -> None:
        """Release the trials that have not ended, and write the outcomes of the ended trials to the ledger.

        The method tries the release twice, because the connection to the database may have broken after the last
        heartbeat. A worker that must stop has little time, so the method does not try the release a third time. If the
        release of a trial fails, another worker can claim the trial after the end of the trial's lease.
        """
        self._is_delivering = True
        try:
            for _ in range(2):
                with suppress(DatabaseUnavailable):
                    trials.release(self._session.try_call)
                    break
            trials.deliver(self._session.call)
        finally:
            self._is_delivering = False
            trials.log_abandoned()

    def _fetch_data_files(self, claimed: ClaimedTrial, trials: ClaimedTrials) -> bool:
        """If the study uses data files, fetch the study's data files.

        Return False if the worker has not fetched all files.
        """
        # The supervisor checks the objective, because a database role with the permission to create studies can write
        # any JSON value as an objective.
        if fault := json_fault(claimed.objective):
            raise ObjectiveLoadError(f"the study's objective is malformed: {fault}")
        try:
            data = dataset_reference(claimed.objective)
        except LedgerError as error:
            raise ObjectiveLoadError(str(error)) from None
        wanted = () if data is None else data.files
        return all(
            file.fetch(stored, self._session.call, lambda: self._may_fetch(trials))
            for file, stored in zip(self._data_files, wanted, strict=False)
        )

    def _close_data_files(self) -> None:
        for file in self._data_files:
            file.close()

    def _may_fetch(self, trials: ClaimedTrials) -> bool:
        """During the fetch of a dataset, renew the claim of the first trial if a heartbeat is due.

        Return False if the claim is no longer valid, or if the grace time has ended. If the method returns False, the
        worker must stop the fetch of the dataset.
        """
        if self._shutdown.is_overdue:
            return False
        if self._shutdown.is_requested:
            trials.release_soon()
        if time.monotonic() >= trials.due_at:
            trials.keep_first()
            try:
                return trials.maintain(self._session.try_call)
            except DatabaseUnavailable as error:
                trials.postpone(error.pause)
        return True

    def _load_code(self, first: ClaimedTrial, trials: ClaimedTrials) -> ObjectiveCode | None:
        """Load the objective of a study that has no recorded code yet, and return the code of the objective.

        Return None if the first trial has ended before the objective was loaded, or if the worker must stop.
        """
        trials.keep_first()
        self._trainer.load(first.objective, self._open_data(first))
        self._wait_for_jobs(first, trials)
        return self._trainer.code

    def _train(self, claimed: Sequence[ClaimedTrial], trials: ClaimedTrials, version: int | None) -> None:
        """Train trials of one study. The training continues even while the database is unavailable.

        The method returns when every trial has ended, when the worker must release the trials, or when the trainer
        process has ended.

        Parameters
        ----------
        version : int or None
            Number of the currently valid version of the objective's code. None means that the ledger has no version of
            the code.
        """
        first = claimed[0]
        jobs = [(trial.params, _context(trial)) for trial in claimed]
        recorded = self._codes.of(first, version)
        stopping = [trial.stopping for trial in claimed]
        best = self._best.of(first.study_id)
        self._trainer.start(first.objective, jobs, self._open_data(first), first.tuples, recorded, stopping, best)
        try:
            self._wait_for_jobs(first, trials)
        finally:
            self._artifacts.abandon()

    def _open_data(self, first: ClaimedTrial) -> list[Callable[[], int]]:
        """Return one function for each data file of a trial's objective. Each function opens one data file."""
        data = dataset_reference(first.objective)
        return [file.open for file in self._data_files[: len(data.files) if data is not None else 0]]

    def _wait_for_jobs(self, first: ClaimedTrial, trials: ClaimedTrials) -> None:
        """Wait until the trainer's jobs have ended. While the jobs run, keep the claims of the trials valid.

        The first job belongs to the trial `first`.
        """
        started = time.monotonic()
        limit = min(seconds for seconds in (first.timeout_seconds, self._options.trial_timeout, math.inf) if seconds)
        while self._trainer.jobs:
            since = self._trainer.training_since
            began = started + LOADING_SECONDS if since is None else since
            until = min(trials.due_at, began + limit + trials.waited, self._shutdown.deadline, self._artifacts.due_at)
            timeout = min(max(0.0, until - time.monotonic()), _LONGEST_WAIT)
            outcomes = self._trainer.wait(timeout, *self._shutdown.descriptors, *self._artifacts.descriptors)
            for outcome in outcomes:
                if outcome.kind == "refused":
                    assert outcome.error is not None
                    raise ObjectiveLoadError(outcome.error)
                if outcome.kind == "result" and outcome.loss is None:
                    continue  # The job has only loaded the objective.
                self._claim_size.observe(first.study_id, outcome)
                self._artifacts.abandon()
                trials.finish(outcome)
            trials.keep_reports(self._trainer.take_reports())
            for message in self._trainer.take_messages():
                self._artifacts.accept(trials.first, message)
            self._artifacts.advance(self._session.try_call, trials.write_reports)
            if first.study_id in self._refusals and self._trainer.training_since is not None:
                self._accept(first)
            if differing := self._trainer.take_differing():
                self._warn_of_values(first, differing)
            if not self._trainer.jobs:
                return
            # If the worker stops the trainer immediately after a checkpoint, the attempt loses no progress. Therefore
            # the worker does not wait for the end of the grace time.
            if (self._artifacts.take_kept() and self._shutdown.is_requested) or self._shutdown.is_overdue:
                self._trainer.kill()
                trials.stop(killed=True)
                return
            now = time.monotonic()
            seconds = now - (started if since is None else since) - trials.waited
            if trials.must_end:
                outcome = self._trainer.end(AttemptOutcome("pruned", seconds))
                self._claim_size.observe(first.study_id, outcome)
                trials.finish(outcome)
                return
            if not outcomes and now >= began + limit + trials.waited:
                outcome = self._trainer.end(AttemptOutcome("timeout", seconds, error=f"not done within {limit:g} s"))
                self._claim_size.observe(first.study_id, outcome)
                trials.finish(outcome)
                return
            if self._shutdown.is_requested:
                self._trainer.ask_to_leave()
                trials.leave()
                trials.release_soon()
            if now >= trials.due_at and not self._maintain(trials):
                self._trainer.kill()
                return
            if (verdict := trials.take_verdict()) is not None:
                step, is_stopped, leaves = verdict
                self._trainer.tell_verdict(step, is_stopped=is_stopped, leaves=leaves)

    def _warn_of_values(self, first: ClaimedTrial, differing: str) -> None:
        way_out = (
            "copy the recorded files to this machine"
            if "command" in first.objective
            else "if a value depends on the machine, compute the value inside the objective"
        )
        message = (
            f"study {first.study_name}: some values in the code on this machine differ from the recorded values:"
            f" {differing}; {way_out}"
        )
        fields = {"worker": self.name, "study": first.study_name, "differing": differing}
        log_event(_log, "other values", message, level=logging.WARNING, **fields)

    def _maintain(self, trials: ClaimedTrials) -> bool:
        """Withdraw and release the waiting trials, deliver outcomes, and renew the claim of the running trial.

        Return False if the claim of the running trial is no longer valid.
        """
        trials.withdraw(self._trainer.withdraw())
        try:
            if not trials.maintain(self._session.try_call):
                return False
        except DatabaseUnavailable as error:
            trials.postpone(error.pause)
        else:
            self._registration.announce()
        return True

    def _idle(self) -> None:
        """Wait for a notification, for the next poll, or for a request to stop."""
        # The database may have sent a notification of new trials together with the answer to the last statement. If
        # psycopg has already read the notification, the socket does not become readable. Therefore a poll of the socket
        # would not find a notification that psycopg has already read.
        if self._session.call(_take_notifications):
            return
        connection = self._session.fileno()
        notifications = [] if connection is None else [connection]
        # The polling interval is random. With a fixed interval, all idle workers could poll the database at the same
        # moment.
        timeout = POLL_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311
        wait([*self._shutdown.descriptors, *notifications], timeout)
        self._session.call(_take_notifications)

    def _wait_before_retry(self, seconds: float) -> None:
        """Wait for some time before the worker repeats a failed statement.

        After a request to stop, the worker waits only if the statement releases trials or delivers outcomes.

        Raises
        ------
        _StoppedDuringOutageError
            The worker has received a request to stop while the database was unavailable.
        """
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            wait(self._shutdown.descriptors, max(0.0, min(end, self._shutdown.deadline) - now))
            if self._shutdown.is_overdue or (self._shutdown.is_requested and not self._is_delivering):
                raise _StoppedDuringOutageError


def _context(claimed: ClaimedTrial) -> Context:
    seed = derive(claimed.study_seed, "trial", claimed.trial)
    return Context(claimed.study_name, claimed.trial, claimed.attempt, seed, claimed.study_seed)


def _take_notifications(connection: Connection[Any]) -> bool:
    """Read the notifications that have arrived. Return True if at least one notification has arrived."""
    return bool(list(connection.notifies(timeout=0)))
