"""The datasets of the built-in models: those that come with scikit-learn, so that no trial needs a network."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

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


@lru_cache(maxsize=8)  # a worker goes from trial to trial, and may go from study to study
def split(dataset: str, seed: int) -> "Rows":
    """Return the rows to train and to score on: 80 % and 20 %, stratified by class.

    Parameters
    ----------
    dataset : str
        One of `DATASETS`.
    seed : int
        In [0, 2**31). The same seed gives the same rows in the same order.

    Returns
    -------
    x_train, x_test, y_train, y_test : arrays
        Read-only: every trial of this process shares them.
    """
    from sklearn.model_selection import train_test_split

    features, classes = LOADERS[dataset]()
    rows: Rows = tuple(train_test_split(features, classes, test_size=0.2, stratify=classes, random_state=seed))
    for array in rows:
        array.flags.writeable = False
    return rows
