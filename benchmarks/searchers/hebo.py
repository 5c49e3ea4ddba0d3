"""Searches of HEBO. It needs an older numpy than the ledger, so it needs an environment of its own."""

from collections.abc import Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from ledger.study.dimensions import Categorical, Integer


class HeboSearcher:
    """HEBO with its default settings. It begins with one random point for each parameter, and one more."""

    def __init__(self, setting: Setting) -> None:
        import numpy as np
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        np.random.seed(setting.seed)  # HEBO draws from the global generators
        torch.manual_seed(setting.seed)
        self._dimensions = {one.name: one for one in setting.dimensions}
        space = DesignSpace().parse([_parameter(one) for one in setting.dimensions])
        self._optimizer = HEBO(space, scramble_seed=setting.seed)
        self._suggested: Any = None

    def ask(self, size: int) -> list[Params]:
        self._suggested = self._optimizer.suggest(n_suggestions=size)
        return [self._params(row) for row in self._suggested.to_dict("records")]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        import numpy as np

        self._optimizer.observe(self._suggested, np.array(losses, dtype=float)[:, None])

    def _params(self, row: Params) -> Params:
        return {
            name: one.choices[int(row[name])] if isinstance(one, Categorical) else one.normalise(row[name])
            for name, one in self._dimensions.items()
        }


def _parameter(dimension: Any) -> dict[str, Any]:
    if isinstance(dimension, Categorical):
        return {"name": dimension.name, "type": "cat", "categories": list(range(len(dimension.choices)))}
    is_log, is_integer = dimension.prior == "log-uniform", isinstance(dimension, Integer)
    kind = {(False, False): "num", (False, True): "int", (True, False): "pow", (True, True): "pow_int"}
    return {"name": dimension.name, "type": kind[is_log, is_integer], "lb": dimension.low, "ub": dimension.high}
