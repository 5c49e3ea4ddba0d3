"""Searches of the samplers of Optuna."""

import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting


class OptunaSearcher:
    """A sampler of Optuna. The trials of a batch run at the same time."""

    def __init__(self, sampler: Any, setting: Setting) -> None:
        import optuna

        from ledger.optuna.export import distributions

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=sampler)
        self._space = distributions([dimension.to_json() for dimension in setting.dimensions])
        self._trials: list[Any] = []

    def ask(self, size: int) -> list[Params]:
        self._trials = [self._study.ask(self._space) for _ in range(size)]
        return [dict(trial.params) for trial in self._trials]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        for trial, loss in zip(self._trials, losses, strict=True):
            self._study.tell(trial, loss)


def tpe(setting: Setting) -> OptunaSearcher:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that `multivariate` is experimental
        sampler = optuna.samplers.TPESampler(
            seed=setting.seed, n_startup_trials=setting.initial, multivariate=True, constant_liar=True
        )
    return OptunaSearcher(sampler, setting)


def gp(setting: Setting) -> OptunaSearcher:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that the sampler is experimental
        sampler = optuna.samplers.GPSampler(
            seed=setting.seed, n_startup_trials=setting.initial, deterministic_objective=not setting.is_noisy
        )
    return OptunaSearcher(sampler, setting)
