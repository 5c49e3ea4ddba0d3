"""The steady policy: a fixed number of trials is kept in flight, so that no worker waits for the slowest trial."""

from ledger.manager.history import History
from ledger.manager.policy import ROUNDS, End, Request
from ledger.study.spec import StudySpec
from ledger.text import last_line


class SteadyPolicy:
    """Proposes a trial for each trial whose end was seen.

    An iteration is one proposal: first all trials that are to be in flight, then one for each trial whose end was seen
    since. It records which ends those are, and in which order, since its points depend on them, and so on when trials
    end. Trials in flight get the constant liar's value.

    Parameters
    ----------
    study : Study
    history : History
    budget : int
        The number of trials to propose.
    another_round : bool
        Where no trial of many completed, try as many more as are in flight.
    """

    # A trial that ended is replaced within this time, also where no other trial is pending.
    longest_poll = 0.05

    def __init__(self, study: StudySpec, history: History, budget: int, *, another_round: bool) -> None:
        self._study, self._history = study, history
        self._is_used_up = False
        # Failed trials after which the study fails, where no trial completes.
        self._most_failures = min(ROUNDS * study.batch_size, budget)
        if another_round:
            self._most_failures = history.counted_failed + study.batch_size

    def to_tell(self) -> list[int]:
        """Return the iterations whose trials have all ended."""
        history = self._history
        return sorted(history.untold - {history.trials[number].iteration for number in history.open})

    def next(self, budget: int) -> Request | End | None:
        """Return as many trials as are missing in flight, or the end of the study where none is open."""
        size = self._missing(budget)
        if size > 0:
            return Request(self._history.next_iteration, 0, size, list(self._history.seen))
        return None if self._history.open else self._end()

    def used_up(self, request: Request) -> End | None:  # noqa: ARG002
        """Propose no more, and wait for the open trials."""
        self._is_used_up = True
        return None

    def _missing(self, budget: int) -> int:
        if self._is_used_up:
            return 0
        history = self._history
        left = budget - history.counted
        if not history.is_proven:
            # others are tried instead of failed trials, but not instead of cancelled ones
            left += history.counted_failed
            left = min(left, self._most_failures - history.counted_failed - len(history.open))
        return min(self._study.batch_size - len(history.open), left)

    def _end(self) -> End:
        history = self._history
        tried = [trial for trial in history.trials if trial.source != "imported"]
        if not history.is_proven and tried:
            failed = [trial for trial in tried if trial.state == "failed"]
            why = f", the last (trial {failed[-1].number}) with: {last_line(failed[-1].error)}" if failed else ""
            return End("failed", f"none of {len(tried)} trials completed{why}")
        if self._is_used_up:
            return End("complete", f"the space is used up: all {self._study.space.size()} points of it were tried")
        return End("complete")
