"""Searches of other tools, driven by the same loop as ours."""

import shutil
import tempfile
import warnings
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopping.simulator import Curves, Start

# Optuna's name of a sampler -> the arguments that differ from Optuna's defaults. benchmarks/quality uses the same.
SAMPLERS: dict[str, dict[str, Any]] = {
    "RandomSampler": {},
    "TPESampler": {"multivariate": True, "constant_liar": True},
    "GPSampler": {"deterministic_objective": True},
}


class OptunaSearch:
    """A study of Optuna in the memory of one process.

    Parameters
    ----------
    curves : Curves
    seed : int
    sampler : str
        A key of `SAMPLERS`.
    pruner : str
        The name of a class of `optuna.pruners`.
    **arguments
        The arguments of the pruner.
    """

    def __init__(self, curves: Curves, seed: int, sampler: str, pruner: str, **arguments: Any) -> None:
        import optuna

        from ledger.optuna.export import distributions

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns that options are experimental
            self._study = optuna.create_study(
                # HyperbandPruner derives the bracket of a trial from the study's name, which is random by default.
                study_name=f"simulated-{seed}",
                sampler=getattr(optuna.samplers, sampler)(seed=seed, **SAMPLERS[sampler]),
                pruner=getattr(optuna.pruners, pruner)(**arguments),
            )
        self._pruned = optuna.trial.TrialState.PRUNED
        self._space = distributions(curves.space.to_json())
        self._open: dict[int, Any] = {}

    def ask(self) -> Start:
        trial = self._study.ask(self._space)
        self._open[trial.number] = trial
        return Start(trial.number, dict(trial.params))

    def report(self, number: int, epoch: int, loss: float) -> bool:
        self._open[number].report(loss, epoch)
        return bool(self._open[number].should_prune())

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:  # noqa: ARG002
        trial = self._open.pop(number)
        if stopped:
            self._study.tell(trial, state=self._pruned)
        else:
            self._study.tell(trial, loss)


class SyneTuneSearch:
    """A scheduler of Syne Tune, asked and told without its tuner.

    Parameters
    ----------
    curves : Curves
    seed : int
    searcher : str
        The name of the searcher, such as "random_search" or "kde".
    min_resource, eta : int
        The first rung, and the factor between rungs.
    """

    def __init__(self, curves: Curves, seed: int, searcher: str, min_resource: int, eta: int) -> None:
        from syne_tune import config_space
        from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

        kinds = {
            ("real", "uniform"): config_space.uniform,
            ("real", "log-uniform"): config_space.loguniform,
            ("integer", "uniform"): config_space.randint,
            ("integer", "log-uniform"): config_space.lograndint,
        }
        np.random.seed(seed)  # the searchers also draw from numpy's global generator
        self._bounds = {one["name"]: (one["low"], one["high"]) for one in curves.space.to_json()}
        self._scheduler = AsynchronousSuccessiveHalving(
            {one["name"]: kinds[one["type"], one["prior"]](one["low"], one["high"]) for one in curves.space.to_json()},
            metric="loss",
            searcher=searcher,
            time_attr="epoch",
            max_t=curves.epochs,
            grace_period=min_resource,
            reduction_factor=eta,
            random_seed=seed,
        )
        self._normalise = curves.space.normalise
        self._open: dict[int, Any] = {}
        self._started = 0

    def ask(self) -> Start:
        from syne_tune.backend.trial_status import Trial

        number = self._started
        self._started += 1
        trial = Trial(number, self._scheduler.suggest().config, datetime.now(UTC))
        self._scheduler.on_trial_add(trial)
        self._open[number] = trial
        # The searcher "kde" suggests integers outside their ranges.
        return Start(number, self._normalise({name: self._within(name, trial.config[name]) for name in trial.config}))

    def _within(self, name: str, value: float) -> Any:
        low, high = self._bounds[name]
        return min(max(value, low), high)

    def report(self, number: int, epoch: int, loss: float) -> bool:
        answer: str = self._scheduler.on_trial_result(self._open[number], {"loss": loss, "epoch": epoch})
        return answer == "STOP"

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:
        trial = self._open.pop(number)
        if stopped:
            self._scheduler.on_trial_remove(trial)
        else:
            self._scheduler.on_trial_complete(trial, {"loss": loss, "epoch": epoch})


class SmacSearch:
    """The multi-fidelity facade of SMAC3: Hyperband with random forests. A promoted trial goes on from its last epoch.

    Parameters
    ----------
    curves : Curves
    seed : int
    min_resource : int
        The lowest budget, in epochs. The factor between the budgets is SMAC3's default, 3.
    """

    # SMAC3 needs the number of evaluations, which is not known. It begins with 10 random points for each parameter,
    # and with at most a quarter of this number.
    EVALUATIONS = 1000

    def __init__(self, curves: Curves, seed: int, min_resource: int) -> None:
        import ConfigSpace
        from smac import MultiFidelityFacade, Scenario
        from smac.runhistory import TrialValue

        kinds = {"real": ConfigSpace.UniformFloatHyperparameter, "integer": ConfigSpace.UniformIntegerHyperparameter}
        space = ConfigSpace.ConfigurationSpace(seed=seed)
        for one in curves.space.to_json():
            is_log = one["prior"] == "log-uniform"
            space.add(kinds[one["type"]](one["name"], one["low"], one["high"], log=is_log))
        folder = tempfile.mkdtemp()  # SMAC3 writes files
        weakref.finalize(self, shutil.rmtree, folder)
        scenario = Scenario(
            space,
            output_directory=Path(folder),
            deterministic=True,
            n_trials=self.EVALUATIONS,
            min_budget=min_resource,
            max_budget=curves.epochs,
            seed=seed,
        )
        self._facade = MultiFidelityFacade(scenario, self._never_called, logging_level=False, overwrite=True)
        self._value = TrialValue
        self._normalise = curves.space.normalise
        self._numbers: dict[Any, int] = {}
        self._open: dict[int, Any] = {}

    def ask(self) -> Start:
        info = self._facade.ask()
        number = self._numbers.setdefault(info.config, len(self._numbers))
        self._open[number] = info
        return Start(number, self._normalise(dict(info.config)), round(info.budget))

    def report(self, number: int, epoch: int, loss: float) -> bool:  # noqa: ARG002
        return False

    def end(self, number: int, epoch: int, loss: float, stopped: bool) -> None:  # noqa: ARG002
        self._facade.tell(self._open.pop(number), self._value(cost=loss), save=False)

    @staticmethod
    def _never_called(config: Any, seed: int, budget: float) -> float:
        raise NotImplementedError
