"""Searches of CMA-ES, from the package `cmaes`."""

from collections.abc import Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from benchmarks.searchers.shares import from_share
from ledger.study.dimensions import Categorical, Dimension, Integer

# An integer with more values is searched as a real number, which is rounded.
COUNTED = 64


class CmaSearcher:
    """CatCMA with margin, which is CMA-ES for real, integer and categorical parameters, with its default population.

    A generation consists of the points of several batches, because it has more points than most batches.
    """

    def __init__(self, setting: Setting) -> None:
        from cmaes import CatCMAwM

        self._choices = [one for one in setting.dimensions if _is_choice(one)]
        self._counted = [one for one in setting.dimensions if not _is_choice(one) and _is_counted(one)]
        self._real: list[Any] = [
            one for one in setting.dimensions if one not in self._choices and one not in self._counted
        ]
        self._optimizer = CatCMAwM(
            x_space=[[0.0, 1.0] for _ in self._real] or None,
            z_space=[list(range(one.size() or 0)) for one in self._counted] or None,
            c_space=[one.size() or 0 for one in self._choices] or None,
            seed=setting.seed,
        )
        self._names = [one.name for one in setting.dimensions]
        self._asked: list[Any] = []
        self._generation: list[tuple[Any, float]] = []

    def ask(self, size: int) -> list[Params]:
        self._asked = [self._optimizer.ask() for _ in range(size)]
        return [self._params(one) for one in self._asked]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        self._generation += zip(self._asked, losses, strict=True)
        size = self._optimizer.population_size
        while len(self._generation) >= size:
            self._optimizer.tell(self._generation[:size])
            del self._generation[:size]

    def _params(self, solution: Any) -> Params:
        found: Params = {}
        for index, one in enumerate(self._real):
            found[one.name] = from_share(one, float(solution.x[index]))
        for index, dimension in enumerate(self._counted):
            found[dimension.name] = dimension.value(int(solution.z[index]))
        for index, dimension in enumerate(self._choices):
            found[dimension.name] = dimension.value(int(solution.c[index].argmax()))
        return {name: found[name] for name in self._names}


def _is_choice(dimension: Dimension) -> bool:
    # The documentation of `cmaes` recommends categories for integers with two values.
    return isinstance(dimension, Categorical) or dimension.size() == 2


def _is_counted(dimension: Dimension) -> bool:
    return isinstance(dimension, Integer) and dimension.size() <= COUNTED and dimension.prior == "uniform"
