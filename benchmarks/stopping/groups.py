"""A search of the ledger in batch mode with the rule "halving" and groups, without its database."""

from dataclasses import dataclass, field

from benchmarks.stopping.ours import BatchSearch, PromotionSearch
from benchmarks.stopping.simulator import Start
from ledger.study.verdicts import cutoff, stops


@dataclass(eq=False)
class GroupSearch(PromotionSearch):
    """A study in batch mode with the rule "halving" and groups, with the same parameters.

    At a rung, a trial waits until each trial of the earlier groups has reached the rung or has ended. The rule then
    compares the trial with the trials of earlier iterations and of the earlier groups. A waiting trial keeps its
    worker. In the simulation, a waiting trial has paused.

    Parameters
    ----------
    workers : int
        The number of workers.
    """

    workers: int = field(kw_only=True)

    def ask(self) -> Start | None:
        if len(self._open) - len(self._waiting) >= self.workers:
            return None
        return super().ask()

    def report(self, number: int, epoch: int, loss: float) -> bool:
        stopped = super().report(number, epoch, loss)
        self._release()
        return stopped

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        if epoch == self.curves.epochs:
            BatchSearch.end(self, number, epoch, loss, stopped)
        else:
            self._reach(number, epoch, loss)
            self._paused.add(number)
        self._release()

    def _release(self) -> None:
        """Stop or continue each paused trial for which all earlier groups are known, in the order of the numbers."""
        for number in sorted(self._paused):
            rung, first = max(self._trials[number].at_rungs), self._first_of_group(number)
            if all(rung in self._trials[each].at_rungs for each in self._open if each < first):
                self._paused.remove(number)
                loss = self._trials[number].at_rungs[rung]
                known = [trial.at_rungs[rung] for trial in self._trials[:first] if rung in trial.at_rungs]
                if stops(loss, cutoff("halving", self._study.stopping.eta, known)):
                    BatchSearch.end(self, number, rung, loss, stopped=True)
                else:
                    self._waiting.appendleft(self._start(number))

    def _first_of_group(self, number: int) -> int:
        """Return the number of the first trial of the group. All batches have the same size."""
        place = number % self._study.batch_size
        size = self._study.stopping.group_size or self._study.batch_size
        return number - place + self._study.stopping.group_of(place) * size
