"""The resource of a training: the boosting rounds or the training rows that the rungs of early stopping count.

A rule of early stopping compares trials at rungs. A built-in model or an estimator by name does not call
`Context.report` itself, so its objective reports a score after each boosting round, or after a training on a share of
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
    """What the objective of a study with a rule of early stopping reports.

    Attributes
    ----------
    kind : str
        "rounds": the objective reports the score after each boosting round. "rows": the objective trains on a share of
        the training rows at each rung, and reports the score.
    largest : int
        With "rows", the number that stands for all training rows.
    rungs : tuple of int
        The steps at which the rule decides, in increasing order.
    """

    kind: str
    largest: int
    rungs: tuple[int, ...]


def resource_of_trial(stopping: Mapping[str, Any] | None) -> TrainingResource | None:
    """Return the resource of a trial, or None if the objective of the trial reports nothing, or reports its own steps.

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

    With the same `whole` and `seed`, the rows of a smaller part belong to each larger part.

    In a classification, the share of each class is about the same in each part. Each part has at least one row of each
    class.

    Parameters
    ----------
    rows : Rows
        The training rows of a split.
    part, whole : int
        `part` is at least 1, and below `whole`.
    seed : int
        Seed in [0, 2**31) of the random order of the rows.
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
    """Return the order in which rows join the parts, and the smallest number of rows in a part."""
    import numpy as np

    random = np.random.default_rng(seed)
    groups = rows.targets if is_classification else np.zeros(len(rows.targets), int)
    classes = np.unique(groups)
    # The row at the place j of a class with n rows has the rank j / n, so each class joins at the same speed. The first
    # row of each class has the rank 0, so each class is in the smallest part.
    ranks = np.empty(len(groups))
    for each in classes:
        members = random.permutation(np.flatnonzero(groups == each))
        if rows.weights is not None:
            # A row with the weight 0 trains nothing, so the first row of a class has a weight.
            first = int(np.argmax(rows.weights[members] > 0))
            members = np.concatenate((members[first : first + 1], np.delete(members, first)))
        ranks[members] = np.arange(len(members)) / len(members)
    # LightGBM trains on at least 2 rows.
    return np.argsort(ranks, kind="stable"), max(len(classes), 2)
