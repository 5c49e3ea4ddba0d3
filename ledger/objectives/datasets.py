"""The datasets of the built-in models, and their division into training and test rows.

A dataset is installed with scikit-learn, so that a trial needs no network, or comes from a file (see
`ledger.objectives.tabular`).
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ledger.objectives.tabular import Table

if TYPE_CHECKING:
    import numpy as np

    # x_train, x_test, y_train, y_test
    Split = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _load_bundled(name: str) -> Any:
    from sklearn import datasets  # here, because a manager imports this module for the names

    return getattr(datasets, f"load_{name}")(return_X_y=True)


# Name -> function that returns the features, float of shape (rows, features), and the classes, int in [0, classes).
LOADERS: dict[str, Callable[[], Any]] = {
    name: partial(_load_bundled, name) for name in ("breast_cancer", "iris", "wine", "digits")
}
DATASETS: tuple[str, ...] = tuple(LOADERS)
# Name -> number of classes.
CLASSES = {"breast_cancer": 2, "iris": 3, "wine": 3, "digits": 10}
# Largest number of folds. The rarest class of these datasets, in wine, has 48 rows.
MOST_FOLDS = 48


def splits(dataset: str | Table, seed: int, folds: int | None) -> "Iterator[Split]":
    """Yield the split of `split`, or for a cross-validation one split for each fold, stratified by class.

    Parameters
    ----------
    dataset : str or Table
        One of `DATASETS`, or the content of a file.
    seed : int
        In [0, 2**31). The same seed gives the same splits.
    folds : int or None
        In [2, rows of the rarest class]; None for no cross-validation.

    Yields
    ------
    x_train, x_test, y_train, y_test : arrays
    """
    if folds is None:
        yield split(dataset, seed)
        return
    from sklearn.model_selection import StratifiedKFold

    features, classes = _load(dataset)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, classes):
        yield features[train], features[test], classes[train], classes[test]


@lru_cache(maxsize=1)  # consecutive trials of a worker mostly belong to one study
def _load(dataset: str | Table) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    features, classes = (dataset.features, dataset.classes) if isinstance(dataset, Table) else LOADERS[dataset]()
    return features, classes


@lru_cache(maxsize=2)  # a worker may alternate between two studies
def split(dataset: str | Table, seed: int) -> "Split":
    """Return 80 % of the rows to train and 20 % to score on, stratified by class.

    Parameters
    ----------
    dataset : str or Table
        One of `DATASETS`, or the content of a file.
    seed : int
        In [0, 2**31). The same seed gives the same rows in the same order.

    Returns
    -------
    x_train, x_test, y_train, y_test : arrays
        Read-only, because all trials of this process share them.
    """
    from sklearn.model_selection import train_test_split

    features, classes = _load(dataset)
    arrays: Split = tuple(train_test_split(features, classes, test_size=0.2, stratify=classes, random_state=seed))
    for array in arrays:
        array.flags.writeable = False
    return arrays
