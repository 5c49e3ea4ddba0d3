"""The manager's copy of a study's trials and iterations.

Each call of `StudyHistory.poll` reads new data from the ledger into the manager's copy.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection

from ledger.database import histories, managing, studies, verdicts
from ledger.database import trials as recorded_trials
from ledger.database.rows import StudyRow, TrialRow
from ledger.database.verdicts import RungLosses
from ledger.manager.recorded_history import Indices, SeenTrials, TrialStates, read_iterations, read_trials
from ledger.proposals import EncodedInput, TrialTable
from ledger.proposals.trial_records import NONE, as_rungs
from ledger.study.spec import StudySpec

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
    spec : StudySpec
        The settings of the study.

    Attributes
    ----------
    open : set of int
        The numbers of the trials that have not ended and are not in `waiting`.
    next_iteration : int
        The number of the next iteration.
    untold : set of int
        The numbers of the iterations whose results the optimizer has not yet received.
    ended : set of int
        The numbers of those iterations of `untold` whose trials have all ended.
    pauses : bool
        Whether the study is in steady mode and has the rule "promotion".
    waiting : dict of int to int
        A mapping from the number of each paused trial to the rung at which the trial waits. If `pauses` is False, the
        mapping is empty.
    seen : list of int
        In steady mode, the numbers of the ended trials that no iteration has recorded in its column `seen`, in the
        order in which the trials ended. If `pauses` is True, the list also contains paused trials. For each pause that
        no iteration has recorded, the list contains the number of the trial once. In batch mode, the list is empty.
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

    def __init__(self, connection: Connection, study: StudyRow, spec: StudySpec) -> None:
        self._connection, self._study, self._is_steady = connection, study, study.is_steady
        self.open: set[int] = set()
        self._open_trials: Counter[int] = Counter()
        self.untold: set[int] = set()
        self.ended: set[int] = set()
        self.pauses = study.is_steady and study.spec.get("stopping", {}).get("rule") == "promotion"
        self.waiting: dict[int, int] = {}
        self._waiting_at = 0.0
        self.seen: list[int] = []
        self.seen_rungs: list[int | None] = []
        self.rung_losses: RungLosses = {}
        self._tried: dict[int, TrialRow] = {}
        # The trials of the iterations in `untold`. The first key is the number of an iteration.
        self._rows: dict[int, dict[int, TrialRow]] = {}
        self._table = TrialTable(spec)
        # If another session commits an iteration between the two calls, `_table` lacks its trials until the next poll.
        states = read_trials(connection, study.id, self._table)
        rounds, are_told = read_iterations(connection, study.id)
        self.next_iteration = len(rounds)
        # Nearly all iterations have only the round 0.
        self._rounds = {number: int(rounds[number]) for number in np.flatnonzero(rounds).tolist()}
        self.untold.update(np.flatnonzero(~are_told).tolist())
        # A proposal needs the latest surrogate of an earlier iteration. The last iteration can get another round, so
        # the manager keeps two surrogates.
        self._surrogates: list[tuple[int, Mapping[str, Any]]] = []
        self._surrogates += histories.latest_surrogates(connection, study.id, 2)[::-1]
        self._recorded = SeenTrials()
        if study.is_steady:
            self._recorded.read(connection, study.id, self.next_iteration)
        self._count(states, rounds)

    @property
    def tried(self) -> list[TrialRow]:
        """Until `is_proven` is true, all trials except imported trials, ordered by number. Later, an empty list."""
        return list(self._tried.values())

    @property
    def size(self) -> int:
        """The number of all trials."""
        return len(self._table)

    def round_of(self, iteration: int) -> int:
        """Return the number of the latest round of an iteration."""
        return self._rounds.get(iteration, 0)

    def given(
        self, iteration: int, round: int, seen: Sequence[int] | None, seen_rungs: Sequence[int | None] | None
    ) -> EncodedInput:
        """Return the input of a proposal. The arguments are the attributes of a `ProposalRequest`.

        Raises
        ------
        UsageError
            The parameters of a trial that the proposal uses are outside the search space.
        """
        surrogate = next((known for number, known in reversed(self._surrogates) if number < iteration), None)
        if seen is None:
            return self._table.given(iteration, round, surrogate, None, self.rung_losses)
        numbers = np.concatenate([self._recorded.numbers, np.array(seen, dtype=np.int64)])
        rungs = np.concatenate([self._recorded.rungs, as_rungs(seen_rungs, len(seen))])
        return self._table.given(iteration, round, surrogate, numbers, self.rung_losses, rungs)

    def of(self, iteration: int) -> list[TrialRow]:
        """Return the trials of an iteration of `untold`, ordered by number."""
        of_iteration = self._rows.get(iteration, {})
        return [of_iteration[number] for number in sorted(of_iteration)]

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
            self._connection, self._study.id, self.open, self.size, pauses=self.pauses, waiting=waiting
        )
        if any(row.iteration >= self.next_iteration for row in rows):
            # A user's command may have added an iteration. If an import of trials creates an iteration, the column
            # `told_at` of the iteration already has a value.
            for iteration in studies.iterations(self._connection, self._study.id, first=self.next_iteration):
                self._note(iteration.number, iteration.round)
                if iteration.told_at is None:
                    self.untold.add(iteration.number)
        self._add(rows)
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
        self._note(batch.number, batch.round)
        self.untold.add(batch.number)
        if batch.surrogate is not None:
            earlier = [each for each in self._surrogates if each[0] < batch.number]
            self._surrogates = [*earlier[-1:], (batch.number, batch.surrogate)]
        if batch.seen is not None:
            self._recorded.add(batch.seen, as_rungs(batch.seen_rungs, len(batch.seen)))
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

        With the rule "promotion" in batch mode, and with groups, the ledger can record a verdict after the trial has
        ended. The SQL function ledger.tell records the last of these verdicts.
        """
        self.untold.discard(iteration)
        self.ended.discard(iteration)
        self._open_trials.pop(iteration, None)
        rows = self._rows.pop(iteration, {})
        stopping = self._study.spec.get("stopping", {})
        if "group_size" in stopping or (stopping.get("rule") == "promotion" and not self.pauses):
            self.rung_losses |= verdicts.rung_losses(self._connection, self._study, list(rows))

    def _note(self, iteration: int, round: int) -> None:
        self.next_iteration = max(self.next_iteration, iteration + 1)
        if round > 0:
            self._rounds[iteration] = round

    def _count(self, states: TrialStates, rounds: Indices) -> None:
        """Compute the attributes from the trials and the iterations that the ledger had recorded."""
        records = self._table.records
        is_open, is_proof = states.are("pending", "running", "paused"), states.are("complete", "pruned")
        counts = states.are_from("proposed") & (records["round"] == rounds[records["iteration"]])
        self.counted = int(counts.sum())
        self.counted_ended = int((counts & ~is_open).sum())
        self.counted_failed = int((counts & states.are("failed")).sum())
        losses = records["loss"][states.are("complete")]
        self.best_loss = float(losses.min()) if len(losses) else None
        if self.pauses:
            paused = np.flatnonzero(states.are("paused")).tolist()
            self.waiting = managing.waiting(self._connection, self._study.id, paused) if paused else {}
        self.open.update(np.flatnonzero(is_open).tolist())
        self.open -= self.waiting.keys()
        self.is_proven = bool(
            self.waiting or (is_proof & ~states.are_from("imported")).any() or (self._recorded.rungs != NONE).any()
        )
        ended = np.flatnonzero(~is_open)
        # A trial that has paused stays an observation, even if the manager has promoted the trial.
        has_paused = self._recorded.numbers[self._recorded.rungs != NONE]
        with_losses = {*ended.tolist(), *self.waiting, *has_paused.tolist()} if "stopping" in self._study.spec else ()
        self.rung_losses = verdicts.rung_losses(self._connection, self._study, with_losses)
        if self._is_steady:
            self._see(ended)
        needed = np.isin(records["iteration"], sorted(self.untold))
        if not self.is_proven:
            needed |= ~states.are_from("imported")
        for row in recorded_trials.of_numbers(self._connection, self._study.id, np.flatnonzero(needed).tolist()):
            self._keep(row)
        self._open_trials = Counter(records["iteration"][is_open].tolist())
        self.ended = {iteration for iteration in self.untold if not self._open_trials[iteration]}

    def _see(self, ended: Indices) -> None:
        """Set `seen` to the ends and the pauses that no iteration has recorded."""
        numbers, rungs = self._recorded.numbers, self._recorded.rungs
        new = np.setdiff1d(ended, numbers[rungs == NONE])
        recorded = set(zip(numbers[rungs != NONE].tolist(), rungs[rungs != NONE].tolist(), strict=True))
        pauses = [pause for pause in sorted(self.waiting.items()) if pause not in recorded]
        ends = histories.in_order_of_end(self._connection, self._study.id, new.tolist()) if len(new) else []
        self.seen = [*(number for number, _ in pauses), *ends]
        self.seen_rungs = [*(rung for _, rung in pauses), *([None] * len(ends))]

    def _keep(self, row: TrialRow) -> None:
        if row.iteration in self.untold:
            self._rows.setdefault(row.iteration, {})[row.number] = row
        if self.is_proven:
            self._tried.clear()
        elif row.source != "imported":
            # A new trial has a higher number than all known trials.
            self._tried[row.number] = row

    def _counts(self, trial: TrialRow) -> bool:
        return trial.source == "proposed" and trial.round == self.round_of(trial.iteration)

    def _add(self, rows: list[TrialRow]) -> None:
        ended = []
        paused = self._paused(rows)
        self.rung_losses |= verdicts.rung_losses(
            self._connection, self._study, [row.number for row in rows if not row.is_open or row.number in paused]
        )
        known = self.size
        self._table.put(rows)
        self.is_proven |= bool(paused) or any(row.is_proof for row in rows)
        for row in rows:
            was_open = row.number in self.open or row.number in self.waiting
            if row.number >= known:
                self.counted += self._counts(row)
            self._keep(row)
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
            ended.append(row)
            if row.loss is not None:
                self.best_loss = row.loss if self.best_loss is None else min(self.best_loss, row.loss)
        self.waiting |= paused
        for iteration in {row.iteration for row in rows} & self.untold:
            if self._open_trials[iteration]:
                self.ended.discard(iteration)
            else:
                self.ended.add(iteration)
        if self._is_steady:
            self.seen += sorted(paused)
            self.seen_rungs += [paused[number] for number in sorted(paused)]
            self.seen += [row.number for row in sorted(ended, key=lambda row: (row.finished_at, row.number))]
            self.seen_rungs += [None] * len(ended)

    def _paused(self, rows: list[TrialRow]) -> dict[int, int]:
        """Return a mapping from the number of each paused trial of `rows` to the rung at which the trial waits."""
        numbers = [row.number for row in rows if row.state == "paused"] if self.pauses else []
        if not numbers:
            return {}
        # If a user has cancelled a trial after the manager read the rows, the result does not contain the trial.
        return managing.waiting(self._connection, self._study.id, numbers)
