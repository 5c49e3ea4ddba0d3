"""The trials that a worker has claimed in one statement, and the trials' outcomes.

The module stores an outcome until the worker has written the outcome to the ledger.
"""

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from ledger.database import protocol
from ledger.database.bounds import MOST_REPORTS_OF_CALL
from ledger.database.protocol import ClaimedTrial, CompletedTrial
from ledger.database.session import ValuesRefused
from ledger.logs import log_event
from ledger.objectives import value_scale
from ledger.text import last_line, one_line
from ledger.worker.best_losses import BestLosses
from ledger.worker.outcome import AttemptOutcome, Report
from ledger.worker.trial_stopping import TrialStopping, reports_of_call

_log = logging.getLogger("ledger.worker")

# A worker can claim several trials together. The worker writes the outcomes of the ended trials to the ledger
# `DELIVERY_SECONDS` seconds after the claim. When the worker writes the outcomes, the worker also releases the claimed
# trials that have not started. Without the release, the claimed trials would have to wait for the end of an
# unexpectedly long trial.
DELIVERY_SECONDS = 0.5
# The worker writes a report to the ledger at most `REPORT_SECONDS` seconds after the report has arrived. Together with
# the report, the worker writes all reports that have arrived later. The trainer wakes the worker for new reports at
# most once every `channel.REPORT_SECONDS` seconds. `REPORT_SECONDS` is longer than `channel.REPORT_SECONDS`, so that
# the worker can write the reports of two wake-ups together.
REPORT_SECONDS = 0.25

# Type of the methods `call` and `try_call` of a `ReconnectingSession`. Both methods call a function of the module
# `protocol`.
Call = Callable[..., Any]


