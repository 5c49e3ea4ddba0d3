"""The manager of a study: ask, insert, wait, tell, until the budget is used."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledger.database.store import Batch, Dataset, Store, StudyRow
from ledger.errors import LedgerError
from ledger.logs import say
from ledger.manager.reaper import Reaper
from ledger.proposals import environment, mean_loss, propose, recall
from ledger.study.spec import StudySpec, differences
from ledger.text import last_line

LOG = logging.getLogger("ledger.manager")

SHORTEST_POLL = 0.005
LONGEST_POLL = 0.25
# A manager that was just killed may hold its lock for a moment more.
LOCK_SECONDS = 2.0
LOCK_POLL = 0.2
# Rounds of one iteration in which every trial failed, after which the study fails.
ROUNDS = 3


@dataclass(frozen=True)
class Progress:
    """How far a study is: trials that have ended, of how many, and the lowest loss so far."""

    ended: int
    total: int
    best_loss: float | None


def record(store: Store, study: StudySpec) -> StudyRow | None:
    """Insert the study, with the file that it trains on; None where its name is taken."""
    data = study.objective.data
    dataset = None if data is None or data.content is None else Dataset(data.sha256, data.name, data.content)
    iterations = -(-study.budget // study.batch_size)
    row = store.create(study.name, study.spec(), study.spec_hash, iterations, environment(), dataset)
    if row is not None:
        say(LOG, "created", f"study {row.name} created", study=row.name)
    return row


def register(store: Store, study: StudySpec) -> StudyRow:
    """Insert the study, or find it there and let its budget grow.

    Raises
    ------
    LedgerError
        A study of this name differs in more than a larger budget; the message lists the differences.
    """
    row = record(store, study)
    if row is not None:
        return row
    row = store.study(study.name)
    # whatever was retried, enqueued or imported costs nothing of what was asked for
    added = store.unproposed_iterations(row)
    budget, asked = row.iterations - added, -(-study.budget // study.batch_size)
    recorded = StudySpec.from_spec(row.name, budget * study.batch_size, row.spec)
    found = differences(recorded, study.model_copy(update={"budget": asked * study.batch_size}))
    if found:
        raise LedgerError(
            f"study {row.name} is there with other settings ({'; '.join(found)}): give this one another --name,"
            f" or go on with that one by `ledger resume {row.name}`"
        )
    if asked > budget:
        say(
            LOG,
            "extended",
            f"study {row.name}: budget extended from {budget} to {asked} iterations",
            study=row.name,
        )
        store.extend(row.id, asked + added)
        row = store.study(row.name)
    return row


class Manager:
    """Manages one study on a connection that holds its lock.

    Parameters
    ----------
    store : Store
        On a direct connection to the database: the lock lives as long as it.
    row : StudyRow
        The study, registered.
    watch : callable, optional
        Called at every poll with the Progress.
    wait : bool
        Wait for as long as the study has another manager.

    Raises
    ------
    LedgerError
        The study has another manager.
    """

    def __init__(
        self, store: Store, row: StudyRow, watch: Callable[[Progress], None] | None = None, *, wait: bool = False
    ) -> None:
        _take(store, row, wait=wait)
        self._store, self._watch = store, watch
        # read again: it may have changed before the lock was ours
        self._row = store.study(row.name)
        self._study = StudySpec.from_spec(row.name, self._row.budget, self._row.spec)
        self._best: float | None = None
        self._reaper = Reaper(store, row.id, row.name, self._study.limits.lease)
        self._paused = False

    def run(self, *, another_round: bool = False) -> StudyRow:
        """Manage the study until it has ended, and return it as it ended.

        Parameters
        ----------
        another_round : bool
            Where the study failed because every round of an iteration failed, try one more round of it.
        """
        best = self._store.best(self._row.id)
        self._best = best.loss if best else None
        while True:
            self._row = self._store.study(self._row.name)
            if self._row.has_ended:
                return self._row
            last = self._store.last_iteration(self._row.id)
            if last is None or last.told_at is not None:
                number = 0 if last is None else last.number + 1
                if number >= self._row.iterations:
                    self._finish("complete", None)
                else:
                    self._propose(number, 0)
                continue
            waited = self._wait(last.number)
            if waited is None:
                continue
            if not self._tell(last.number, waited):
                if last.round + 1 < ROUNDS or another_round:
                    another_round = not self._propose(last.number, last.round + 1) and another_round
                else:
                    self._fail(last.number, last.round + 1)

    def _propose(self, number: int, round: int) -> bool:
        """Propose a round, or end the study where there is none; False where it is to be seen anew before."""
        trials = self._store.trials(self._row.id)
        past = recall(trials, number, round, self._store.last_surrogate(self._row.id, number))
        proposal = propose(self._study, number, round, self._study.batch_size, past)
        where = self._where(number)
        if not proposal.points:
            if round == 0:
                self._finish(
                    "complete", f"the space is used up: all {self._study.space.size()} points of it were tried"
                )
            else:
                self._finish("failed", f"iteration {number}: every trial failed, and the space has no other points")
            return True
        batch = Batch(proposal.points, proposal.surrogate, environment(), proposal.ask_seconds, proposal.tell_seconds)
        if not self._store.propose(self._row.id, number, round, batch, known=len(trials)):
            return False
        seconds = proposal.ask_seconds + proposal.tell_seconds
        again = f", round {round}, since every trial of the one before failed" if round else ""
        say(
            LOG,
            "proposed",
            f"{where}: {proposal}{again}",
            study=self._row.name,
            iteration=number,
            round=round,
            points=batch.points,
            seconds=seconds,
        )
        for index, params in enumerate(batch.points):
            trial = len(trials) + index
            say(LOG, "point", f"{where}: trial {trial}: {json.dumps(params)}", study=self._row.name, trial=trial)
        return True

    def _wait(self, number: int) -> float | None:
        """Poll until every trial of the iteration has ended; the seconds waited, or None where the study ended."""
        started = time.monotonic()
        pause = SHORTEST_POLL
        total = self._row.iterations * self._study.batch_size
        while True:
            waiting, state = self._store.waiting(self._row.id, number)
            if state not in ("running", "paused"):
                return None
            self._say_paused(state == "paused", waiting)
            if self._watch is not None:
                before = number * self._study.batch_size
                self._watch(Progress(before + max(0, self._study.batch_size - waiting), total, self._best))
            if waiting == 0:
                return time.monotonic() - started
            self._reaper.look()
            self._store.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL)

    def _tell(self, number: int, waited: float) -> bool:
        """Record the iteration's losses; False where none of its proposed trials completed, so that it needs others."""
        trials = self._store.trials(self._row.id, iteration=number)
        if any(trial.finished_at is None for trial in trials):
            return True  # one has joined it since the poll, and may end before the losses of the others are written
        losses = [trial.loss for trial in trials if trial.state == "complete"]
        # losses from elsewhere do not say that anything can be trained here
        is_proven = any(trial.state == "complete" and trial.source != "imported" for trial in trials)
        if not is_proven and any(trial.source == "proposed" for trial in trials):
            return False
        mean, best = (mean_loss(losses), min(losses)) if losses else (None, None)
        if not self._store.tell(self._row.id, number, mean, best, len(trials)):
            if len(self._store.trials(self._row.id, iteration=number)) == len(trials):
                raise LedgerError(
                    f"{self._where(number)} could not be told: it changed while this manager held its lock"
                )
            return True  # a retry or another trial has joined it, and is waited for
        failed = len(trials) - len(losses)
        if best is None:
            found = "no trial completed, and none of them was proposed"
        else:
            self._best = best if self._best is None else min(self._best, best)
            found = f"mean loss {mean:.6g}, best {best:.6g}, best so far {self._best:.6g}"
        say(
            LOG,
            "told",
            f"{self._where(number)}: {found}, waited {waited:.2f} s"
            + (f"; {failed} of {len(trials)} trials failed or were cancelled" if failed else ""),
            study=self._row.name,
            iteration=number,
            mean_loss=mean,
            best_loss=best,
            best_so_far=self._best,
            waited=waited,
            failed=failed,
        )
        return True

    def _fail(self, number: int, rounds: int) -> None:
        last = self._store.trials(self._row.id, iteration=number)[-1]
        error = last_line(last.error)
        self._finish(
            "failed",
            f"iteration {number}: every trial of {rounds} rounds failed, the last (trial {last.number}) with: {error}",
        )

    def _finish(self, state: str, reason: str | None) -> None:
        if not self._store.finish(self._row.id, state, reason, iterations=self._row.iterations):
            return
        message = f"study {self._row.name} is {state}" + (f": {reason}" if reason else "")
        level = logging.INFO if state == "complete" else logging.ERROR
        say(LOG, state, message, level=level, study=self._row.name, reason=reason)

    def _say_paused(self, paused: bool, waiting: int) -> None:
        if paused == self._paused:
            return
        self._paused = paused
        name = self._row.name
        message = (
            f"study {name} is paused: {waiting} trials of this iteration have not ended, and none is handed out;"
            f" `ledger resume {name}` lets it go on"
            if paused
            else f"study {name} runs again"
        )
        say(LOG, "paused" if paused else "running", message, study=name)

    def _where(self, number: int) -> str:
        return f"{self._row.name} iteration {number} ({number + 1} of {self._row.iterations})"


def _take(store: Store, row: StudyRow, *, wait: bool) -> None:
    """Take the study's lock, where another manager has it only after that one has left."""
    end = time.monotonic() + LOCK_SECONDS
    said = False
    while not store.lock(row.id):
        if store.end_ghost(row.id):
            continue
        if not wait and time.monotonic() > end:
            raise LedgerError(
                f"study {row.name} has a manager already, which goes on with it: `ledger study show {row.name}` shows"
                " how far it is, and --wait waits for that manager's end"
            )
        if wait and not said:
            said = True
            say(LOG, "waiting", f"study {row.name} has a manager already: waiting for its end", study=row.name)
        time.sleep(LOCK_POLL)
