"""The main loop of the manager. The loop proposes trials, passes losses to the optimizer, and takes back expired
claims.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ledger.database import managing, studies
from ledger.database.managing import ClaimedStudy, ProposedBatch, StudyState
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.manager.artifact_cleaner import ArtifactCleaner
from ledger.manager.batch import BatchPolicy
from ledger.manager.history import StudyHistory
from ledger.manager.policy import PromotionRequest, ProposalPolicy, ProposalRequest, StudyEnd
from ledger.manager.promoter import TrialPromoter
from ledger.manager.reaper import TrialReaper
from ledger.manager.refusals import RefusalMonitor
from ledger.manager.steady import SteadyPolicy
from ledger.proposals import environment, load_optimizer, mean_loss, propose
from ledger.study.spec import StudySpec

_log = logging.getLogger("ledger.manager")

SHORTEST_POLL = 0.005
# Seconds for which a manager's claim of a study is valid without a renewal, and seconds between two renewals.
LEASE = 30.0
RENEWAL = 5.0
# Time in seconds for which a new manager tries to claim the study. The claim of a killed manager may still be valid for
# some seconds.
TAKE_SECONDS = 2.0
TAKE_POLL = 0.2
# Longest time in seconds between two checks of a study's timeout.
TIMEOUT_POLL = 0.25


class StudyHeldError(LedgerError):
    """An exception that a manager raises if another manager has a valid claim of the study."""


@dataclass(frozen=True)
class StudyProgress:
    """The progress of a study: the number of ended trials, the budget in trials, and the best value."""

    ended: int
    budget: int
    best_value: float | None


class StudyManager:
    """The manager of one study. The manager proposes the trials of the study, and passes the losses of the trials to
    the optimizer.

    Parameters
    ----------
    connection : Connection
        Connection to the ledger.
    study : StudyRow
        The registered study.
    claim : UUID
        Random UUID with which the manager claims the study. After a lost connection, a new `StudyManager` with the same
        claim can continue on another connection.
    name : str
        Name of the manager in messages.
    watch : callable, optional
        Function that the manager calls with a `StudyProgress` object at every poll.
    wait : bool
        Whether this manager waits if another manager has claimed the study.
    store : str or None
        URL of the store from which the manager deletes the contents of removed artifacts. If `store` is None, the
        ledger itself keeps the contents.

    Raises
    ------
    StudyHeldError
        Another manager has claimed the study, and `wait` is False.
    """

    def __init__(
        self,
        connection: Connection,
        study: StudyRow,
        claim: UUID,
        name: str,
        watch: Callable[[StudyProgress], None] | None = None,
        *,
        wait: bool = False,
        store: str | None = None,
    ) -> None:
        self._connection, self._name, self._watch = connection, name, watch
        self._held = ClaimedStudy(study.id, claim)
        self._take(study, wait=wait)
        managing.listen(connection)
        # The manager reads the study again, because a command may have changed the study before the manager claimed the
        # study.
        self._row = studies.get(connection, study.name)
        self._study = StudySpec.from_spec(self._row.name, self._row.budget, self._row.spec)
        self._reaper = TrialReaper(connection, self._held, self._row.name, self._study.limits.lease)
        self._promoter = TrialPromoter(connection, self._held, self._study)
        self._refusals = RefusalMonitor(connection, study.id, self._row.name)
        self._artifacts = ArtifactCleaner(connection, self._row, self._study.artifact_keepers, store)
        self._is_paused = self._is_locked = False
        # The last result of the SQL function `ledger.stop`, and the time of the function's next call. A monotonic clock
        # measures the time.
        self._answer, self._check_at = "none", 0.0
        self._since: dict[int, float] = {}

    def run(self, *, another_round: bool = False) -> StudyRow:
        """Manage the study until the study has ended, and return the final row of the study.

        Parameters
        ----------
        another_round : bool
            Whether the manager proposes one more round of trials if the study has failed because of failed trials.

        Raises
        ------
        LedgerError
            Another manager has claimed the study.
        """
        try:
            row = self._run(another_round=another_round)
        except (DBAPIError, psycopg.Error):
            # After a lost connection, the manager keeps its claim, so that a new `StudyManager` with the same claim can
            # continue.
            raise
        except BaseException:
            self._leave()
            raise
        finally:
            self._artifacts.stop()
        self._leave()
        return row

    def _run(self, *, another_round: bool) -> StudyRow:
        self._history = StudyHistory(self._connection, self._row, self._study)
        policy = self._policy(another_round=another_round)
        pause = SHORTEST_POLL
        while True:
            now = managing.state(self._connection, self._row.id)
            budget = now.budget
            if now.state not in ("running", "paused"):
                managing.end_cancelled(self._connection, self._row.id)
                self._artifacts.finish()
                return studies.get(self._connection, self._row.name)
            has_news = self._history.poll()
            if has_news:
                pause = SHORTEST_POLL
            self._say_paused(now.state == "paused")
            step: ProposalRequest | PromotionRequest | StudyEnd | None = None
            # Even if another session has locked the study, the manager must take back the trials whose claims have
            # expired.
            with self._logged_lock():
                self._renew()
                if self._promoter.look(self._history.untold):
                    pause = SHORTEST_POLL
                ended = policy.to_tell()
                for iteration in ended:
                    self._tell(iteration)
                self._artifacts.look(trials_ended=bool(ended))
                step = policy.next(budget, now.batch_size)
                if isinstance(step, PromotionRequest) and step.otherwise is None:
                    step = step if has_news or self._promoter.is_due else None
                if now.has_criteria and self._is_stopping(now, step):
                    step = None
                if isinstance(step, PromotionRequest):
                    promoted = self._promoter.fill(step.free)
                    if promoted:
                        self._history.promote(promoted)
                        pause = SHORTEST_POLL
                    step = None if promoted else step.otherwise
                if isinstance(step, StudyEnd) and self._history.waiting:
                    self._prune_paused(budget)
                    step = None
                if isinstance(step, ProposalRequest):
                    self._propose(step, policy, now)
                    pause = SHORTEST_POLL
                elif isinstance(step, StudyEnd):
                    self._finish(step, budget)
                self._is_locked = False
            if self._watch is not None:
                counted = min(self._history.counted_ended, budget)
                self._watch(StudyProgress(counted, budget, self._value(self._history.best_loss)))
            if step is None or self._is_locked:
                self._reaper.look()
                self._refusals.look()
                managing.wait(self._connection, pause)
                pause = min(pause * 1.5, policy.longest_poll)

    def _is_stopping(self, now: StudyState, step: ProposalRequest | PromotionRequest | StudyEnd | None) -> bool:
        """End the study if the study meets a stopping criterion.

        Return True if the manager must not propose trials now.
        """
        is_due = (now.has_timeout or self._answer == "stopping") and time.monotonic() >= self._check_at
        if step is not None or is_due:
            self._answer = managing.stop(self._connection, self._held)
            self._check_at = time.monotonic() + TIMEOUT_POLL
            if self._answer == "lost":
                raise self._lost()
            if self._answer == "stopped":
                row = studies.get(self._connection, self._row.name)
                message = f"study {row.name} is {row.state}: {row.reason}"
                log_event(_log, row.state, message, study=row.name, reason=row.reason)
        return self._answer != "none"

    @contextmanager
    def _logged_lock(self) -> Iterator[None]:
        """If another session has locked the study's row, log a warning and leave the `with` block.

        The manager runs the `with` block again at the next poll.
        """
        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            if not self._is_locked:
                self._is_locked = True
                message = (
                    f"another session has locked study {self._row.name}: run `ledger db check` to find the session that"
                    " holds the lock; the manager will try again to lock the study"
                )
                log_event(_log, "locked", message, level=logging.WARNING, study=self._row.name)

    def _leave(self) -> None:
        # If the database is unavailable, the manager cannot return its claim of the study. If the manager has not
        # returned a claim, the claim ends when the claim's lease expires.
        with suppress(DBAPIError, psycopg.Error):
            managing.leave_study(self._connection, self._held)

    def _policy(self, *, another_round: bool) -> ProposalPolicy:
        if self._study.mode == "steady":
            return SteadyPolicy(
                self._study, self._history, self._row.budget, self._row.batch_size, another_round=another_round
            )
        return BatchPolicy(self._study, self._history, another_round=another_round)

    def _take(self, study: StudyRow, *, wait: bool) -> None:
        """Claim the study.

        If another manager has claimed the study, repeat the attempt to claim the study. If `wait` is False, the
        attempts stop after `TAKE_SECONDS` seconds. If `wait` is True, the attempts continue until no other manager has
        a valid claim.
        """
        end = time.monotonic() + TAKE_SECONDS
        is_said = False
        while (answer := managing.claim_study(self._connection, self._held, self._name, LEASE)) != "held":
            if answer == "unknown":
                raise LedgerError(f"study {study.name} was deleted")
            if not wait and time.monotonic() > end:
                raise StudyHeldError(
                    f"study {study.name} has a manager, which continues the study: `ledger study show {study.name}`"
                    " shows the progress; to wait until the other manager has ended, run your command again with --wait"
                )
            if wait and not is_said:
                is_said = True
                message = (
                    f"study {study.name} has another manager: this manager waits until the other manager has ended"
                )
                log_event(_log, "waiting", message, study=study.name)
            time.sleep(TAKE_POLL)
        self._renewed = time.monotonic()

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < RENEWAL:
            return
        if managing.claim_study(self._connection, self._held, self._name, LEASE) != "held":
            raise self._lost()
        self._renewed = time.monotonic()

    def _propose(self, request: ProposalRequest, policy: ProposalPolicy, now: StudyState) -> None:
        history, budget = self._history, now.budget
        number, round = request.iteration, request.round
        given = history.given(number, round, request.seen, request.seen_rungs)
        proposal = propose(self._study, number, round, request.size, given)
        if not proposal.points:
            end = policy.used_up(request)
            if end is not None:
                self._finish(end, budget)
            return
        batch = ProposedBatch(
            number,
            round,
            history.size,
            proposal.points,
            proposal.surrogate,
            environment(),
            proposal.ask_seconds,
            proposal.tell_seconds,
            request.seen,
            now.batch_size,
            request.seen_rungs,
        )
        answer = managing.propose(self._connection, self._held, batch)
        if answer == "lost":
            raise self._lost()
        if answer != "proposed":
            # The ledger did not insert the batch, because the study has ended or a command has added trials. The
            # manager's next poll reads the new state of the study.
            return
        first = history.size
        history.add(batch)
        self._since[number] = time.monotonic()
        facts: dict[str, Any] = {"study": self._row.name, "iteration": number, "round": round}
        again = f" (round {round}, because every trial of the previous round failed)" if round else ""
        message = f"{self._where(number)}: {proposal}{again}, {history.counted} of {budget} trials"
        seconds = proposal.ask_seconds + proposal.tell_seconds
        log_event(_log, "proposed", message, points=batch.points, seconds=seconds, **facts)
        for trial, params in enumerate(batch.points, start=first):
            log_event(
                _log, "point", f"{self._where(number)}: trial {trial}: {json.dumps(params)}", trial=trial, **facts
            )
        if proposal.surrogate is None and budget > self._study.resolved.initial_points:
            # A later proposal needs the optimizer, so the manager imports the optimizer while the workers evaluate the
            # trials.
            load_optimizer()

    def _tell(self, number: int) -> None:
        trials = self._history.of(number)
        losses = [trial.loss for trial in trials if trial.loss is not None]
        mean, best = (mean_loss(losses), min(losses)) if losses else (None, None)
        answer = managing.tell(self._connection, self._held, number, len(trials), mean, best)
        if answer == "lost":
            raise self._lost()
        if answer != "told":
            # The iteration has not ended, because a command has added a trial to the iteration. The manager's next poll
            # reads the added trial.
            return
        self._history.tell(number)
        mean_value, best_value, so_far = map(self._value, (mean, best, self._history.best_loss))
        result = "no trial completed"
        if mean_value is not None:
            result = f"mean value {mean_value:.6g}, best {best_value:.6g}, best so far {so_far:.6g}"
        waited = time.monotonic() - self._since.pop(number, math.nan)
        pruned = sum(trial.state == "pruned" for trial in trials)
        failed = len(trials) - len(losses) - pruned
        log_event(
            _log,
            "told",
            f"{self._where(number)}: {result}"
            + ("" if math.isnan(waited) else f", waited {waited:.2f} s")
            + (f"; {pruned} of {len(trials)} trials were pruned" if pruned else "")
            + (f"; {failed} of {len(trials)} trials failed or were cancelled" if failed else ""),
            study=self._row.name,
            iteration=number,
            mean_value=mean_value,
            best_value=best_value,
            best_so_far=so_far,
            waited=None if math.isnan(waited) else waited,
            pruned=pruned,
            failed=failed,
        )

    def _value(self, loss: float | None) -> float | None:
        return None if loss is None else self._study.objective.scale.value(loss)

    def _prune_paused(self, budget: int) -> None:
        answer = managing.prune_paused(self._connection, self._held, budget)
        if answer == "lost":
            raise self._lost()
        self._history.expect_pruned()
        # If the ledger pruned nothing, the reason is one of three: a command has added a trial, a command has extended
        # the budget, or another session has locked a paused trial. The manager's next poll reads the new state of the
        # study.

    def _finish(self, end: StudyEnd, budget: int) -> None:
        answer = managing.finish(self._connection, self._held, end.state, end.reason, budget)
        if answer == "lost":
            raise self._lost()
        if answer != "finished":
            # The study has not ended, because a command has extended the budget or added a trial. The manager's next
            # poll reads the new budget or the added trial.
            return
        message = f"study {self._row.name} is {end.state}" + (f": {end.reason}" if end.reason else "")
        level = logging.INFO if end.state == "complete" else logging.ERROR
        log_event(_log, end.state, message, level=level, study=self._row.name, reason=end.reason)

    def _say_paused(self, is_paused: bool) -> None:
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        name, left = self._row.name, len(self._history.open) + len(self._history.waiting)
        message = (
            f"study {name} is paused: {left} trials have not ended, and workers cannot claim pending trials;"
            f" `ledger resume {name}` continues the study"
            if is_paused
            else f"study {name} runs again"
        )
        log_event(_log, "paused" if is_paused else "running", message, study=name)

    def _lost(self) -> LedgerError:
        return LedgerError(
            f"another manager has claimed study {self._row.name}, so this manager stops and writes nothing more:"
            f" `ledger study show {self._row.name}` shows the progress"
        )

    def _where(self, iteration: int) -> str:
        return f"{self._row.name} iteration {iteration}"
