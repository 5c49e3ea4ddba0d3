"""The built-in models as objectives: train on some of the rows, lose by how they score on the others."""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ledger.objectives import datasets, metrics, parameters
from ledger.objectives.context import Context
from ledger.objectives.tabular import Table


def objective(
    model: str, dataset: str | Table, threads: int, *, metric: str = metrics.DEFAULT, folds: int | None = None
) -> Callable[[Mapping[str, Any], Context], dict[str, Any]]:
    """Return the objective of `model` on `dataset`, which gives loss, the metric's score and fit_seconds.

    The accuracy is that on the test rows and the loss exactly ``1 - accuracy`` in floating point (so that
    ``1 - loss`` is exactly the accuracy too where that is 0.5 or more). Other metrics: see `ledger.objectives.metrics`.

    Parameters
    ----------
    dataset : str or Table
        The name of one that comes with scikit-learn, or the content of a file: its missing numbers become the median
        of the rows that are trained on.
    folds : int, optional
        Train and score so many times, each row being scored once: the score is the mean, beside ``METRIC_std``, the
        standard deviation of the folds' scores (of all, ddof 0), and ``METRIC_folds``, these scores.
    """
    # by name, so that a worker loads the one library that it needs, and a manager's imports lead to none
    build = importlib.import_module(f"ledger.objectives.{model}").estimator
    score = metrics.scorer(metric)

    def train(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        # Rows can be written by others, and both boosters take what they do not know, names of files to write included.
        parameters.check(model, params)
        scores, seconds = [], 0.0
        for x_train, x_test, y_train, y_test in datasets.parts(dataset, context.study_seed, folds):
            estimator = build(params, context.seed, threads)
            if isinstance(dataset, Table):
                estimator = _filled(estimator)
            started = time.perf_counter()
            estimator.fit(x_train, y_train)
            seconds += time.perf_counter() - started
            scores.append(score(estimator, x_test, y_test))
        mean = sum(scores) / len(scores)
        result: dict[str, Any] = {"loss": metrics.loss(metric, mean), metric: mean, "fit_seconds": seconds}
        if folds is not None:
            spread = (sum((one - mean) ** 2 for one in scores) / len(scores)) ** 0.5
            result |= {f"{metric}_std": spread, f"{metric}_folds": scores}
        return result

    return train


def _filled(estimator: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    # a column may be empty in the rows of a fold, though not in the file
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), estimator)
