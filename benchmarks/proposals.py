"""Time of the next batch: `ask(8)` and then `tell` of the eight losses, after n points.

All optimizers get the same history: n random points of a smooth function with ripples. They compute on one thread.
skopt.Optimizer gets the same arguments as ours. Optuna's GPSampler suggests eight trials one after the other, while the
earlier trials of the batch are running; it then maximises q-batch logEI. It knows that the objective is deterministic,
and has passed its random trials. One batch that is not timed comes first. It lets the sampler fit its kernel from the
previous one, as in a long search.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.growth import exponent, extrapolated

BATCH = 8
DIMENSIONS = (3, 8)
SIZES = (64, 256, 512, 1000)
# Sizes at which skopt's GP is measured. Its forests are measured at all sizes.
SKOPT_SIZES = SIZES[:2]
RUNS = 5
SKOPT_RUNS = {64: 3, 256: 2}
OPTUNA_RUNS = {64: 3, 256: 3, 512: 2, 1000: 1}
FEWEST = 2
TO_REACH = {64: 50, 256: 100, 512: 100, 1000: 100}
OPTUNA_TO_REACH = {256: 5}
GROWTH_TO_REACH = 16

Points = list[list[float]]


@dataclass(frozen=True)
class Cycle:
    """Seconds of one ask and one tell. `first` is the time of the `tell` of the whole history before them."""

    first: float
    ask: float
    tell: float

    @property
    def seconds(self) -> float:
        return self.ask + self.tell


def ripples(point: Sequence[float]) -> float:
    x = np.asarray(point)
    return float(((x - 0.3) ** 2).sum() + 0.05 * np.cos(12 * x).sum())


def history(points: int, dimensions: int, seed: int) -> tuple[Points, list[float]]:
    drawn: Points = np.random.default_rng(seed).random((points, dimensions)).tolist()
    return drawn, [ripples(point) for point in drawn]


def asked(optimizer: Callable[..., Any], model: str, points: int, dimensions: int, seed: int) -> Cycle:
    """Return the times of one cycle of our optimizer or of skopt's."""
    search = optimizer(
        [(0.0, 1.0)] * dimensions, model, n_initial_points=1, acq_func="EI", random_state=seed, model_queue_size=1
    )
    before, losses = history(points, dimensions, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        search.tell(before, losses)
        told = time.perf_counter()
        batch = search.ask(BATCH)
        found = time.perf_counter()
        search.tell(batch, [ripples(point) for point in batch])
        return Cycle(told - started, found - told, time.perf_counter() - found)


def suggested(points: int, dimensions: int, seed: int) -> Cycle:
    """Return the times of one cycle of Optuna's GPSampler."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
    study = optuna.create_study(sampler=sampler)
    space = {f"x{index}": optuna.distributions.FloatDistribution(0.0, 1.0) for index in range(dimensions)}
    before, losses = history(points - BATCH, dimensions, seed)
    started = time.perf_counter()
    study.add_trials(
        [
            optuna.create_trial(params=dict(zip(space, point, strict=True)), distributions=space, value=loss)
            for point, loss in zip(before, losses, strict=True)
        ]
    )

    def ask() -> list[Any]:
        return [study.ask(space) for _ in range(BATCH)]

    def tell(trials: list[Any]) -> None:
        for trial in trials:
            study.tell(trial, ripples(list(trial.params.values())))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tell(ask())
        warm = time.perf_counter()
        batch = ask()
        found = time.perf_counter()
        tell(batch)
        return Cycle(warm - started, found - warm, time.perf_counter() - found)


def run(*, quick: bool = False) -> str:
    import skopt

    from ledger.optimizer import Optimizer

    sizes, skopt_sizes = ((16, 32, 48), (16, 32)) if quick else (SIZES, SKOPT_SIZES)
    dimensions = DIMENSIONS[:1] if quick else DIMENSIONS
    asked(Optimizer, "GP", 16, 3, 0)  # loads the modules, which happens once
    missing = report.why_no_gp_sampler()
    rows, growths, forests = [], [], []
    for count in dimensions:
        ours = {size: [asked(Optimizer, "GP", size, count, seed) for seed in range(RUNS)] for size in sizes}
        skopts = {
            size: _seconds(
                asked(skopt.Optimizer, "GP", size, count, seed) for seed in range(SKOPT_RUNS.get(size, FEWEST))
            )
            for size in skopt_sizes
        }
        for size in sizes:
            runs = 0 if missing else OPTUNA_RUNS.get(size, FEWEST)
            theirs = _seconds(suggested(size, count, seed) for seed in range(runs))
            rows.append(_row(count, size, ours[size], skopts, theirs, missing))
        growths.append(_growth(count, {size: _seconds(cycles) for size, cycles in ours.items()}, sizes, skopts))
    for model in ("RF", "ET"):
        for size in sizes[:2] if quick else (64, 256, 1000):
            mine = _seconds(asked(Optimizer, model, size, 3, seed) for seed in range(3))
            theirs = _seconds(asked(skopt.Optimizer, model, size, 3, seed) for seed in range(1 if size > 256 else 2))
            ratio = statistics.median(theirs) / statistics.median(mine)
            forests.append(
                [model, f"{size:,}", report.spread(mine), report.spread(theirs), f"{report.number(ratio)} ×"]
            )
    header = [
        *("dimensions", "n", "ours, s", "ours, first fit, s", "skopt, s", "skopt / ours", "target", "met"),
        *("Optuna GPSampler, s", "Optuna / ours", "target", "met"),
    ]
    return (
        f"## `ask({BATCH})` and `tell`, GP, EI\n\n"
        'The columns "ours" measure `ledger.optimizer.Optimizer`. The first fit uses the whole history of n points, and'
        " starts from the same three kernels as skopt. `ledger.optimizer.Optimizer` repeats such a fit when the number"
        " of points has grown by a factor of √2. The optimizer of a resumed study starts from the kernel that the"
        " ledger has recorded. A value with ~ is extrapolated from the growth of skopt's time between the two measured"
        " sizes. The extrapolation underestimates skopt's time, because the cubic part of this time dominates only at"
        " larger sizes.\n\n"
        + report.table(header, rows)
        + "\n### Growth\n\n"
        + report.table(["dimensions", "from n", "to n", "ours", "n³", "skopt", "target", "met"], growths)
        + "\n### Forests, 3 dimensions\n\n"
        + report.table(["model", "n", "ours, s", "skopt, s", "skopt / ours"], forests)
    )


def _seconds(cycles: Any) -> list[float]:
    return [cycle.seconds for cycle in cycles]


def _row(
    dimensions: int,
    size: int,
    ours: Sequence[Cycle],
    skopts: dict[int, list[float]],
    theirs: Sequence[float],
    missing: str | None,
) -> list[str]:
    mine = statistics.median(_seconds(ours))
    measured = size in skopts
    skopt = statistics.median(skopts[size]) if measured else extrapolated(_medians(skopts), size)
    target = TO_REACH.get(size)
    row = [
        *(str(dimensions), f"{size:,}", report.spread(_seconds(ours)), report.spread([one.first for one in ours])),
        report.spread(skopts[size]) if measured else f"~ {report.number(skopt)}",
        f"{'' if measured else '~ '}{report.number(skopt / mine)} ×",
        f"{target} ×" if target else "–",
        report.reached(skopt / mine, target) if target else "–",
    ]
    if not theirs:
        return [*row, str(missing), "–", "–", "–"]
    ratio, wanted = statistics.median(theirs) / mine, OPTUNA_TO_REACH.get(size)
    return [
        *(*row, report.spread(theirs), f"{report.number(ratio)} ×"),
        *((f"{wanted} ×", report.reached(ratio, wanted)) if wanted else ("–", "–")),
    ]


def _growth(
    dimensions: int, ours: dict[int, list[float]], sizes: Sequence[int], skopts: dict[int, list[float]]
) -> list[str]:
    low, high = sizes[1], sizes[-1]
    ratio = statistics.median(ours[high]) / statistics.median(ours[low])
    smaller, larger = sorted(skopts)
    return [
        *(str(dimensions), f"{low:,}", f"{high:,}", f"{report.number(ratio)} ×"),
        f"{report.number((high / low) ** 3)} ×",
        f"n^{exponent(_medians(skopts)):.2f} from {smaller} to {larger}",
        f"at most {GROWTH_TO_REACH} ×",
        report.reached(ratio, GROWTH_TO_REACH, at_least=False),
    ]


def _medians(seconds: dict[int, list[float]]) -> dict[int, float]:
    return {size: statistics.median(values) for size, values in seconds.items()}
