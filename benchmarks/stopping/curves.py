"""Tasks with learning curves: the surrogates of LCBench, and synthetic curves that need no files.

LCBench is a set of trainings of neural networks on tables of OpenML (Zimmer, Lindauer and Hutter 2021). The surrogates
are those of YAHPO Gym (Pfisterer and others 2022). Their folder contains `surrogate.py`, which loads them with
onnxruntime.
"""

import importlib.util
import math
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.stopping.simulator import Curves, Params, Training
from ledger.study.space import Space

LCBENCH = "lcbench"
SYNTHETIC = ("synthetic/0", "synthetic/1", "synthetic/2")
# A surrogate may predict a time below zero for a training that takes almost no time.
SHORTEST = 1e-3


class LearningCurves:
    """A task of LCBench. The loss is the share of wrong predictions on the validation rows."""

    epochs = 52

    def __init__(self, surrogate: Any, task: str) -> None:
        self._surrogate, self._task = surrogate, task
        self.space = Space.from_toml({name: _dimension(given) for name, given in surrogate.space.items()})

    def train(self, params: Params) -> Training:
        """Predict the loss after each epoch, and the mean time of an epoch."""
        steps = range(1, self.epochs + 1)
        found = self._predict([(params, step) for step in steps])
        losses = 1.0 - found[:, self._column("val_accuracy")] / 100.0
        return Training(losses.tolist(), max(float(found[-1, self._column("time")]) / self.epochs, SHORTEST))

    def final_losses(self, points: Sequence[Params]) -> list[float]:
        found = self._predict([(params, self.epochs) for params in points])
        losses: list[float] = (1.0 - found[:, self._column("val_accuracy")] / 100.0).tolist()
        return losses

    def _column(self, result: str) -> int:
        return int(self._surrogate.results.index(result))

    def _predict(self, trainings: Sequence[tuple[Params, int]]) -> NDArray[np.float64]:
        """Return the results of trainings with a number of epochs, as an array of shape (trainings, results).

        `Surrogate.__call__` predicts one training. A curve would need 52 calls.
        """
        given, (task,) = self._surrogate, self._surrogate.choices
        rows = [[{**params, "epoch": epoch}[name] for name in given.numbers] for params, epoch in trainings]
        codes = np.full((len(rows), 1), given.codes[task][self._task], dtype=np.int32)
        (found,) = given.session.run(None, {"x_cat": codes, "x_cont": np.array(rows, dtype=np.float32)})
        return np.asarray(found, dtype=np.float64)


class SyntheticCurves:
    """A task of power laws. The exponent depends on `rate`, so the curves of two points can cross."""

    epochs = 27

    def __init__(self, name: str) -> None:
        self.space = Space.from_toml(
            {
                "rate": {"type": "real", "low": 1e-4, "high": 1.0, "prior": "log-uniform"},
                "width": {"type": "integer", "low": 16, "high": 512, "prior": "log-uniform"},
                "dropout": {"type": "real", "low": 0.0, "high": 1.0},
            }
        )
        source = random.Random(name)
        self._best = (source.uniform(-3.0, -1.0), source.uniform(5.0, 8.0), source.uniform(0.1, 0.6))

    def train(self, params: Params) -> Training:
        final = self.final_losses([params])[0]
        speed = 0.6 + 0.15 * (math.log10(params["rate"]) + 4)
        losses = [final + 0.4 * (epoch**-speed - self.epochs**-speed) for epoch in range(1, self.epochs + 1)]
        return Training(losses, 0.5 + params["width"] / 256)

    def final_losses(self, points: Sequence[Params]) -> list[float]:
        rate, width, dropout = self._best
        return [
            0.1
            + 0.04 * (math.log10(params["rate"]) - rate) ** 2
            + 0.01 * (math.log2(params["width"]) - width) ** 2
            + 0.3 * (params["dropout"] - dropout) ** 2
            for params in points
        ]


def curves(task: str, folder: Path | None) -> Curves:
    """Return a task: one of `SYNTHETIC`, or the number of a task of LCBench, whose surrogates are in `folder`."""
    if task in SYNTHETIC:
        return SyntheticCurves(task)
    assert folder is not None
    return LearningCurves(load_surrogate(folder), task)


@cache
def load_surrogate(folder: Path) -> Any:
    """Return the surrogate of LCBench. Its attributes `dev` and `measuring` are the tasks for tuning and the others.

    Raises
    ------
    FileNotFoundError
        The folder does not contain `surrogate.py`.
    """
    file = folder / "surrogate.py"
    spec = importlib.util.spec_from_file_location("yahpo_surrogate", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Surrogate(LCBENCH)


def _dimension(given: Sequence[Any]) -> dict[str, Any]:
    kind, low, high, is_log = given
    return {"type": kind, "low": low, "high": high, "prior": "log-uniform" if is_log else "uniform"}
