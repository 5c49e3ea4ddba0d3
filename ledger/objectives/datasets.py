"""The datasets of the built-in models, and the split of a dataset into training rows and test rows.

Some datasets are part of scikit-learn, so a trial on such a dataset needs no network. Other datasets come from a file,
which `ledger.objectives.tabular` reads.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ledger.objectives.tabular import DatasetArrays

if TYPE_CHECKING:
    import numpy as np

    # A split contains the arrays x_train, x_test, y_train and y_test.
    Split = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _load_bundled(name: str) -> Any:
    from sklearn import datasets  # A manager imports this module only for the names, without scikit-learn.

    return getattr(datasets, f"load_{name}")(return_X_y=True)


# A mapping from the name of each bundled dataset to the function that loads the dataset. Each function returns the
# features and the class labels of all rows. The features are a float array of shape (rows, features). Each class label
# is an int in [0, number of classes).
LOADERS: dict[str, Callable[[], Any]] = {
    name: partial(_load_bundled, name) for name in ("breast_cancer", "iris", "wine", "digits")
}
DATASETS: tuple[str, ...] = tuple(LOADERS)
# Number of classes in each dataset.
CLASSES = {"breast_cancer": 2, "iris": 3, "wine": 3, "digits": 10}
# Largest number of folds. Each fold needs a row of each class, and the smallest class of the bundled datasets has 48
# rows (in the dataset wine).
MOST_FOLDS = 48


def splits(dataset: str | DatasetArrays, seed: int, folds: int | None) -> "Iterator[Split]":
    """Yield the splits of a dataset into training rows and test rows, stratified by class.

    A cross-validation has one split for each fold.

    Parameters
    ----------
    dataset : str or DatasetArrays
        One of `DATASETS`, or the content of a file.
    seed : int
        Seed in [0, 2**31). The same seed always gives the same splits.
    folds : int or None
        Number of folds, from 2 to the number of rows of the rarest class. None means a single split without a
        cross-validation.

    Yields
    ------
    x_train, x_test, y_train, y_test : arrays
        Features and classes of the training rows and of the test rows.
    """
    if folds is None:
        yield split(dataset, seed)
        return
    from sklearn.model_selection import StratifiedKFold

    features, classes = _load(dataset)
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, classes):
        yield features[train], features[test], classes[train], classes[test]


@lru_cache(maxsize=1)  # Consecutive trials of a worker mostly belong to one study.
def _load(dataset: str | DatasetArrays) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    features, classes = (
        (dataset.features, dataset.classes) if isinstance(dataset, DatasetArrays) else LOADERS[dataset]()
    )
    return features, classes


@lru_cache(maxsize=2)  # A worker may alternate between two studies.
def split(dataset: str | DatasetArrays, seed: int) -> "Split":
    """Split a dataset into 80 % training rows and 20 % test rows, stratified by class.

    Parameters
    ----------
    dataset : str or DatasetArrays
        One of `DATASETS`, or the content of a file.
    seed : int
        Seed in [0, 2**31). The same seed always gives the same rows in the same order.

    Returns
    -------
    x_train, x_test, y_train, y_test : arrays
        Features and classes of the training rows and of the test rows. The arrays are read-only, because all trials of
        this process share the arrays.
    """
    from sklearn.model_selection import train_test_split

    features, classes = _load(dataset)
    arrays: Split = tuple(train_test_split(features, classes, test_size=0.2, stratify=classes, random_state=seed))
    for array in arrays:
        array.flags.writeable = False
    return arrays
