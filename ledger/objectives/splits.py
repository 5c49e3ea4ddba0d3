"""The splits of a dataset into training rows and test rows.

A split depends only on the dataset, the study's seed and the study's settings. Therefore all trials of a study use the
same training rows and the same test rows.

- If the dataset has neither groups nor times, a split is random. In a classification, the proportion of each class in
  the test rows is about the same as in the whole dataset.
- With groups, either all rows of a group are training rows, or all rows of the group are test rows. A split never
  divides a group.
- With times, no test row is earlier than a training row.
- With a hold-out file, all rows of the dataset are training rows, and the rows of the hold-out file are test rows.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.errors import UsageError
from ledger.objectives import metrics
from ledger.objectives.tabular import DatasetArrays
from ledger.seeds import derive
from ledger.text import show

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# Without a cross-validation, the test rows are 1 / `_PARTS` of all rows.
_PARTS = 5


class Rows(NamedTuple):
    """The training rows or the test rows of one split of a dataset, as arrays of features, targets and weights."""

    features: "Array"
    targets: "Array"
    weights: "Array | None"


def splits(dataset: DatasetArrays, seed: int, folds: int | None, repeats: int = 1) -> Iterator[tuple[Rows, Rows]]:
    """Yield the training rows and the test rows of each split.

    Parameters
    ----------
    dataset : DatasetArrays
        The dataset.
    seed : int
        Seed in [0, 2**31). The same seed always produces the same splits.
    folds : int or None
        Number of folds of a cross-validation, at least 2. None means a single split, in which a fifth of the rows are
        test rows.
    repeats : int
        Number of cross-validations. Each cross-validation divides the rows into different random folds.
    """
    if dataset.holdout is not None:
        yield _rows(dataset), _rows(dataset.holdout)
    elif folds is None:
        yield split(dataset, seed)
    else:
        for train, test in _indices(dataset, seed, folds, repeats):
            yield _rows(dataset, train), _rows(dataset, test)


@lru_cache(maxsize=2)  # A worker may alternate between two studies.
def split(dataset: DatasetArrays, seed: int) -> tuple[Rows, Rows]:
    """Return the training rows and the test rows of the only split in a study without cross-validation.

    The arrays are read-only, because all trials in the same process share the arrays.
    """
    ((train, test),) = _indices(dataset, seed, None, 1)
    parts = _rows(dataset, train), _rows(dataset, test)
    for part in parts:
        for array in part:
            if array is not None:
                array.flags.writeable = False
    return parts


def check_splits(dataset: DatasetArrays, seed: int, folds: int | None, repeats: int, metric: str) -> None:
    """Raise a UsageError if the rows of a split are not sufficient for the model or the metric.

    The model must be able to train on the training rows of each split, and the metric must be able to score the test
    rows.
    """
    for number, (train, test) in enumerate(splits(dataset, seed, folds, repeats), 1):
        where = "the split" if folds is None else f"split {number} of {folds * repeats}"
        for part, rows in (("training", train), ("scoring", test)):
            if rows.weights is not None and not rows.weights.any():
                raise UsageError(
                    f"{where}: each row for {part} has the weight 0; use fewer folds, or give more rows a positive"
                    " weight"
                )
            if dataset.labels is not None and (part == "training" or metrics.needs_each_class(metric)):
                present = set(rows.targets.tolist())
                missing = [label for code, label in enumerate(dataset.labels) if code not in present]
                if missing:
                    needed = "the model" if part == "training" else metric
                    raise UsageError(
                        f"{where}: the rows for {part} do not contain class {show(missing[0])}, which {needed} needs;"
                        " use fewer folds, or add rows of this class"
                    )
        if dataset.labels is None and len(test.targets) < 2:
            raise UsageError(f"{where}: a regression needs 2 rows for scoring; use fewer folds, or add rows")


def _rows(dataset: DatasetArrays, index: Any = slice(None)) -> Rows:
    weights = dataset.weights
    return Rows(dataset.features[index], dataset.targets[index], None if weights is None else weights[index])


def _indices(dataset: DatasetArrays, seed: int, folds: int | None, repeats: int) -> "Iterator[tuple[Array, Array]]":
    """Yield the indices of the training rows and of the test rows for each split."""
    import numpy as np
    from sklearn import model_selection

    rows = np.arange(len(dataset.targets))
    is_classification = dataset.labels is not None
    if dataset.is_ordered:
        if folds is None:
            last = len(rows) - math.ceil(len(rows) / _PARTS)
            yield rows[:last], rows[last:]
        else:
            yield from model_selection.TimeSeriesSplit(folds).split(rows)
        return
    if dataset.groups is None and folds is None:
        train, test = model_selection.train_test_split(
            rows, test_size=1 / _PARTS, stratify=dataset.targets if is_classification else None, random_state=seed
        )
        yield train, test
        return
    for repeat in range(repeats):
        of_repeat = {"shuffle": True, "random_state": derive(seed, "folds", repeat) if repeat else seed}
        if dataset.groups is not None:
            # In a regression, the code assigns all rows to one class, so that the folds have about equal numbers of
            # rows.
            targets = dataset.targets if is_classification else np.zeros(len(rows), int)
            number = folds or min(_PARTS, len(set(dataset.groups.tolist())))
            found = model_selection.StratifiedGroupKFold(number, **of_repeat).split(rows, targets, dataset.groups)
            if folds is None:
                yield next(found)
                return
            yield from found
        elif is_classification:
            yield from model_selection.StratifiedKFold(folds, **of_repeat).split(rows, dataset.targets)
        else:
            yield from model_selection.KFold(folds, **of_repeat).split(rows)
