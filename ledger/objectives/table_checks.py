"""Functions that check whether a dataset has enough rows for a study's splits.

The functions do not import scikit-learn.
"""

import math
from collections import Counter

from ledger.errors import UsageError
from ledger.objectives.tabular import DatasetArrays
from ledger.objectives.tasks import MOST_CLASSES
from ledger.text import show


def check_rows(table: DatasetArrays, folds: int | None, target: str, name: str) -> None:
    """Raise a UsageError if a dataset from a file has too few rows, classes or groups for training and scoring.

    Parameters
    ----------
    table : DatasetArrays
        The dataset to check.
    folds : int or None
        Number of folds of a cross-validation. None means a single split, in which a fifth of the rows are test rows.
    target, name : str
        Name of the target column and name of the file, for error messages.
    """
    where = f"{name}: column {show(target)}"
    if table.labels is None:
        if len(set(table.targets.tolist())) < 2:
            raise UsageError(
                f"{where}: every row has the value {show(table.targets.tolist()[0])}; a regression needs two or more"
                " values"
            )
    elif len(table.labels) < 2:
        raise UsageError(
            f"{where}: every row has the class {show(table.labels[0])}; a classifier needs two or more classes"
        )
    if table.holdout is not None:
        _check_count(len(table.holdout.targets), table, f"{name}: the hold-out file")
    elif table.groups is not None:
        _check_groups(table, folds, name)
    elif table.is_ordered:
        _check_order(table, folds, name)
    elif table.labels is not None:
        _check_classes(table, folds, where)
    else:
        _check_count(len(table.targets) // folds if folds else math.ceil(len(table.targets) / 5), table, name, folds)


def _check_count(scored: int, table: DatasetArrays, where: str, folds: int | None = None) -> None:
    """Check the number of test rows. The score R2 is not defined for a single row."""
    if table.labels is None and scored < 2:
        rows = len(table.targets)
        fewer = ", or use fewer folds" if folds else ""
        raise UsageError(
            f"{where}: a split of {rows} rows has only {scored} row{'' if scored == 1 else 's'} for scoring, but a"
            f" regression needs 2 rows for scoring; add rows{fewer}"
        )


def _check_groups(table: DatasetArrays, folds: int | None, name: str) -> None:
    assert table.groups is not None
    assert table.encoding is not None
    where = f"{name}: column {show(table.encoding.roles.group)}"
    groups = table.groups.tolist()
    number = len(set(groups))
    if number < 2:
        raise UsageError(f"{where}: all rows belong to one group; a split needs rows of two or more groups")
    if folds is not None and number < folds:
        raise UsageError(
            f"{where}: {number} groups are too few for {folds} folds, because each fold needs a group of its own; use"
            " fewer folds, or add groups"
        )
    if table.labels is None:
        return
    groups_of = Counter(code for code, _ in set(zip(table.targets.tolist(), groups, strict=True)))
    for code, label in enumerate(table.labels):
        if groups_of[code] < 2:
            raise UsageError(
                f"{where}: only one group has rows of class {show(label)}, but a class needs two groups, one group for"
                " training and one group for scoring; add groups or leave the class out"
            )


def _check_order(table: DatasetArrays, folds: int | None, name: str) -> None:
    rows = len(table.targets)
    scored = rows // (folds + 1) if folds else math.ceil(rows / 5)
    if scored < 1 or scored == rows:
        raise UsageError(
            f"{name}: {rows} rows are too few for a split by time into {(folds or 1) + 1} parts; add rows, or use fewer"
            " folds"
        )
    _check_count(scored, table, name, folds)


def _check_classes(table: DatasetArrays, folds: int | None, where: str) -> None:
    assert table.labels is not None
    counts = Counter(table.targets.tolist())
    rarest = min(counts, key=lambda label: (counts[label], label))
    label, rows = show(table.labels[rarest]), counts[rarest]
    fault = f"class {label} has {rows} row{'s' if rows > 1 else ''}"
    way_out = "add rows or leave the class out"
    if len(table.labels) > MOST_CLASSES and not isinstance(table.labels[0], str):
        way_out += "; if the target contains measurements, use --task regression"
    if folds is not None and rows < folds:
        raise UsageError(
            f"{where}: {fault}, but each of {folds} folds needs a row of this class; {way_out}, or use fewer folds"
        )
    if rows < 2:
        raise UsageError(
            f"{where}: {fault}, but a class needs two rows, one row for training and one row for scoring; {way_out}"
        )
    total = len(table.targets)
    scored = math.ceil(total / 5)
    if folds is None and min(scored, total - scored) < len(table.labels):
        raise UsageError(
            f"{where}: only a fifth of the {total} rows is for scoring, and this fifth is too small for"
            f" {len(table.labels)} classes; add rows, or use --cv"
        )
