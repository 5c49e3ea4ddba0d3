"""Searches of SMAC3: the facade for hyperparameters, which uses a random forest."""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from ledger.study.dimensions import Categorical, Integer


class SmacSearcher:
    """The facade of SMAC3 for hyperparameters, asked and told."""

    def __init__(self, setting: Setting) -> None:
        import ConfigSpace
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.runhistory import TrialValue

        space = ConfigSpace.ConfigurationSpace(seed=setting.seed)
        for one in setting.dimensions:
            space.add(_parameter(ConfigSpace, one))
        folder = tempfile.mkdtemp()  # SMAC3 writes files
        weakref.finalize(self, shutil.rmtree, folder)
        scenario = Scenario(
            space,
            output_directory=Path(folder),
            deterministic=True,  # SMAC3 would repeat points, and 60 evaluations are too few for that
            n_trials=setting.evaluations,
            seed=setting.seed,
        )
        facade = HyperparameterOptimizationFacade
        self._facade = facade(
            scenario,
            _never_called,
            initial_design=facade.get_initial_design(scenario, n_configs=setting.initial),
            logging_level=False,
            overwrite=True,
        )
        self._value = TrialValue
        self._dimensions = {one.name: one for one in setting.dimensions}
        self._asked: list[Any] = []

    def ask(self, size: int) -> list[Params]:
        self._asked = [self._facade.ask() for _ in range(size)]
        return [self._params(dict(info.config)) for info in self._asked]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        for info, loss in zip(self._asked, losses, strict=True):
            self._facade.tell(info, self._value(cost=loss), save=False)

    def _params(self, config: dict[str, Any]) -> Params:
        return {
            name: one.choices[int(config[name])] if isinstance(one, Categorical) else one.normalise(config[name])
            for name, one in self._dimensions.items()
        }


def _parameter(package: Any, dimension: Any) -> Any:
    if isinstance(dimension, Categorical):
        return package.CategoricalHyperparameter(dimension.name, list(range(len(dimension.choices))))
    kind = (
        package.UniformIntegerHyperparameter if isinstance(dimension, Integer) else package.UniformFloatHyperparameter
    )
    return kind(dimension.name, dimension.low, dimension.high, log=dimension.prior == "log-uniform")


def _never_called(config: Any, seed: int) -> float:
    """Stand for the target function, which SMAC3 requires. A search that is asked and told does not call it."""
    raise AssertionError(f"SMAC3 called the target function with {config} and the seed {seed}")
