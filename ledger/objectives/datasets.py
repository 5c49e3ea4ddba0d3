"""The datasets of the built-in models: those that come with scikit-learn, so that no trial needs a network, or a
file's (`ledger.objectives.tabular`); and which rows of them are for training."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ledger.objectives.tabular import Table

if TYPE_CHECKING:
    import numpy as np

    Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _bundled(name: str) -> Any:
    from sklearn import datasets  # here, because a manager imports this module for the names

    return getattr(datasets, f"load_{name}")(return_X_y=True)


# Name -> what returns the features, float of shape (rows, features), and the classes, int in [0, classes).
LOADERS: dict[str, Callable[[], Any]] = {
    name: partial(_bundled, name) for name in ("breast_cancer", "iris", "wine", "digits")
}
DATASETS: tuple[str, ...] = tuple(LOADERS)
# Name -> how many classes it has.
CLASSES = {"breast_cancer": 2, "iris": 3, "wine": 3, "digits": 10}
# Folds of a cross-validation: the rarest class of any of these datasets, wine's, has 48 rows.
MOST_FOLDS = 48


def parts(dataset: str | Table, seed: int, folds: int | None) -> "Iterator[Rows]":
    """Yield what `split` returns, or where there are folds, the rows of each, stratified by class.

    Parameters
    ----------
    folds : int or None
        In [2, rows of the rarest class].
    """
    if folds is None:
        yield split(dataset, seed)
        return
    from sklearn.model_selection import StratifiedKFold

    features, classes = _load(dataset)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, classes):
        yield features[train], features[test], classes[train], classes[test]


@lru_cache(maxsize=1)  # of the trials that a worker goes through, most are of one study
def _load(dataset: str | Table) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    features, classes = (dataset.features, dataset.classes) if isinstance(dataset, Table) else LOADERS[dataset]()
    return features, classes


@lru_cache(maxsize=2)  # a worker goes from trial to trial, and may go from study to study
def split(dataset: str | Table, seed: int) -> "Rows":
    """Return the rows to train and to score on: 80 % and 20 %, stratified by class.

    Parameters
    ----------
    dataset : str or Table
        One of `DATASETS`, or a file's.
    seed : int
        In [0, 2**31). The same seed gives the same rows in the same order.

    Returns
    -------
    x_train, x_test, y_train, y_test : arrays
        Read-only: every trial of this process shares them.
    """
    from sklearn.model_selection import train_test_split

    features, classes = _load(dataset)
    rows: Rows = tuple(train_test_split(features, classes, test_size=0.2, stratify=classes, random_state=seed))
    for array in rows:
        array.flags.writeable = False
    return rows
