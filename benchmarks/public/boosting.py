"""Trainings of XGBoost on datasets of OpenML: the surrogate "rbv2_xgboost" of YAHPO Gym (Pfisterer and others 2022)."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.public.problem import COARSE_FLOOR, Problem, reference
from benchmarks.stopping.curves import load_surrogate
from ledger.study.space import Space

KIND = "rbv2_xgboost"
# The Brier score. In a corner of the space, the surrogate predicts an accuracy of 1, and the worst Brier score.
RESULT = "brier"


def load(name: str, folder: Path) -> Problem:
    """Return a task from its name, such as "rbv2_xgboost/6"."""
    surrogate, task = surrogates(folder), name.partition("/")[2]
    space = Space.from_toml({name: _dimension(given) for name, given in surrogate.space.items()})

    def loss(params: Mapping[str, Any]) -> float:
        return float(surrogate(task, dict(params))[RESULT])

    return Problem(name, space, loss, loss, *_reference(name, folder), floor=COARSE_FLOOR)


@cache
def surrogates(folder: Path) -> Any:
    # All surrogates have the same class, with different files.
    return type(load_surrogate(folder))(KIND)


@cache
def _reference(name: str, folder: Path) -> tuple[float, float]:
    surrogate, task = surrogates(folder), name.partition("/")[2]
    space = Space.from_toml({name: _dimension(given) for name, given in surrogate.space.items()})
    return reference(space, lambda params: float(surrogate(task, dict(params))[RESULT]))


def _dimension(given: Any) -> dict[str, Any]:
    if given[0] == "categorical":
        return {"type": "categorical", "choices": list(given[1])}
    kind, low, high, is_log = given
    return {"type": kind, "low": low, "high": high, "prior": "log-uniform" if is_log else "uniform"}
