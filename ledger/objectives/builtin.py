"""The built-in models as objectives. The loss follows from the score on rows that were held out of training."""

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
    """Return the objective of `model` on `dataset`. It returns the loss, the metric's score and fit_seconds.

    With the accuracy as the metric, the loss is exactly ``1 - accuracy`` in floating point, and ``1 - loss`` is exactly
    the accuracy if that is 0.5 or more. For the other metrics see `ledger.objectives.metrics`.

    Parameters
    ----------
    model : str
        One of `parameters.MODELS`.
    dataset : str or Table
        The name of a dataset of scikit-learn, or the content of a file. Missing numbers of a file are replaced by the
        median of the training rows.
    threads : int
        Threads of one training, at least 1.
    metric : str
        One of `metrics.USABLE`.
    folds : int, optional
        Folds of a cross-validation. The score is then the mean of the folds' scores. The result also contains
        ``METRIC_std``, their standard deviation (ddof 0), and ``METRIC_folds``, the scores.
    """
    # Imported by name, so that a worker loads only the library that it needs, and a manager loads none.
    build = importlib.import_module(f"ledger.objectives.{model}").estimator
    score = metrics.scorer(metric)

    def train(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        # Rows of the ledger can be written by others, and both boosters accept unknown names, such as those of files
        # that they write.
        parameters.check(model, params)
        scores, seconds = [], 0.0
        for x_train, x_test, y_train, y_test in datasets.splits(dataset, context.study_seed, folds):
            estimator = build(params, context.seed, threads)
            if isinstance(dataset, Table):
                estimator = _with_imputer(estimator)
            started = time.perf_counter()
            estimator.fit(x_train, y_train)
            seconds += time.perf_counter() - started
            scores.append(score(estimator, x_test, y_test))
        mean = sum(scores) / len(scores)
        result: dict[str, Any] = {"loss": metrics.loss(metric, mean), metric: mean, "fit_seconds": seconds}
        if folds is not None:
            deviation = (sum((value - mean) ** 2 for value in scores) / len(scores)) ** 0.5
            result |= {f"{metric}_std": deviation, f"{metric}_folds": scores}
        return result

    return train


def _with_imputer(estimator: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    # keep_empty_features, because a column of the file may be empty in the rows of a fold
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), estimator)
