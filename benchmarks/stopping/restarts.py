"""The rule "promotion" for an objective without checkpoints: a promoted trial trains its epochs again."""

from benchmarks.stopping.simulator import Search, Start


class RestartingSearch:
    """A search whose paused trials begin again at the first epoch when they go on.

    In the simulation, a trial goes on from its last epoch. Therefore each start of a trial is a new trial there.

    Parameters
    ----------
    search : Search
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        # The number of the trial of each start.
        self._started: list[int] = []

    def ask(self) -> Start | None:
        start = self._search.ask()
        if start is None:
            return None
        self._started.append(start.number)
        return Start(len(self._started) - 1, start.params, start.until)

    def report(self, number: int, epoch: int, loss: float) -> bool:
        return self._search.report(self._started[number], epoch, loss)

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        self._search.end(self._started[number], epoch, loss, stopped)
