"""The resource of a training, which is either the boosting rounds or the training rows.

A rule of early stopping compares trials at rungs. A built-in model or an estimator by name does not call
`Context.report`. Instead, the ledger reports a score after each boosting round, or after each training on a share of
the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ledger.objectives.splits import Rows

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Resource = Literal["rounds", "rows"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
# The built-in models that train in boosting rounds.
BOOSTING_MODELS = ("xgb", "lgbm")


@dataclass(frozen=True)
class TrainingResource:
    """The scores that an objective reports if the study has a rule of early stopping.

    Attributes
    ----------
    kind : str
        "rounds": the objective reports the score after each boosting round. "rows": the objective trains on a share of
        the training rows at each rung, and reports the score.
    largest : int
        With "rows", the step at which the training uses all training rows.
    rungs : tuple of int
        The steps at which the rule of early stopping compares trials, in increasing order.
    """

    kind: str
    largest: int
    rungs: tuple[int, ...]


def resource_of_trial(stopping: Mapping[str, Any] | None) -> TrainingResource | None:
    """Return the resource of a trial. Return None if the study has no rule of early stopping, or if the user's
    objective itself calls `Context.report`.

    Parameters
    ----------
    stopping : mapping or None
        The column `stopping` of the trial's claim (sql/functions/trial_stopping.sql).

    Examples
    --------
    >>> rungs = [{"step": 12}, {"step": 36}]
    >>> resource_of_trial({"resource": "rows", "max_resource": 100, "rungs": rungs})
    TrainingResource(kind='rows', largest=100, rungs=(12, 36))
    >>> resource_of_trial({"resource": None, "max_resource": 100, "rungs": rungs})
    """
    if stopping is None or stopping.get("resource") is None:
        return None
    return TrainingResource(
        stopping["resource"], stopping["max_resource"], tuple(rung["step"] for rung in stopping["rungs"])
    )


def subset(rows: Rows, part: int, whole: int, seed: int, *, is_classification: bool) -> Rows:
    """Return about `part` / `whole` of the rows, in their original order.

    For equal values of `whole` and `seed`, a larger part contains all rows of each smaller part.

    In a classification, the share of each class is about the same in each part. Each part has at least one row of each
    class.

    Parameters
    ----------
    rows : Rows
        The training rows of a split.
    part, whole : int
        `part` is at least 1, and below `whole`.
    seed : int
        The seed of the rows' random order, in [0, 2**31).
    is_classification : bool
        Whether the targets are the codes of classes.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Rows(np.arange(10.0).reshape(10, 1), np.array([0] * 8 + [1] * 2), None)
    >>> subset(rows, 50, 100, 7, is_classification=True).targets
    array([0, 0, 0, 0, 1])
    """
    import numpy as np

    order, fewest = _order(rows, seed, is_classification=is_classification)
    count = max(-(-len(order) * part // whole), fewest)
    index = np.sort(order[:count])
    return Rows(rows.features[index], rows.targets[index], None if rows.weights is None else rows.weights[index])


def _order(rows: Rows, seed: int, *, is_classification: bool) -> "tuple[Array, int]":
    """Return the indices of the rows in a random order, and the smallest number of rows in a part. Each part consists
    of the first rows in the random order.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    groups = rows.targets if is_classification else np.zeros(len(rows.targets), int)
    classes = np.unique(groups)
    # In a class of n rows, the row at the place j has the rank j / n. Therefore each part contains about the same share
    # of each class. The first row of each class has the rank 0. Therefore even the smallest part contains a row of each
    # class.
    ranks = np.empty(len(groups))
    for each in classes:
        members = random.permutation(np.flatnonzero(groups == each))
        if rows.weights is not None:
            # A row with the weight 0 has no effect on the training. Therefore the first row of each class must have a
            # positive weight.
            first = int(np.argmax(rows.weights[members] > 0))
            members = np.concatenate((members[first : first + 1], np.delete(members, first)))
        ranks[members] = np.arange(len(members)) / len(members)
    # LightGBM trains on at least 2 rows.
    return np.argsort(ranks, kind="stable"), max(len(classes), 2)
