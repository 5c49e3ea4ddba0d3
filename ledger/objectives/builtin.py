"""The built-in models as objectives.

The objective of a built-in model trains the model, and computes the loss from the model's score on test rows.
"""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ledger.errors import LedgerError
from ledger.objectives import datasets, metrics, parameters
from ledger.objectives.context import Context
from ledger.objectives.tabular import DatasetArrays
from ledger.text import one_line


def objective(
    model: str, dataset: str | DatasetArrays, threads: int, *, metric: str = metrics.DEFAULT, folds: int | None = None
) -> Callable[[Mapping[str, Any], Context], dict[str, Any]]:
    """Return the objective of `model` on `dataset`.

    The objective returns the loss, the score, and the training time in seconds as ``fit_seconds``.

    For the metric "accuracy", the loss is exactly ``1 - accuracy`` in floating point. If the accuracy is 0.5 or more,
    ``1 - loss`` is exactly the accuracy. The docstring of `ledger.objectives.metrics` describes the loss of each
    metric.

    Parameters
    ----------
    model : str
        One of `parameters.MODELS`.
    dataset : str or DatasetArrays
        The name of a dataset of scikit-learn, or the content of a file. If the dataset is from a file, the objective
        replaces each missing number by the column's median over the training rows.
    threads : int
        Number of threads that train one model, at least 1.
    metric : str
        One of `metrics.USABLE`.
    folds : int, optional
        Number of folds of a cross-validation. With a cross-validation, the score is the mean score of the folds. The
        result of a cross-validation also contains the list of the folds' scores as ``METRIC_folds``, and the standard
        deviation of these scores (ddof 0) as ``METRIC_std``. METRIC stands for the name of the metric.

    Raises
    ------
    LedgerError
        This machine cannot load the library of the model.
    """
    # The function `objective` imports only the module of the given model. Therefore a worker imports only the library
    # of the model that the worker trains, and a manager imports no model library.
    try:
        build = importlib.import_module(f"ledger.objectives.{model}").estimator
    except (ImportError, OSError) as error:  # OSError: the library needs a shared library, such as libgomp
        raise LedgerError(
            f"model {model} does not work on this machine, because its library cannot be loaded: "
            f"{one_line(str(error))}; install the library for this worker's Python"
        ) from error
    score = metrics.scorer(metric)

    def train(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        # Another program may have inserted the trial into the database without a check of the hyper-parameters' names.
        # XGBoost and LightGBM accept any name, such as the name of an option that writes files.
        parameters.check(model, params)
        scores, seconds = [], 0.0
        for x_train, x_test, y_train, y_test in datasets.splits(dataset, context.study_seed, folds):
            estimator = build(params, context.seed, threads)
            if isinstance(dataset, DatasetArrays):
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

    # The option keep_empty_features is needed, because all values of a column may be missing in the training rows of a
    # fold.
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), estimator)
