"""The manager's copy of a study's trials and iterations.

Each call of `StudyHistory.poll` reads new data from the ledger into the manager's copy.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any

from sqlalchemy import Connection

from ledger.database import managing, studies, verdicts
from ledger.database import trials as recorded_trials
from ledger.database.rows import IterationRow, StudyRow, TrialRow
from ledger.database.verdicts import RungLosses

# Time in seconds between two checks of the paused trials in steady mode. A paused trial changes without the manager
# only if a user runs a command. A study can have very many paused trials.
WAITING_POLL = 0.25


class StudyHistory:
    """A manager's copy of the trials and iterations of a study.

    The class counts a proposed trial against the budget only if the trial belongs to the latest round of the trial's
    iteration. The manager starts another round of an iteration only after each trial of the previous round has failed
    or was cancelled.

    Parameters
    ----------
    connection : Connection
        The manager's connection to the ledger.
    study : StudyRow
        The study.

    Attributes
    ----------
    trials : list of TrialRow
        All trials, ordered by number.
    open : set of int
        The numbers of the trials that have not ended and are not in `waiting`.
    rounds : dict of int to int
        A mapping from the number of each iteration to the number of the iteration's latest round.
    untold : set of int
        The numbers of the iterations whose results the optimizer has not yet received.
    ended : set of int
        The numbers of those iterations of `untold` whose trials have all ended.
    pauses : bool
        Whether the study is in steady mode and has the rule "promotion".
    waiting : dict of int to int
        A mapping from the number of each paused trial to the rung at which the trial waits. If `pauses` is False, the
        mapping is empty.
    recorded : list of int
        In steady mode, the trial numbers in the column `seen` of all iterations. The list has the order in which the
        ledger recorded the numbers. The list is empty in batch mode.
    recorded_rungs : list of int or None
        The rung at which each trial of `recorded` waited. The element is None if the trial had ended.
    seen : list of int
        The numbers of the ended trials that are not in `recorded`, in the order in which the trials ended. If `pauses`
        is True, the list also contains paused trials. For each pause that is not in `recorded`, the list contains the
        number of the trial once.
    seen_rungs : list of int or None
        The rung at which each trial of `seen` waited. The element is None if the trial had ended.
    counted, counted_ended, counted_failed : int
        `counted` is the number of trials that count against the budget. `counted_ended` is the number of counted trials
        that have ended, and `counted_failed` is the number of counted trials that have failed.
    best_loss : float or None
        The smallest loss of all trials.
    rung_losses : dict
        The losses of the ended trials at the rungs of early stopping. If `pauses` is True, `rung_losses` also contains
        the losses of the paused trials.
    is_proven : bool
        True if a worker has completed a trial of this study. `is_proven` is also True if a trial was pruned, or if a
        trial has paused in steady mode. If only imported trials are complete, `is_proven` is False.
    """

    def __init__(self, connection: Connection, study: StudyRow) -> None:
        self._connection, self._study = connection, study
        self.trials: list[TrialRow] = []
        self.open: set[int] = set()
        self._open_trials: Counter[int] = Counter()
        self.rounds: dict[int, int] = {}
        self.untold: set[int] = set()
        self.ended: set[int] = set()
        self.pauses = study.is_steady and study.spec.get("stopping", {}).get("rule") == "promotion"
        self.waiting: dict[int, int] = {}
        self._waiting_at = 0.0
        self.recorded: list[int] = []
        self.recorded_rungs: list[int | None] = []
        self.seen: list[int] = []
        self.seen_rungs: list[int | None] = []
        self.counted = self.counted_ended = self.counted_failed = 0
        self.best_loss: float | None = None
        self.rung_losses: RungLosses = {}
        self._surrogates: dict[int, Mapping[str, Any]] = {}
        for iteration in studies.iterations(connection, study.id):
            self._note(iteration)
            self._record(iteration.seen or (), iteration.seen_rungs)
            if iteration.surrogate is not None:
                self._surrogates[iteration.number] = iteration.surrogate
        self.is_proven = any(rung is not None for rung in self.recorded_rungs)
        recorded = set(zip(self.recorded, self.recorded_rungs, strict=True))
        self._add(recorded_trials.all_of(connection, study.id), recorded)

    @property
    def next_iteration(self) -> int:
        """The number of the next iteration."""
        return max(self.rounds, default=-1) + 1

    def surrogate_before(self, iteration: int) -> Mapping[str, Any] | None:
        """Return the latest surrogate that the ledger recorded for an iteration before `iteration`.

        The result is None if no iteration before `iteration` has a surrogate.
        """
        return next((self._surrogates[number] for number in reversed(self._surrogates) if number < iteration), None)

    def of(self, iteration: int) -> list[TrialRow]:
        """Return the trials of an iteration, ordered by number."""
        # The trials are ordered by iteration.
        first = bisect_left(self.trials, iteration, key=lambda trial: trial.iteration)
        return list(takewhile(lambda trial: trial.iteration == iteration, islice(self.trials, first, None)))

    def poll(self) -> bool:
        """Read the trials that were added or have ended since the previous poll. If `pauses` is True, also read the
        trials that have paused.

        Return whether the method has read any trial.
        """
        waiting: Collection[int] = ()
        if self.waiting and time.monotonic() >= self._waiting_at:
            waiting = self.waiting
            self._waiting_at = time.monotonic() + WAITING_POLL
        rows = managing.news(
            self._connection, self._study.id, self.open, len(self.trials), pauses=self.pauses, waiting=waiting
        )
        if any(row.iteration not in self.rounds for row in rows):
            # A user's command may have added an iteration. If an import of trials creates an iteration, the column
            # `told_at` of the iteration already has a value.
            for iteration in studies.iterations(self._connection, self._study.id, first=self.next_iteration):
                self._note(iteration)
        self._add(rows, set())
        return bool(rows)

    def add(self, batch: managing.ProposedBatch) -> None:
        """Add a batch of trials to this history. The manager must already have inserted the batch into the ledger.

        The method reads the trials of the batch from the ledger.
        """
        if batch.round > 0:
            # The new batch replaces the previous round of the iteration, because all trials of the previous round
            # failed or were cancelled.
            replaced = [trial for trial in self.of(batch.number) if self._counts(trial)]
            self.counted -= len(replaced)
            self.counted_ended -= len(replaced)
            self.counted_failed -= sum(trial.state == "failed" for trial in replaced)
        self.rounds[batch.number] = batch.round
        self.untold.add(batch.number)
        if batch.surrogate is not None:
            self._surrogates[batch.number] = batch.surrogate
        if batch.seen is not None:
            self._record(batch.seen, batch.seen_rungs)
            self.seen, self.seen_rungs = self.seen[len(batch.seen) :], self.seen_rungs[len(batch.seen) :]
        self.poll()

    def promote(self, numbers: Collection[int]) -> None:
        """Move the promoted trials from `waiting` to `open`.

        If a trial has paused after the last poll, the trial is not in `waiting`, and is still in `open`.
        """
        for number in numbers:
            self.waiting.pop(number, None)
        self.open.update(numbers)

    def expect_pruned(self) -> None:
        """Let the next poll read the trials of `waiting` that were pruned."""
        self._waiting_at = 0.0

    def tell(self, iteration: int) -> None:
        """Record that the optimizer has received the results of an iteration.

        With the rule "promotion" in batch mode, the SQL function ledger.tell records the last verdicts of an iteration.
        """
        self.untold.discard(iteration)
        self.ended.discard(iteration)
        if self._study.spec.get("stopping", {}).get("rule") == "promotion" and not self.pauses:
            numbers = [trial.number for trial in self.of(iteration)]
            self.rung_losses |= verdicts.rung_losses(self._connection, self._study, numbers)

    def _note(self, iteration: IterationRow) -> None:
        self.rounds[iteration.number] = iteration.round
        if iteration.told_at is None:
            self.untold.add(iteration.number)

    def _record(self, seen: Sequence[int], rungs: Sequence[int | None] | None) -> None:
        self.recorded += seen
        self.recorded_rungs += [None] * len(seen) if rungs is None else rungs

    def _counts(self, trial: TrialRow) -> bool:
        return trial.source == "proposed" and trial.round == self.rounds[trial.iteration]

    def _add(self, rows: list[TrialRow], recorded: set[tuple[int, int | None]]) -> None:
        ended = []
        paused = self._paused(rows)
        self.rung_losses |= verdicts.rung_losses(
            self._connection, self._study, [row.number for row in rows if not row.is_open or row.number in paused]
        )
        for row in rows:
            was_open = row.number in self.open or row.number in self.waiting
            if row.number < len(self.trials):
                self.trials[row.number] = row
            else:
                self.trials.append(row)
                self.counted += self._counts(row)
            self._open_trials[row.iteration] += row.is_open - was_open
            self.open.discard(row.number)
            self.waiting.pop(row.number, None)
            if row.is_open:
                if row.number not in paused:
                    self.open.add(row.number)
                continue
            if self._counts(row):
                self.counted_ended += 1
                self.counted_failed += row.state == "failed"
            if (row.number, None) not in recorded:
                ended.append(row)
            self.is_proven |= row.is_proof
            if row.loss is not None:
                self.best_loss = row.loss if self.best_loss is None else min(self.best_loss, row.loss)
        self.waiting |= paused
        self.is_proven |= bool(paused)
        for iteration in {row.iteration for row in rows} & self.untold:
            if self._open_trials[iteration]:
                self.ended.discard(iteration)
            else:
                self.ended.add(iteration)
        news = [pause for pause in sorted(paused.items()) if pause not in recorded]
        self.seen += [number for number, _ in news]
        self.seen_rungs += [rung for _, rung in news]
        self.seen += [row.number for row in sorted(ended, key=lambda row: (row.finished_at, row.number))]
        self.seen_rungs += [None] * len(ended)

    def _paused(self, rows: list[TrialRow]) -> dict[int, int]:
        """Return a mapping from the number of each paused trial of `rows` to the rung at which the trial waits."""
        numbers = [row.number for row in rows if row.state == "paused"] if self.pauses else []
        if not numbers:
            return {}
        # If a user has cancelled a trial after the manager read the rows, the result does not contain the trial.
        return managing.waiting(self._connection, self._study.id, numbers)
