"""The interface of a search method, and the loop that runs a search."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.study.dimensions import Categorical, Dimension
from ledger.study.spec import initial_points

Params = dict[str, Any]


class Searcher(Protocol):
    def ask(self, size: int) -> list[Params]: ...

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None: ...


@dataclass(frozen=True)
class Setting:
    """What a searcher knows about its search.

    Attributes
    ----------
    dimensions : sequence of Dimension
    seed : int
    evaluations, batch : int
        The number of evaluations of the search, and of each batch.
    is_noisy : bool
        Whether two evaluations of a point can have different losses.
    """

    dimensions: Sequence[Dimension]
    seed: int
    evaluations: int
    batch: int
    is_noisy: bool = False

    @property
    def initial(self) -> int:
        """The number of random points at the beginning. It is the default of a study."""
        return initial_points(-(-self.evaluations // self.batch), self.batch)


def with_choices(dimensions: Sequence[Dimension], values: Mapping[str, Any]) -> Params:
    """Return the parameters of a tool that knows the choices of a dimension by their indices."""
    return {
        one.name: one.choices[int(value)] if isinstance(one, Categorical) else one.normalise(value)
        for one, value in ((one, values[one.name]) for one in dimensions)
    }


def search(
    searcher: Searcher, evaluate: Callable[[Params, int], float], evaluations: int, batch: int
) -> tuple[list[Params], list[float], float]:
    """Run a search. Return its points, their losses, and the processor seconds of the proposals.

    `evaluate` receives the parameters and the number of the evaluation. A searcher that computes in another process has
    a method `processor_seconds`.
    """
    clock = getattr(searcher, "processor_seconds", time.process_time)
    points: list[Params] = []
    losses: list[float] = []
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(points) < evaluations:
            started = clock()
            asked = searcher.ask(min(batch, evaluations - len(points)))
            seconds += clock() - started
            found = [evaluate(params, len(points) + index) for index, params in enumerate(asked)]
            started = clock()
            searcher.tell(asked, found)
            seconds += clock() - started
            points += asked
            losses += found
    return points, losses, seconds
