"""Searches of the drop-in `Optimizer` and of skopt, and random points."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from ledger.study.dimensions import Dimension


class DropInSearcher:
    """Our `Optimizer` or skopt's, with the same arguments: a GP, EI and cl_min."""

    def __init__(self, optimizer: Callable[..., Any], setting: Setting) -> None:
        self._dimensions = setting.dimensions
        self._last: list[Any] = []
        dimensions = [skopt_dimension(one) for one in setting.dimensions]
        self._optimizer = optimizer(
            dimensions, "GP", n_initial_points=setting.initial, acq_func="EI", random_state=setting.seed
        )

    def ask(self, size: int) -> list[Params]:
        self._last = self._optimizer.ask(size, "cl_min")
        return [_params(self._dimensions, point) for point in self._last]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        self._optimizer.tell(self._last, list(losses))


class RandomSearcher:
    """Random points from the priors."""

    def __init__(self, setting: Setting) -> None:
        import skopt

        self._dimensions, self._source = setting.dimensions, random.Random(setting.seed)
        self._space = skopt.Space([skopt_dimension(one) for one in setting.dimensions])

    def ask(self, size: int) -> list[Params]:
        drawn = self._space.rvs(size, random_state=self._source.randrange(2**31))
        return [_params(self._dimensions, point) for point in drawn]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None: ...


def ours(setting: Setting) -> DropInSearcher:
    from ledger.optimizer import Optimizer

    return DropInSearcher(Optimizer, setting)


def skopt(setting: Setting) -> DropInSearcher:
    import skopt as package

    return DropInSearcher(package.Optimizer, setting)


def _params(dimensions: Sequence[Dimension], point: Sequence[Any]) -> Params:
    return {one.name: one.normalise(value) for one, value in zip(dimensions, point, strict=True)}


def skopt_dimension(dimension: Dimension) -> Any:
    from skopt import space

    kinds: dict[str, Callable[[Any], Any]] = {
        "real": lambda real: space.Real(real.low, real.high, real.prior),
        "integer": lambda integer: space.Integer(integer.low, integer.high, integer.prior),
        "categorical": lambda categorical: space.Categorical(categorical.choices),
    }
    return kinds[dimension.kind](dimension)