class ClaimedTrials:
    """The trials that a worker has claimed in one statement. All claimed trials belong to the same study.

    Parameters
    ----------
    claimed : sequence of ClaimedTrial
        The claimed trials in the order of their training. The sequence contains at least one trial.
    worker : str
        Name of the worker. The worker's name appears in log lines.
    best : BestLosses, optional
        The object that stores the best recorded result of each study.

    Attributes
    ----------
    attempts : int
        Number of attempts that have started and ended.
    due_at : float
        The time at which the worker must call `maintain`, as a value of `time.monotonic`.
    """

    def __init__(self, claimed: Sequence[ClaimedTrial], worker: str, best: BestLosses | None = None) -> None:
        self._worker, self._best = worker, best or BestLosses()
        # The trainer has received the first `_in_trainer` trials of `_unfinished`, or will receive these trials.
        # Therefore the method `release` does not release the first `_in_trainer` trials.
        self._unfinished = deque(claimed)
        self._in_trainer = 0
        self._undelivered: list[tuple[ClaimedTrial, AttemptOutcome]] = []
        # The reports that the worker has not yet written to the ledger, from the oldest to the newest.
        self._reports: list[tuple[ClaimedTrial, list[Report]]] = []
        # Time of the next attempt to reach the database, as a value of `time.monotonic`.
        self._postponed_until = 0.0
        # The claims of all attempts whose outcomes the database has refused.
        self._refused: set[UUID] = set()
        # The claims that were already invalid when the worker wrote reports.
        self._gone: set[UUID] = set()
        # If the study stops trials early, `_stopping` contains the verdicts on each trial. For each trial,
        # `_highest_steps` contains the highest step that the worker has written to the ledger.
        self._stopping = {trial.claim: TrialStopping(trial.stopping) for trial in claimed if trial.stopping is not None}
        self._highest_steps: dict[UUID, int] = {}
        # True if the trainer does not know yet that the ledger has stopped the running trial.
        self._has_news = False
        # The step of the last report at a rung, or None. The trainer may be waiting for the verdict on this report.
        self._awaited: int | None = None
        # The time since which the running trial has waited for other trials, as a value of `time.monotonic`. None if
        # the trial does not wait. `_waited` is the duration of its earlier waits in seconds.
        self._waiting_since: float | None = None
        self._waited = 0.0
        # The claims of trials that waited, and whose objectives the worker has asked to end without a verdict.
        self._leaving: set[UUID] = set()
        self.attempts = 0
        now = time.monotonic()
        self._heartbeat_at = now + claimed[0].heartbeat_seconds
        self.due_at = min(self._heartbeat_at, now + DELIVERY_SECONDS if len(claimed) > 1 else math.inf)
        if len(claimed) == 1:
            self._log("claimed", claimed, f" claimed: {json.dumps(claimed[0].params)}", params=claimed[0].params)
        else:
            self._log("claimed", claimed, " claimed")

    @property
    def first(self) -> ClaimedTrial:
        """The first unfinished trial."""
        return self._unfinished[0]

    def start(self) -> list[ClaimedTrial]:
        """Return all unfinished trials, and record that the trainer has received all unfinished trials.

        The list may be empty.
        """
        self._in_trainer = len(self._unfinished)
        return list(self._unfinished)

    def finish(self, outcome: AttemptOutcome) -> None:
        """Record that the running trial has ended.

        The method keeps `outcome` in memory until `deliver` writes `outcome` to the ledger.
        """
        self._add_reports(outcome.reports)
        if self.must_end:
            outcome = replace(outcome, kind="pruned", loss=None, metrics=None, error=None)
        self._undelivered.append((self._end_first(), outcome))

    @property
    def must_end(self) -> bool:
        """Whether the worker must end the training of the first unfinished trial (`TrialStopping.must_end`).

        If the study enforces its rule, the worker also ends a training that must leave without a verdict.
        """
        stopping = self._stopping.get(self.first.claim) if self._unfinished else None
        leaves = bool(self._unfinished) and self.first.claim in self._leaving
        return stopping is not None and (stopping.must_end or (stopping.enforces and leaves))

    @property
    def is_waiting(self) -> bool:
        """Whether the running trial waits for its verdict in a study with groups."""
        return self._waiting_since is not None

    def leave(self) -> None:
        """If the running trial waits for its verdict, let `context.should_prune()` return True, so that the objective
        ends. The worker then releases the trial.
        """
        if self.is_waiting and self.first.claim not in self._leaving:
            self._leaving.add(self.first.claim)
            self._has_news = True

    @property
    def waited(self) -> float:
        """The time in seconds for which the running trial has waited for its verdicts."""
        return self._waited + (0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since)

    def take_verdict(self) -> tuple[int | None, bool, bool] | None:
        """Return the next message to the trainer about the verdict on the running trial, or None if no message is
        necessary.

        Returns
        -------
        (int or None, bool, bool)
            The first item is None, or the step of a report. The trainer must stop waiting for the database's verdict on
            this report. The second item is True if the objective must end. The third item is True if the objective
            must end without a verdict (`leave`). The trainer must stop waiting in three cases: the ledger has answered,
            the database is unavailable, or the worker writes the report later, together with the outcomes of several
            short trials. In a study with groups, the trainer must stop waiting only if the ledger has answered.
        """
        is_open = self.is_waiting or (
            self._reports and len(self._unfinished) == 1 and time.monotonic() >= self._postponed_until
        )
        if not self._has_news and (self._awaited is None or is_open):
            return None
        stopping = self._stopping[self.first.claim]
        verdict = self._awaited, self._has_news, self._has_news and not stopping.is_stopped
        self._awaited, self._has_news = None, False
        return verdict

    def keep_reports(self, reports: Sequence[Report]) -> None:
        """Keep reports of the running trial in memory. `deliver` or `maintain` writes the reports to the ledger later.

        If more claimed trials are waiting for the trainer, the worker writes the reports together with the next
        outcomes. In a study with groups, the worker does not wait for the next outcomes.
        """
        if not reports:
            return
        has_reached_rung = self._add_reports(reports)
        if len(self._unfinished) == 1 or self.is_waiting:
            # When a report has reached a rung, the ledger needs the report for a verdict. Therefore the worker writes
            # the report at once.
            pause = 0.0 if has_reached_rung else REPORT_SECONDS
            self.due_at = min(self.due_at, max(time.monotonic() + pause, self._postponed_until))

    def withdraw(self, count: int) -> None:
        """Record that the supervisor has withdrawn the last `count` trials from the trainer."""
        self._in_trainer -= count

    def keep_first(self) -> None:
        """Record that the trainer has not started any of the trials. The next call of `release` keeps only the first
        trial.
        """
        self._in_trainer = 1

    def stop(self, *, killed: bool = False) -> None:
        """Record that the worker will not train the unfinished trials.

        If the trainer was killed during the training of the first trial, `killed` is True.
        """
        self._in_trainer = 0
        self.attempts += killed

    def release_soon(self) -> None:
        """If several trials are unfinished, set `due_at` to the current time."""
        if len(self._unfinished) > 1:
            self.due_at = min(self.due_at, time.monotonic())

    def maintain(self, call: Call) -> bool:
        """Deliver outcomes, release waiting trials, and renew the claim of the running trial.

        If the running trial waits for its verdict, the method asks for the verdict again.

        The worker releases the waiting trials before the first heartbeat is due. Therefore at most one claim of the
        worker needs a heartbeat.

        Returns
        -------
        bool
            False if the claim of the running trial is no longer valid.
        """
        if self.is_waiting and not self._reports:
            self._reports.append((self.first, []))
        self.deliver(call)
        self.release(call)
        current = self._unfinished[0]
        is_gone = current.claim in self._gone
        if is_gone or time.monotonic() >= self._heartbeat_at:
            if is_gone or not call(protocol.heartbeat, current):
                message = ": the claim is no longer valid, so the worker stops the training"
                self._log("claim gone", [current], message, level=logging.WARNING)
                self._end_first()
                return False
            self._heartbeat_at = time.monotonic() + current.heartbeat_seconds
        self.due_at = self._heartbeat_at
        if self.is_waiting:
            self.due_at = min(self.due_at, time.monotonic() + REPORT_SECONDS)
        return True

    def postpone(self, seconds: float) -> None:
        """Set `due_at` to the current time plus `seconds`, because the database is unavailable."""
        self.due_at = self._postponed_until = time.monotonic() + seconds

    def release(self, call: Call) -> None:
        """Release the unfinished trials.

        The method does not release a trial that the trainer has received or will receive.

        Usually, a worker can claim a released trial again immediately. After too many releases of a trial, no worker
        can claim the trial during a pause (`ledger.release_pause`). The ledger does not count a released attempt as
        failed or lost.
        """
        self.write_reports(call)
        waiting = list(self._unfinished)[self._in_trainer :]
        if not waiting:
            return
        released = call(protocol.release, *waiting)
        while len(self._unfinished) > self._in_trainer:
            self._unfinished.pop()
        self._log("released", [trial for trial in waiting if trial.claim in released], " released, not counted")
        gone = [trial for trial in waiting if trial.claim not in released]
        self._log("released", gone, ": the worker could not release the trial, because the claim was no longer valid")

    def refuse(self, call: Call, reason: str) -> None:
        """Release the first unfinished trial, because this machine cannot load the trial's objective.

        The worker keeps the other claimed trials until the next call of `release`. The ledger does not count the
        refused attempt as failed or lost.
        """
        self._in_trainer = 0
        call(protocol.refuse, self.first, reason)
        self._unfinished.popleft()

    def deliver(self, call: Call) -> None:
        """Write the reports and the outcomes to the ledger.

        The method writes the reports of a trial before the trial's outcome. One statement writes all results. A
        separate statement writes each failure. If the database refuses a result, the attempt fails with the reason of
        the refusal.
        """
        self.write_reports(call)
        self._settle_left(call)
        try:
            self._complete([(trial, outcome) for trial, outcome in self._undelivered if outcome.loss is not None], call)
        except ValuesRefused:
            # The database has refused the statement that contains all results. Therefore the worker now sends each
            # result in a separate statement.
            for trial, outcome in [*self._undelivered]:
                if outcome.loss is not None:
                    try:
                        self._complete([(trial, outcome)], call)
                    except ValuesRefused as refusal:
                        self._replace_refused(trial, outcome, refusal)
        while self._undelivered:
            trial, outcome = self._undelivered[0]
            if outcome.kind == "pruned":
                self._prune(trial, outcome, call)
                continue
            assert outcome.error is not None
            try:
                answer = call(protocol.fail, trial, outcome.error, outcome.seconds, outcome.kind, outcome.output)
            except ValuesRefused as refusal:
                self._replace_refused(trial, outcome, refusal)
                continue
            del self._undelivered[0]
            self._log_failure(trial, outcome.error, outcome.seconds, answer)

    def _prune(self, trial: ClaimedTrial, outcome: AttemptOutcome, call: Call) -> None:
        """Record in the ledger that the first undelivered trial has ended early. The trial becomes pruned or paused. If
        no verdict stops the trial, the attempt fails.
        """
        try:
            answer = call(protocol.prune, trial, outcome.seconds, outcome.output)
        except ValuesRefused as refusal:
            self._replace_refused(trial, outcome, refusal)
            return
        if answer == "continue" and trial.claim in self._leaving:
            del self._undelivered[0]
            self._release_left(trial, call)
            return
        if answer == "continue":
            error = (
                "the objective raised ledger.TrialPruned, but no verdict stops the trial: raise TrialPruned only after"
                " context.should_prune() has returned True"
            )
            self._undelivered[0] = trial, replace(outcome, kind="failed", error=error)
            return
        del self._undelivered[0]
        late = "; the outcome is too late, because the trial was claimed again, has ended or was deleted"
        is_promotion = trial.stopping is not None and trial.stopping.get("rule") == "promotion"
        event, end = "pruned", "pruned"
        if answer == "paused" or (is_promotion and answer == "already"):
            event, end = "paused", f"paused at step {self._highest_step(trial)}"
        message = f" {end} after {outcome.seconds:.2f} s{late if answer in ('stale', 'unknown') else ''}"
        self._log(event, [trial], message, seconds=outcome.seconds, answer=answer)

    def _settle_left(self, call: Call) -> None:
        """Release each trial whose objective has returned a result because the trial had to leave without a verdict.

        Without the request to leave, the objective might have trained on, so the result must not count. If a verdict
        has stopped the trial since the request, the objective would have returned the same result, so it counts.
        """
        for place, (trial, outcome) in reversed([*enumerate(self._undelivered)]):
            if outcome.kind == "left" and call(protocol.report, trial, [], []) == "stop":
                self._undelivered[place] = trial, replace(outcome, kind="result")
            elif outcome.kind == "left":
                del self._undelivered[place]
                self._release_left(trial, call)

    def _release_left(self, trial: ClaimedTrial, call: Call) -> None:
        released = call(protocol.release, trial)
        self._log("released", [trial] if released else [], " released, not counted: it waited for other trials")

    def _add_reports(self, reports: Sequence[Report]) -> bool:
        """Keep reports of the first unfinished trial in memory. Return whether a report has reached a rung."""
        stopping = self._stopping.get(self._unfinished[0].claim)
        reached = [] if stopping is None else [each.step for each in reports if stopping.observe(each.step, each.loss)]
        if stopping is not None and stopping.asks_database and reached:
            self._awaited = reached[-1]
            if stopping.waits and self._waiting_since is None:
                self._waiting_since = time.monotonic()
        if self._reports and self._reports[-1][0] is self._unfinished[0]:
            self._reports[-1][1].extend(reports)
        elif reports:
            self._reports.append((self._unfinished[0], list(reports)))
        return bool(reached)

    def write_reports(self, call: Call) -> None:
        """Write the reports to the ledger, from the oldest to the newest."""
        while self._reports:
            trial, reports = self._reports[0]
            if trial.claim not in self._gone:
                some = reports[: self._reports_of_call(trial, reports)]
                steps, losses = [each.step for each in some], [each.loss for each in some]
                metrics = [each.metrics for each in some] if any(each.metrics for each in some) else None
                try:
                    answer = call(protocol.report, trial, steps, losses, metrics)
                except ValuesRefused as refusal:
                    message = f": the database refused {len(some)} reports ({one_line(str(refusal))})"
                    self._log("reports refused", [trial], message, level=logging.WARNING)
                else:
                    self._highest_steps[trial.claim] = max([self._highest_step(trial), *(each.step for each in some)])
                    if self._unfinished and trial is self.first and len(some) == len(reports):
                        self._note_wait(answer)
                    if answer == "stop":
                        self._stop(trial)
                    elif answer not in ("continue", "wait", "release"):
                        self._gone.add(trial.claim)
                del reports[: len(some)]
            if not reports or trial.claim in self._gone:
                del self._reports[0]

    def _note_wait(self, answer: str) -> None:
        """Record from the answer to the last report whether the running trial still waits for its verdict."""
        if answer == "release":
            self.leave()
        elif answer != "wait" and self._waiting_since is not None:
            self._waited += time.monotonic() - self._waiting_since
            self._waiting_since = None

    def _highest_step(self, trial: ClaimedTrial) -> int:
        return self._highest_steps.get(trial.claim, -1)

    def _reports_of_call(self, trial: ClaimedTrial, reports: Sequence[Report]) -> int:
        """Return the number of reports that the worker sends to the ledger in the next call."""
        if trial.claim not in self._stopping:
            return MOST_REPORTS_OF_CALL
        if not reports:
            return 0
        steps = [each.step for each in reports[:MOST_REPORTS_OF_CALL]]
        return reports_of_call(self._highest_step(trial), steps, MOST_REPORTS_OF_CALL)

    def _stop(self, trial: ClaimedTrial) -> None:
        """Record that the ledger has stopped a trial. In batch mode, the worker and the trainer already know the
        verdict.
        """
        stopping = self._stopping.get(trial.claim)
        if stopping is not None and not stopping.is_stopped:
            stopping.stop()
            self._has_news = bool(self._unfinished) and self.first is trial

    def _complete(self, results: Sequence[tuple[ClaimedTrial, AttemptOutcome]], call: Call) -> None:
        """Write results to the ledger in one statement."""
        completed = [
            CompletedTrial(trial, outcome.loss, outcome.metrics or {}, outcome.seconds, outcome.output)
            for trial, outcome in results
            if outcome.loss is not None
        ]
        if completed:
            answers = call(protocol.complete_together, completed)
            claims = {result.held.claim for result in completed}
            self._undelivered = [held for held in self._undelivered if held[0].claim not in claims]
            self._best.add(completed, answers)
            self._log_results(completed, answers)

    def _replace_refused(self, trial: ClaimedTrial, outcome: AttemptOutcome, refusal: ValuesRefused) -> None:
        """Replace the outcome of an attempt by a failure, because the database has refused the outcome.

        The error text of the failure contains the database's reason.
        """
        index = [held.claim for held, _ in self._undelivered].index(trial.claim)
        if trial.claim in self._refused:
            # The database has refused two outcomes: the original outcome, and the failure that replaced the original
            # outcome. When the lease ends, the ledger records the attempt as lost.
            del self._undelivered[index]
            message = (
                f": the database refused each outcome of this attempt ({refusal}); after the end of the lease, the"
                " ledger will record the attempt as lost"
            )
            self._log("abandoned", [trial], message, level=logging.WARNING)
        else:
            self._refused.add(trial.claim)
            what = "error" if outcome.loss is None else "result"
            error = f"the database refused the {what} of this attempt: {one_line(str(refusal))}"
            self._undelivered[index] = (
                trial,
                AttemptOutcome("failed", outcome.seconds, error=error, output=outcome.output),
            )

    def log_abandoned(self) -> None:
        """Log each trial that the worker could not release, and each trial whose outcome the worker could not write."""
        abandoned = [*self._unfinished, *(trial for trial, _ in self._undelivered)]
        message = (
            ": the worker could not record an outcome, and could not release the trial; another worker can claim"
            " the trial after the end of the lease"
        )
        self._log("abandoned", abandoned, message, level=logging.WARNING)

    def _end_first(self) -> ClaimedTrial:
        self._awaited = self._waiting_since = None
        self._waited = 0.0
        self.attempts += 1
        self._in_trainer -= 1
        return self._unfinished.popleft()

    def _log_results(self, results: Sequence[CompletedTrial], answers: Sequence[str]) -> None:
        """Log all accepted results in one line. Log each late result in a separate line.

        The worker may need more time to write a line than to train a short trial. Therefore the worker writes one line
        for all accepted results.
        """
        accepted = []
        for result, answer in zip(results, answers, strict=True):
            if answer in ("stale", "unknown"):
                reason = "the trial was claimed again, has ended or was deleted"
                message = f"{_summary(result)}; the result is too late, because {reason}"
                fields = {"value": _value(result), "seconds": result.seconds, "answer": answer}
                self._log("result", [result.held], message, **fields)
            else:
                accepted.append((result, answer))
        if len(accepted) == 1:
            ((result, answer),) = accepted
            fields = {"value": _value(result), "seconds": result.seconds, "answer": answer}
            self._log("result", [result.held], _summary(result), **fields)
        elif accepted:
            values, seconds = [_value(result) for result, _ in accepted], [result.seconds for result, _ in accepted]
            message = f": values from {min(values):.6g} to {max(values):.6g} in {sum(seconds):.2f} s"
            fields = {"values": values, "seconds": seconds, "answers": [answer for _, answer in accepted]}
            self._log("results", [result.held for result, _ in accepted], message, **fields)

    def _log_failure(self, trial: ClaimedTrial, error: str, seconds: float, answer: str) -> None:
        reason = last_line(error)
        consequence = {"retry": "the trial will be tried again", "failed": "no tries are left"}.get(answer, answer)
        message = f" failed after {seconds:.2f} s: {reason}; {consequence}"
        fields = {"error": reason, "seconds": seconds, "answer": answer}
        self._log("failed", [trial], message, level=logging.WARNING, **fields)

    def _log(self, event: str, trials: Sequence[ClaimedTrial], message: str, **fields: Any) -> None:
        """Log one line that begins with the study's name and the trials' numbers. If `trials` is empty, log nothing."""
        if not trials:
            return
        study, numbers = trials[0].study_name, [trial.trial for trial in trials]
        if len(trials) == 1:
            subject: dict[str, Any] = {"trial": numbers[0], "attempt": trials[0].attempt}
            title = f"trial {numbers[0]}"
        else:
            subject = {"trials": numbers}
            title = f"trials {', '.join(map(str, numbers))}"
        log_event(_log, event, f"{study} {title}{message}", worker=self._worker, study=study, **subject, **fields)


def _summary(result: CompletedTrial) -> str:
    return f": value {_value(result):.6g} in {result.seconds:.2f} s"


def _value(result: CompletedTrial) -> float:
    return value_scale(result.held.objective).value(result.loss)
