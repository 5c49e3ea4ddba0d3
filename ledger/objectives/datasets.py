"""The scikit-learn datasets that an objective can use to train a model.

The scikit-learn package contains all datasets of this module, so a trial does not download a dataset. This module does
not use the dataset `linnerud`, because `linnerud` has three targets and only 20 rows.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from ledger.objectives.tabular import DatasetArrays
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION


def _load_bundled(name: str) -> Any:
    return _loader(name)(return_X_y=True)


def _loader(name: str) -> Any:
    from sklearn import datasets  # A manager imports this module only for the names, without scikit-learn.

    return getattr(datasets, f"load_{name}")


# Number of classes in each dataset. None means a regression.
CLASSES: dict[str, int | None] = {"breast_cancer": 2, "iris": 3, "wine": 3, "digits": 10, "diabetes": None}
DATASETS: tuple[str, ...] = tuple(CLASSES)
# A mapping from the name of each bundled dataset to the function that loads the dataset. Each function returns the
# features and the targets of all rows. The features are a float array of shape (rows, features). Each target of a
# classification is an int in [0, number of classes).
LOADERS: dict[str, Callable[[], Any]] = {name: partial(_load_bundled, name) for name in DATASETS}
# Largest number of folds. Each fold must contain a row of each class. The smallest class of all bundled datasets has 48
# rows (in the dataset `wine`).
MOST_FOLDS = 48


def task_of(dataset: str) -> str:
    """Return the task that fits a bundled dataset.

    Examples
    --------
    >>> task_of("iris"), task_of("diabetes")
    ('classification', 'regression')
    """
    return REGRESSION if CLASSES[dataset] is None else CLASSIFICATION


@lru_cache(maxsize=1)  # Consecutive trials of a worker mostly belong to one study.
def load(dataset: str) -> DatasetArrays:
    """Return a bundled dataset as read-only arrays. All trials in the same process share the arrays of a dataset."""
    features, targets = LOADERS[dataset]()
    classes = CLASSES[dataset]
    for array in (features, targets):
        array.flags.writeable = False
    return DatasetArrays(features, targets, None if classes is None else tuple(range(classes)))


def feature_names(dataset: str) -> list[str]:
    """Return the names of the columns of a bundled dataset.

    Examples
    --------
    >>> feature_names("diabetes")[:3]
    ['age', 'sex', 'bmi']
    """
    return [str(name) for name in _loader(dataset)()["feature_names"]]
