"""The built-in models as objectives: train on the study's rows, lose by the share of test rows that come out wrong."""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ledger.objectives import datasets, parameters
from ledger.objectives.context import Context


def objective(model: str, dataset: str, threads: int) -> Callable[[Mapping[str, Any], Context], dict[str, float]]:
    """Return the objective of `model` on `dataset`, which gives loss, accuracy and fit_seconds.

    The accuracy is that on the test rows and the loss exactly ``1 - accuracy`` in floating point (so that
    ``1 - loss`` is exactly the accuracy too where that is 0.5 or more).
    """
    # by name, so that a worker loads the one library that it needs, and a manager's imports lead to none
    build = importlib.import_module(f"ledger.objectives.{model}").estimator

    def train(params: Mapping[str, Any], context: Context) -> dict[str, float]:
        # Rows can be written by others, and both boosters take what they do not know, names of files to write included.
        parameters.check(model, params)
        x_train, x_test, y_train, y_test = datasets.split(dataset, context.study_seed)
        estimator = build(params, context.seed, threads)
        started = time.perf_counter()
        estimator.fit(x_train, y_train)
        seconds = time.perf_counter() - started
        accuracy = float((estimator.predict(x_test) == y_test).mean())
        return {"loss": 1.0 - accuracy, "accuracy": accuracy, "fit_seconds": seconds}

    return train
