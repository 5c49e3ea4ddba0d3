"""Datasets from csv and parquet files, read as a whole or refused with the place of the fault.

A column of numbers stays as it is; a missing number is NaN, which becomes the median of the training rows (see
`ledger.objectives.builtin`). A column of text becomes one 0/1 column for each of its values in sorted order; a missing
text is 0 in all of them. The values of the target, text or whole numbers, become 0, 1, ... in sorted order.
"""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import UsageError
from ledger.objectives.table_cells import LARGEST_TABLE, Rows, csv_rows, parquet_rows
from ledger.objectives.table_columns import (
    Column,
    check_feature,
    check_names,
    inspect,
    labels,
    parse_number,
    parse_whole,
)
from ledger.text import one_line, show

if TYPE_CHECKING:
    import numpy as np

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
LARGEST_FILE = 64 * 1024 * 1024  # bytes
# A target with more classes than this may be a measurement.
_MANY_CLASSES = 20


@dataclass(frozen=True, eq=False)
class Table:
    """A dataset in the form that the models take.

    Attributes
    ----------
    features : array of shape (rows, columns)
        Float, read-only; NaN if a number is missing.
    classes : array of shape (rows,)
        Int in [0, number of labels), read-only.
    labels : tuple
        The value of each class in the file, sorted: all str or all int.
    """

    features: "np.ndarray[Any, Any]"
    classes: "np.ndarray[Any, Any]"
    labels: tuple[Any, ...]


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the content of a dataset's file, and its format, "csv" or "parquet", by its name.

    Raises
    ------
    UsageError
        The file cannot be read, is larger than `LARGEST_FILE`, or its name has none of the endings of `FORMATS`.
    """
    name = one_line(str(path))
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UsageError(f"{name}: the name ends in none of {', '.join(FORMATS)}; save the data as one of these")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name}: {reason}; give the path of a csv or parquet file") from None
    if len(content) > LARGEST_FILE:
        raise UsageError(
            f"{name}: larger than {LARGEST_FILE // 1024**2} MB, the most that the ledger stores; leave columns or rows"
            " out, save it as parquet, or read it in an objective of your own"
        )
    return content, file_format


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes, file_format: str, target: str, name: str) -> Table:
    """Read a dataset.

    Parameters
    ----------
    content : bytes
        Of the file.
    file_format : str
        "csv" or "parquet".
    target : str
        Name of the column that contains the class.
    name : str
        Name of the file, for messages.

    Raises
    ------
    UsageError
        Something in the file cannot be used. One line about the first such thing, with its place and the way out.

    Examples
    --------
    >>> table = read(b"petal,kind\\n1.5,rose\\n,lily\\n", "csv", "kind", "flowers.csv")
    >>> table.features.tolist(), table.classes.tolist(), table.labels
    ([[1.5], [nan]], [1, 0], ('lily', 'rose'))
    """
    names, rows = csv_rows(content, name) if file_format == "csv" else parquet_rows(content, name)
    check_names(names, target, name, "line 1: " if file_format == "csv" else "")
    columns = inspect(names, rows, target, name)
    target_index = names.index(target)
    classes = labels(columns[target_index], name)
    features = [column for column in columns if column.name != target]
    for column in features:
        check_feature(column, name)
    total = columns[0].cells
    width = sum(len(column.texts) if column.is_text else 1 for column in features)
    if total * width > LARGEST_TABLE:
        raise UsageError(
            f"{name}: {total:,} rows of {width:,} columns, with one column for each text, are more than"
            f" {LARGEST_TABLE:,} cells; leave columns or rows out"
        )
    return _build(columns, rows, target_index, classes)


def check_classes(table: Table, folds: int | None, target: str, name: str) -> None:
    """Raise UsageError unless every class has enough rows to train and to score on.

    Parameters
    ----------
    table : Table
    folds : int or None
        Of a cross-validation; None to score on a fifth of the rows.
    target, name : str
        Names of the target and of the file, for messages.
    """
    counts = Counter(table.classes.tolist())
    where = f"{name}: column {show(target)}"
    if len(table.labels) < 2:
        raise UsageError(f"{where}: every row has the class {show(table.labels[0])}; a classifier needs two or more")
    rarest = min(counts, key=lambda label: (counts[label], label))
    label, rows = show(table.labels[rarest]), counts[rarest]
    fault = f"class {label} has {rows} row{'s' if rows > 1 else ''}"
    way_out = "add rows or leave the class out"
    if len(table.labels) > _MANY_CLASSES:
        way_out += "; the models do not do regression, so put the values of a measurement into a few ranges"
    if folds is not None and rows < folds:
        raise UsageError(f"{where}: {fault}, and each of {folds} folds needs one; {way_out}, or use fewer folds")
    if rows < 2:
        raise UsageError(f"{where}: {fault}, but training needs one and scoring another; {way_out}")
    total = len(table.classes)
    scored = math.ceil(total / 5)
    if folds is None and min(scored, total - scored) < len(table.labels):
        raise UsageError(
            f"{where}: a fifth of {total} rows, to score on, is less than one row for each of {len(table.labels)}"
            " classes; add rows, or use --cv"
        )


def _build(columns: Sequence[Column], rows: Rows, target_index: int, classes: Sequence[Any]) -> Table:
    """Read all rows again, and return them as arrays."""
    import numpy as np  # here, because a manager imports this module and does not need NumPy for it

    class_codes = {label: code for code, label in enumerate(classes)}
    parse_class: Callable[[str], Any] = str if columns[target_index].is_text else parse_whole
    targets = array("q")
    # for each text column, the index of each text in sorted order
    text_codes = [
        {text: float(code) for code, text in enumerate(sorted(column.texts))} if column.is_text else None
        for column in columns
    ]
    values = [array("d") for _ in columns]
    for _, cells in rows():
        for index, cell in enumerate(cells):
            codes = text_codes[index]
            if index == target_index:
                targets.append(class_codes[parse_class(cell)])
            elif codes is not None:
                values[index].append(codes.get(cell, math.nan))
            else:
                values[index].append(parse_number(cell))  # type: ignore[arg-type]  # `inspect` found no text
    features = []
    for index, column in enumerate(values):
        if index == target_index:
            continue
        numbers = np.frombuffer(column)
        codes = text_codes[index]
        features.append(numbers[:, None] if codes is None else numbers[:, None] == np.arange(len(codes)))
    table = Table(
        np.hstack([feature.astype(float, copy=False) for feature in features]),
        np.frombuffer(targets, dtype=np.int64).astype(np.intp),
        tuple(classes),
    )
    for array_ in (table.features, table.classes):
        array_.flags.writeable = False
    return table
