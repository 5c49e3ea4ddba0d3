"""The search methods: each returns batches of parameters and is told their losses."""

import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks import report
from benchmarks.records import fingerprint
from ledger.study.dimensions import Dimension

Params = dict[str, Any]


class Searcher(Protocol):
    def ask(self, size: int) -> list[Params]: ...

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None: ...


class Asked:
    """Our Optimizer or skopt's, with the same arguments: a GP, EI and cl_min."""

    def __init__(self, optimizer: Callable[..., Any], dimensions: Sequence[Dimension], seed: int, initial: int) -> None:
        self._dimensions = dimensions
        self._last: list[Any] = []
        self._optimizer = optimizer(
            [_skopt(one) for one in dimensions], "GP", n_initial_points=initial, acq_func="EI", random_state=seed
        )

    def ask(self, size: int) -> list[Params]:
        self._last = self._optimizer.ask(size, "cl_min")
        return [_params(self._dimensions, point) for point in self._last]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        self._optimizer.tell(self._last, list(losses))


class Suggested:
    """A sampler of Optuna. The trials of a batch run at the same time."""

    def __init__(self, sampler: Any, dimensions: Sequence[Dimension]) -> None:
        import optuna

        from ledger.optuna.export import distributions

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=sampler)
        self._space = distributions([dimension.to_json() for dimension in dimensions])
        self._trials: list[Any] = []

    def ask(self, size: int) -> list[Params]:
        self._trials = [self._study.ask(self._space) for _ in range(size)]
        return [dict(trial.params) for trial in self._trials]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:  # noqa: ARG002
        for trial, loss in zip(self._trials, losses, strict=True):
            self._study.tell(trial, loss)


class Random:
    """Random points from the priors."""

    def __init__(self, dimensions: Sequence[Dimension], seed: int) -> None:
        import skopt

        self._dimensions, self._source = dimensions, random.Random(seed)
        self._space = skopt.Space([_skopt(one) for one in dimensions])

    def ask(self, size: int) -> list[Params]:
        drawn = self._space.rvs(size, random_state=self._source.randrange(2**31))
        return [_params(self._dimensions, point) for point in drawn]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None: ...


def searcher(method: str, dimensions: Sequence[Dimension], seed: int, initial: int) -> Searcher:
    """Return a new search. Its first `initial` points are random."""
    if method == "random":
        return Random(dimensions, seed)
    if method == "ours":
        from ledger.optimizer import Optimizer

        return Asked(Optimizer, dimensions, seed, initial)
    if method == "skopt":
        import skopt

        return Asked(skopt.Optimizer, dimensions, seed, initial)
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns that `multivariate` is experimental
        if method == "optuna-tpe":
            sampler: Any = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=initial, multivariate=True, constant_liar=True
            )
        else:
            sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=initial, deterministic_objective=True)
    return Suggested(sampler, dimensions)


METHODS = ("ours", "skopt", "optuna-tpe", "optuna-gp", "random")


def why_not(method: str) -> str | None:
    """Return the reason why a method cannot be measured here, or None."""
    if method == "optuna-gp":
        return report.why_no_gp_sampler()
    if method == "optuna-tpe" and report.version("optuna") is None:
        return "not measured: optuna is not installed"
    return None


def version(method: str) -> str:
    """Return the version that a method's results depend on. Another version needs another run."""
    if method == "ours":
        return _fingerprint()
    packages = {"optuna-tpe": ("optuna",), "optuna-gp": ("optuna", "torch")}.get(method, ("scikit-optimize",))
    return ", ".join(f"{package} {report.version(package)}" for package in packages)


def _fingerprint() -> str:
    """Return a hash of all code that determines our proposals."""
    import ledger.optimizer

    folder = Path(str(ledger.optimizer.__file__)).parent
    return f"optimizer {fingerprint(sorted(folder.glob('*.py')))}"


def _params(dimensions: Sequence[Dimension], point: Sequence[Any]) -> Params:
    return {one.name: one.normalise(value) for one, value in zip(dimensions, point, strict=True)}


def _skopt(dimension: Dimension) -> Any:
    from skopt import space

    kinds: dict[str, Callable[[Any], Any]] = {
        "real": lambda real: space.Real(real.low, real.high, real.prior),
        "integer": lambda integer: space.Integer(integer.low, integer.high, integer.prior),
        "categorical": lambda categorical: space.Categorical(categorical.choices),
    }
    return kinds[dimension.kind](dimension)
