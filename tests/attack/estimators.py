"""Hostile estimators of studies that keep models: their models cannot be saved, or must not be loaded."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class _Constant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that predicts always the first class."""

    def __init__(self, x: float = 0.5) -> None:
        self.x = x

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "_Constant":
        self.classes_ = np.unique(y)
        self.hostile_ = self._hostile()
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])

    def _hostile(self) -> Any:
        """Return a fitted attribute."""
        return None


class Generator(_Constant):
    def _hostile(self) -> Any:
        return (number for number in range(3))


class Huge(_Constant):
    """A model that is larger than the largest artifact that the ledger itself keeps."""

    def _hostile(self) -> Any:
        return np.random.default_rng(0).random(10_000_000)


class Deep(_Constant):
    def _hostile(self) -> Any:
        value: Any = 1
        for _ in range(100_000):
            value = [value]
        return value


class Cyclic(_Constant):
    def _hostile(self) -> Any:
        return self


class ForeignFunction(_Constant):
    def _hostile(self) -> Any:
        return os.system


class ForeignType(_Constant):
    def _hostile(self) -> Any:
        return Path("/etc/passwd")


class Objects(_Constant):
    """A model with an array of Python objects."""

    def _hostile(self) -> Any:
        return np.array([object(), os.system, {"a": 1}], dtype=object)


class OtherPredictions(_Constant):
    """A model that predicts another class after it was saved."""

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[-1 if self.hostile_ is None else 0])

    def _hostile(self) -> Any:
        return "lost"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "hostile_": None}


class RaisingState(_Constant):
    def __getstate__(self) -> dict[str, Any]:
        raise RuntimeError("\x1b[2J\nledger: forged\n" + "x" * 100_000)


class ExitingState(_Constant):
    def __getstate__(self) -> dict[str, Any]:
        sys.exit(0)


class EndingState(_Constant):
    def __getstate__(self) -> dict[str, Any]:
        os._exit(0)


class HangingState(_Constant):
    def __getstate__(self) -> dict[str, Any]:
        time.sleep(600)
        return {}


class OddState(_Constant):
    def __getstate__(self) -> Any:
        return [1, 2, 3]


ESTIMATORS = sorted(
    name
    for name, found in vars().items()
    if isinstance(found, type) and name[0] != "_" and found.__module__ == __name__
)
