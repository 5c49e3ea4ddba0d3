"""Conversion between scikit-learn's results of fits and the metrics of a trial.

The metrics have the names of the columns of `cv_results_`, such as ``split0_test_score`` and ``mean_test_score``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# For each fit, scikit-learn returns a dict with the keys in `_SCORES` and `_TIMES`. In the dict, the value of each key
# in `_SCORES` is a number, or a dict that maps the name of each scorer to a number.
_SCORES = {"test_scores": "test", "train_scores": "train"}
_TIMES = ("fit_time", "score_time")
# If a search has only one scorer, the name of the score is `ONE_SCORE`.
ONE_SCORE = "score"


def to_metrics(results: Sequence[Mapping[str, Any]], longest_error: int) -> dict[str, Any]:
    """Convert scikit-learn's results for the splits into the metrics of a trial.

    Parameters
    ----------
    results : sequence of mapping
        scikit-learn's result for each split.
    longest_error : int
        The maximum length of the traceback of a failed fit, in characters.

    Returns
    -------
    dict
        The scores and times of each split, and the means and standard deviations of the scores and times over all
        splits. None stands for the score NaN, because JSON has no NaN. The texts "Infinity" and "-Infinity" stand for
        infinite scores.

    Examples
    --------
    >>> result = {"fit_error": None, "test_scores": 0.5, "fit_time": 2.0, "score_time": 1.0}
    >>> to_metrics([result], 1000)["split0_test_score"]
    0.5
    """
    metrics: dict[str, Any] = {}
    columns: dict[str, list[float]] = {}
    for split, result in enumerate(results):
        values = {key: float(result[key]) for key in _TIMES}
        for key, kind in _SCORES.items():
            if key in result:
                values |= {f"{kind}_{name}": float(score) for name, score in _named(result[key]).items()}
        for name, value in values.items():
            metrics[f"split{split}_{name}"] = _to_json(value)
            columns.setdefault(name, []).append(value)
        if result["fit_error"] is not None:
            # The end of a traceback contains the exception.
            metrics[f"split{split}_fit_error"] = str(result["fit_error"])[-longest_error:]
    for name, column in columns.items():
        if len(column) == len(results):
            with np.errstate(invalid="ignore"):  # A score may be infinite.
                metrics[f"mean_{name}"] = _to_json(_mean(column))
                metrics[f"std_{name}"] = _to_json(float(np.std(column)))
    return metrics


def mean_score(results: Sequence[Mapping[str, Any]], name: str | None) -> float:
    """Return the mean of a test score over the splits.

    Parameters
    ----------
    results : sequence of mapping
        scikit-learn's result for each split.
    name : str or None
        The name of a scorer. If no scorer has the name `name`, the function returns the mean score of the first scorer.
    """
    scores = []
    for result in results:
        named = _named(result["test_scores"])
        scores.append(float(named[name] if name in named else next(iter(named.values()))))
    return _mean(scores)


def from_metrics(metrics: Mapping[str, Any], n_splits: int) -> list[dict[str, Any]]:
    """Convert the metrics of a trial to a list that contains scikit-learn's result for each split.

    Raises
    ------
    ValueError
        The metrics do not come from a search with `n_splits` splits.

    Examples
    --------
    >>> result = {"fit_error": None, "test_scores": {"f1": 0.5}, "fit_time": 2.0, "score_time": 1.0}
    >>> from_metrics(to_metrics([result], 1000), 1) == [result]
    True
    """
    results = []
    for split in range(n_splits):
        prefix = f"split{split}_"
        values = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
        error = values.pop("fit_error", None)
        result: dict[str, Any] = {"fit_error": None if error is None else str(error)}
        for key in _TIMES:
            if key not in values:
                raise ValueError(f"the metrics have no {prefix}{key}")
            result[key] = _from_json(values.pop(key))
        for key, kind in _SCORES.items():
            named = {
                name.removeprefix(f"{kind}_"): _from_json(value)
                for name, value in values.items()
                if name.startswith(f"{kind}_")
            }
            if named:
                result[key] = named[ONE_SCORE] if [*named] == [ONE_SCORE] else named
        if "test_scores" not in result:
            raise ValueError(f"the metrics have no {prefix}test_{ONE_SCORE}")
        results.append(result)
    return results


def failed_fits(
    error: str, n_splits: int, error_score: float, scorers: Sequence[str] | None, *, has_train_scores: bool
) -> list[dict[str, Any]]:
    """Return the result of a failed fit for each split, in the format of scikit-learn.

    The caller uses the list for a candidate without recorded results.

    Parameters
    ----------
    error : str
        The error of the trial.
    n_splits : int
        The number of splits.
    error_score : float
        The score of a failed fit.
    scorers : sequence of str or None
        The names of the scorers. `scorers` is None if the search has only one scorer, or if one callable returns all
        scores of the search.
    has_train_scores : bool
        Whether the search also computes scores on the training data.
    """
    score: Any = error_score if scorers is None else dict.fromkeys(scorers, error_score)
    kinds = ["test_scores", *(["train_scores"] if has_train_scores else [])]
    result = {"fit_error": error, **dict.fromkeys(_TIMES, math.nan)}
    return [{**result, **dict.fromkeys(kinds, score)} for _ in range(n_splits)]


def _named(scores: Any) -> dict[str, Any]:
    return dict(scores) if isinstance(scores, Mapping) else {ONE_SCORE: scores}


def _mean(values: Sequence[float]) -> float:
    # scikit-learn also calls `np.average` to compute the means in `cv_results_`. Therefore the mean in the ledger is
    # exactly equal to scikit-learn's mean.
    return float(np.average(np.array(values, dtype=np.float64)))


def _to_json(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _from_json(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | list | dict):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
