"""The manager's copy of a study's trials and iterations.

Each call of `StudyHistory.poll` reads new data from the ledger into the manager's copy.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from ledger.database import managing, studies, verdicts
from ledger.database import trials as recorded_trials
from ledger.database.rows import IterationRow, StudyRow, TrialRow
from ledger.database.verdicts import RungLosses


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
        The numbers of the trials that have not ended.
    rounds : dict of int to int
        A mapping from the number of each iteration to the number of the iteration's latest round.
    untold : set of int
        The numbers of the iterations whose results the optimizer has not yet received.
    recorded : list of int
        In steady mode, the trial numbers in the column `seen` of all iterations. The list has the order in which the
        ledger recorded the numbers. The list is empty in batch mode.
    seen : list of int
        The numbers of the ended trials that are not in `recorded`, in the order in which the trials ended.
    counted, counted_ended, counted_failed : int
        `counted` is the number of trials that count against the budget. `counted_ended` is the number of counted trials
        that have ended, and `counted_failed` is the number of counted trials that have failed.
    best_loss : float or None
        The smallest loss of all trials.
    rung_losses : dict
        The losses of the ended trials at the rungs of early stopping.
    is_proven : bool
        True if a worker has completed a trial of this study. `is_proven` is also True if a trial was pruned. If only
        imported trials are complete, `is_proven` is False.
    """

    def __init__(self, connection: Connection, study: StudyRow) -> None:
        self._connection, self._study = connection, study
        self.trials: list[TrialRow] = []
        self.open: set[int] = set()
        self.rounds: dict[int, int] = {}
        self.untold: set[int] = set()
        self.recorded: list[int] = []
        self.seen: list[int] = []
        self.counted = self.counted_ended = self.counted_failed = 0
        self.best_loss: float | None = None
        self.rung_losses: RungLosses = {}
        self.is_proven = False
        self._surrogates: dict[int, Mapping[str, Any]] = {}
        for iteration in studies.iterations(connection, study.id):
            self._note(iteration)
            self.recorded += iteration.seen or ()
            if iteration.surrogate is not None:
                self._surrogates[iteration.number] = iteration.surrogate
        self._add(recorded_trials.all_of(connection, study.id), set(self.recorded))

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
        # The trials are ordered by iteration. The loop begins at the last trial, because the manager usually needs the
        # trials of the latest iterations.
        chosen: list[TrialRow] = []
        for trial in reversed(self.trials):
            if trial.iteration == iteration:
                chosen.append(trial)
            elif chosen:
                break
        return chosen[::-1]

    def poll(self) -> bool:
        """Read the trials that were added or have ended since the previous poll.

        Return whether the method has read any trial.
        """
        rows = managing.news(self._connection, self._study.id, self.open, len(self.trials))
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
            self.recorded += batch.seen
            self.seen = self.seen[len(batch.seen) :]
        self.poll()

    def tell(self, iteration: int) -> None:
        """Record that the optimizer has received the results of an iteration.

        With the rule "promotion", the SQL function ledger.tell records the last verdicts of an iteration.
        """
        self.untold.discard(iteration)
        if self._study.spec.get("stopping", {}).get("rule") == "promotion":
            numbers = [trial.number for trial in self.of(iteration)]
            self.rung_losses |= verdicts.rung_losses(self._connection, self._study, numbers)

    def _note(self, iteration: IterationRow) -> None:
        self.rounds[iteration.number] = iteration.round
        if iteration.told_at is None:
            self.untold.add(iteration.number)

    def _counts(self, trial: TrialRow) -> bool:
        return trial.source == "proposed" and trial.round == self.rounds[trial.iteration]

    def _add(self, rows: list[TrialRow], recorded: set[int]) -> None:
        ended = []
        self.rung_losses |= verdicts.rung_losses(
            self._connection, self._study, [row.number for row in rows if not row.is_open]
        )
        for row in rows:
            if row.number < len(self.trials):
                self.trials[row.number] = row
            else:
                self.trials.append(row)
                self.counted += self._counts(row)
            if row.is_open:
                self.open.add(row.number)
                continue
            self.open.discard(row.number)
            if self._counts(row):
                self.counted_ended += 1
                self.counted_failed += row.state == "failed"
            if row.number not in recorded:
                ended.append(row)
            self.is_proven |= row.is_proof
            if row.loss is not None:
                self.best_loss = row.loss if self.best_loss is None else min(self.best_loss, row.loss)
        self.seen += [row.number for row in sorted(ended, key=lambda row: (row.finished_at, row.number))]
