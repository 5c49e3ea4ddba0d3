"""Searches of Ax (Olson and others 2025, *Ax: A Platform for Adaptive Experimentation*)."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting, with_choices
from ledger.study.dimensions import Categorical, Integer


class AxSearcher:
    """Ax with its default settings. It begins with the centre of the space, and then has Sobol points."""

    def __init__(self, setting: Setting) -> None:
        self._dimensions = setting.dimensions
        self._trials: list[int] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ax and its packages warn of their own code
            from ax.api.client import Client
            from ax.utils.common.logger import set_stderr_log_level

            set_stderr_log_level(logging.ERROR)
            self._client = Client(random_seed=setting.seed)
            self._client.configure_experiment([_parameter(one) for one in setting.dimensions])
            self._client.configure_optimization("-loss")

    def ask(self, size: int) -> list[Params]:
        asked: dict[int, Any] = {}
        # For the first points, Ax returns fewer trials than asked.
        while len(asked) < size:
            found = self._client.get_next_trials(size - len(asked))
            if not found:
                raise RuntimeError(f"Ax returned {len(asked)} of {size} trials")
            asked |= found
        self._trials = list(asked)
        return [with_choices(self._dimensions, values) for values in asked.values()]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        for trial, loss in zip(self._trials, losses, strict=True):
            self._client.complete_trial(trial, {"loss": float(loss)})


def _parameter(dimension: Any) -> Any:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if isinstance(dimension, Categorical):
        choices = [str(index) for index in range(len(dimension.choices))]
        return ChoiceParameterConfig(dimension.name, choices, "str", is_ordered=False)
    return RangeParameterConfig(
        dimension.name,
        (dimension.low, dimension.high),
        "int" if isinstance(dimension, Integer) else "float",
        scaling="log" if dimension.prior == "log-uniform" else "linear",
    )
