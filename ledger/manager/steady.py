"""The manager of a study in steady mode: a fixed number of trials is kept in flight, until the budget is used."""

import json
from collections.abc import Sequence
from typing import Any

from ledger.database.store import AnyRow, Batch, StudyRow
from ledger.logs import log_event
from ledger.manager.batch import LOG, ROUNDS, SHORTEST_POLL, Manager, Progress
from ledger.proposals import environment, mean_loss, propose, recall
from ledger.text import last_line

# A trial that ended is replaced within this, also where no other is pending.
LONGEST_POLL = 0.05


class SteadyManager(Manager):
    """Manages a study in steady mode; see `Manager`.

    An iteration is what is asked for at once: first all trials that are to be in flight, then one for each trial whose
    end was seen since. It records which ends those are, and in which order, since its points depend on them: on when
    trials end, and so on the machines. Trials in flight enter as lies.
    """

    def run(self, *, another_round: bool = False) -> StudyRow:
        """Manage the study until it has ended, and return it as it ended.

        Parameters
        ----------
        another_round : bool
            Where the study failed because no trial of many completed, try as many more as are in flight.
        """
        self._load()
        points = self._study.batch_size
        # where none completes, the study fails after so many
        self._tries = min(ROUNDS * points, self._budget)
        if another_round:
            self._tries = self._failures + points
        pause = SHORTEST_POLL
        while True:
            self._row = self._store.study(self._row.name)
            if self._row.has_ended:
                return self._row
            self._say_paused(self._row.state == "paused", len(self._open))
            if self._look():
                pause = SHORTEST_POLL
            self._tell_ended()
            if self._watch is not None:
                ended = sum(trial.finished_at is not None for trial in self._proposed)
                self._watch(Progress(ended, self._budget, self._best))
            if (size := self._missing()) > 0:
                self._replace(size)
            elif not self._open:
                self._end()
            else:
                self._reaper.look()
                self._store.sleep(pause)
                pause = min(pause * 1.5, LONGEST_POLL)

    def _load(self) -> None:
        """Read what the ledger records."""
        iterations = self._store.iterations(self._row.id)
        self._next = len(iterations)
        self._recorded = [number for iteration in iterations for number in iteration.seen or ()]
        self._untold = {iteration.number for iteration in iterations if iteration.told_at is None}
        self._surrogate = next((one.surrogate for one in reversed(iterations) if one.surrogate is not None), None)
        self._is_used_up = False
        self._best = None
        # whether a trial has completed here, and not elsewhere
        self._is_proven = False
        self._trials: list[AnyRow] = []
        self._open: set[int] = set()
        # ends that were seen and are recorded with the next iteration
        self._seen: list[int] = []
        recorded = set(self._recorded)
        self._look_at(self._store.trials(self._row.id), recorded)

    def _look(self) -> bool:
        """See which trials have ended, and which are new; whether there are any."""
        rows = self._store.trials_now(self._row.id, sorted(self._open), len(self._trials))
        # what is imported was told at once
        self._untold |= {row.iteration for row in rows if row.number >= len(self._trials) and row.source != "imported"}
        return self._look_at(rows, set())

    def _look_at(self, rows: Sequence[AnyRow], recorded: set[int]) -> bool:
        ended = []
        changed = False
        for row in rows:
            if row.number < len(self._trials):
                self._trials[row.number] = row
            else:
                self._trials.append(row)
                # of one that nobody proposed, which makes an iteration of its own
                self._next = max(self._next, row.iteration + 1)
                changed = True
                if row.finished_at is None:
                    self._open.add(row.number)
                    self._untold.add(row.iteration)
            if row.finished_at is not None:
                self._open.discard(row.number)
                if row.number not in recorded:
                    ended.append(row)
                if row.loss is not None:
                    self._is_proven |= row.source != "imported"
                    self._best = row.loss if self._best is None else min(self._best, row.loss)
        self._seen += [row.number for row in sorted(ended, key=lambda row: (row.finished_at, row.number))]
        return changed or bool(ended)

    @property
    def _budget(self) -> int:
        """How many trials are proposed in all."""
        return self._row.iterations * self._study.batch_size

    @property
    def _proposed(self) -> list[AnyRow]:
        return [trial for trial in self._trials if trial.source == "proposed"]

    @property
    def _failures(self) -> int:
        return sum(trial.state == "failed" for trial in self._proposed)

    def _missing(self) -> int:
        """How many trials are to be proposed now."""
        if self._is_used_up:
            return 0
        left = self._budget - len(self._proposed)
        if not self._is_proven:
            # others are tried instead of failed trials, but not instead of cancelled ones
            left += self._failures
            left = min(left, self._tries - self._failures - len(self._open))
        return min(self._study.batch_size - len(self._open), left)

    def _replace(self, size: int) -> None:
        number = self._next
        past = recall(self._trials, number, 0, self._surrogate, [*self._recorded, *self._seen])
        proposal = propose(self._study, number, 0, size, past)
        if not proposal.points:
            self._is_used_up = True
            return
        seconds = (proposal.ask_seconds, proposal.tell_seconds)
        batch = Batch(proposal.points, proposal.surrogate, environment(), *seconds, seen=self._seen)
        if not self._store.propose(self._row.id, number, 0, batch, known=len(self._trials)):
            # the study has ended, or other trials have come: a retry, say, which made this iteration its own
            self._load()
            return
        self._recorded += self._seen
        self._seen = []
        self._surrogate = proposal.surrogate or self._surrogate
        self._next = number + 1
        self._untold.add(number)
        facts: dict[str, Any] = {"study": self._row.name, "iteration": number}
        message = f"{self._where(number)}: {proposal} after {len(self._recorded)} trials"
        log_event(LOG, "proposed", message, points=batch.points, seconds=sum(seconds), **facts)
        self._look()
        for trial in self._trials:
            if trial.iteration == number:
                point = f"{self._where(number)}: trial {trial.number}: {json.dumps(trial.params)}"
                log_event(LOG, "point", point, trial=trial.number, **facts)

    def _tell_ended(self) -> None:
        """Record the losses of the iterations whose trials have all ended."""
        under_way = {self._trials[number].iteration for number in self._open}
        for number in sorted(self._untold - under_way):
            trials = [trial for trial in self._trials if trial.iteration == number]
            losses = [trial.loss for trial in trials if trial.state == "complete"]
            mean, best = (mean_loss(losses), min(losses)) if losses else (None, None)
            if not self._store.tell(self._row.id, number, mean, best, len(trials)):
                continue
            self._untold.discard(number)
            found = f"mean loss {mean:.6g}, best so far {self._best:.6g}" if losses else "no trial completed"
            log_event(
                LOG,
                "told",
                f"{self._where(number)}: {found}",
                study=self._row.name,
                iteration=number,
                mean_loss=mean,
                best_loss=best,
                best_so_far=self._best,
            )

    def _end(self) -> None:
        tried = [trial for trial in self._trials if trial.source != "imported"]
        if not self._is_proven and tried:
            failed = [trial for trial in tried if trial.state == "failed"]
            why = f", the last (trial {failed[-1].number}) with: {last_line(failed[-1].error)}" if failed else ""
            self._finish("failed", f"none of {len(tried)} trials completed{why}")
        elif self._is_used_up:
            size = self._study.space.size()
            self._finish("complete", f"the space is used up: all {size} points of it were tried")
        else:
            self._finish("complete", None)

    def _where(self, number: int) -> str:
        return f"{self._row.name} iteration {number}"
