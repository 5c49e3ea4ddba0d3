"""A search that receives the loss after a whole training at each rung.

Its regret shows how much of a rule's regret is not caused by crossing curves.
"""

from benchmarks.stopping.simulator import Curves, Search, Start


class OracleSearch:
    """A search whose rule and surrogate receive the loss after a whole training in place of each reported loss.

    Parameters
    ----------
    curves : Curves
    search : Search
    """

    def __init__(self, curves: Curves, search: Search) -> None:
        self._curves, self._search = curves, search
        self._final: dict[int, float] = {}

    def ask(self) -> Start | None:
        start = self._search.ask()
        if start is not None and start.number not in self._final:
            (self._final[start.number],) = self._curves.final_losses([start.params])
        return start

    def report(self, number: int, epoch: int, loss: float) -> bool:  # noqa: ARG002
        return self._search.report(number, epoch, self._final[number])

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:  # noqa: ARG002
        self._search.end(number, epoch, self._final[number], stopped)
