"""MOBSTER, the model-based halving of Syne Tune (Klein and others 2020, *Model-based asynchronous hyperparameter and
neural architecture search*).

Syne Tune 0.14 is the last version that has it. This version needs a numpy below 2, so its searches need an environment
of their own.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.stopping.peers import SyneTuneSearch
from benchmarks.stopping.simulator import Curves, Start


class MobsterSearch(SyneTuneSearch):
    """MOBSTER with stopping, asked and told without Syne Tune's tuner. Its surrogate is a GP over points and epochs.

    Parameters
    ----------
    curves : Curves
    seed : int
    min_resource, eta : int
        The first rung, and the factor between rungs.
    """

    def __init__(self, curves: Curves, seed: int, min_resource: int, eta: int) -> None:
        from syne_tune import config_space
        from syne_tune.optimizer.legacy_baselines import MOBSTER

        functions = {"real": ("uniform", "loguniform"), "integer": ("randint", "lograndint")}
        space = {
            one["name"]: getattr(config_space, functions[one["type"]][one["prior"] == "log-uniform"])(
                one["low"], one["high"]
            )
            for one in curves.space.to_json()
        }
        np.random.seed(seed)  # the searcher also draws from numpy's global generator
        self._scheduler = MOBSTER(
            space,
            metric="loss",
            mode="min",
            resource_attr="epoch",
            max_t=curves.epochs,
            grace_period=min_resource,
            reduction_factor=eta,
            random_seed=seed,
            search_options={"debug_log": False},
        )
        self._normalise = curves.space.normalise
        self._open: dict[int, Any] = {}
        self._started = 0

    def ask(self) -> Start:
        from syne_tune.backend.trial_status import Trial

        number = self._started
        self._started += 1
        trial = Trial(number, self._scheduler.suggest(number).config, datetime.now(UTC))
        self._scheduler.on_trial_add(trial)
        self._open[number] = trial
        return Start(number, self._normalise(dict(trial.config)))
