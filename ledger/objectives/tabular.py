"""Datasets from csv and parquet files.

A column of numbers is one feature. A missing number is NaN, and `ledger.objectives.builtin` replaces NaN by the
column's median over the training rows. A column of text becomes one feature for each distinct text in the column, in
the sorted order of the texts. The feature of a text is 1 in each row with this text, and 0 in all other rows. If a row
has no text in the column, all features of the column are 0 for the row. The classes of the target, in sorted order,
become the integers 0, 1, 2 and so on. If a file contains a fault, `read` refuses the whole file and names the place of
the fault.
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
    ColumnSummary,
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
LARGEST_FILE = 64 * 1024 * 1024  # This is a number of bytes.
# A target with more than `_MANY_CLASSES` different values may contain measurements instead of classes.
_MANY_CLASSES = 20


@dataclass(frozen=True, eq=False)
class DatasetArrays:
    """The features and the classes of a dataset, as the arrays that the built-in models take.

    Attributes
    ----------
    features : array of shape (rows, columns)
        Read-only float array, with NaN for a missing number.
    classes : array of shape (rows,)
        Read-only int array with values in [0, number of labels).
    labels : tuple
        The sorted names of the classes in the file. All names are strings, or all names are integers.
    """

    features: "np.ndarray[Any, Any]"
    classes: "np.ndarray[Any, Any]"
    labels: tuple[Any, ...]


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the content and the format of a dataset's file. The ending of the file's name determines the format.

    Raises
    ------
    UsageError
        The file cannot be read, is larger than `LARGEST_FILE`, or has a name that ends in none of the keys of
        `FORMATS`.
    """
    name = one_line(str(path))
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UsageError(f"{name}: the name must end in one of {', '.join(FORMATS)}; save the data in such a file")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name}: {reason}; give the path of a csv or parquet file") from None
    if len(content) > LARGEST_FILE:
        raise UsageError(
            f"{name}: the file is larger than {LARGEST_FILE // 1024**2} MB, which is the ledger's limit; leave columns"
            " or rows out, save the file as parquet, or read the file in your own objective"
        )
    return content, file_format


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes, file_format: str, target: str, name: str) -> DatasetArrays:
    """Read a dataset from the content of its file.

    Parameters
    ----------
    content : bytes
        Content of the file.
    file_format : str
        The value "csv" or "parquet".
    target : str
        Name of the column that contains the class.
    name : str
        Name of the file, for messages.

    Raises
    ------
    UsageError
        The file contains a fault. The message is one line with the first fault, its place and a remedy.

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
            f"{name}: {total:,} rows with {width:,} columns exceed the limit of {LARGEST_TABLE:,} cells, because"
            " a column of text counts as one column for each different text; leave columns or rows out"
        )
    return _build(columns, rows, target_index, classes)


def check_classes(table: DatasetArrays, folds: int | None, target: str, name: str) -> None:
    """Raise a UsageError unless every class has enough rows for training and scoring.

    Parameters
    ----------
    table : DatasetArrays
        The dataset to check.
    folds : int or None
        Number of folds of a cross-validation. None means a single split, in which a fifth of the rows are test rows.
    target, name : str
        Name of the target and name of the file, for messages.
    """
    counts = Counter(table.classes.tolist())
    where = f"{name}: column {show(target)}"
    if len(table.labels) < 2:
        raise UsageError(
            f"{where}: every row has the class {show(table.labels[0])}; a classifier needs two or more classes"
        )
    rarest = min(counts, key=lambda label: (counts[label], label))
    label, rows = show(table.labels[rarest]), counts[rarest]
    fault = f"class {label} has {rows} row{'s' if rows > 1 else ''}"
    way_out = "add rows or leave the class out"
    if len(table.labels) > _MANY_CLASSES:
        way_out += "; the models are classifiers, so divide the values of a numeric target into a few ranges"
    if folds is not None and rows < folds:
        raise UsageError(
            f"{where}: {fault}, but each of {folds} folds needs a row of this class; {way_out}, or use fewer folds"
        )
    if rows < 2:
        raise UsageError(f"{where}: {fault}, but a class needs a row for training and a row for scoring; {way_out}")
    total = len(table.classes)
    scored = math.ceil(total / 5)
    if folds is None and min(scored, total - scored) < len(table.labels):
        raise UsageError(
            f"{where}: a fifth of {total} rows is used for scoring, but these rows are too few for {len(table.labels)}"
            " classes; add rows, or use --cv"
        )


def _build(columns: Sequence[ColumnSummary], rows: Rows, target_index: int, classes: Sequence[Any]) -> DatasetArrays:
    """Return the dataset as arrays. `inspect` has already read all rows once, and `_build` reads all rows again."""
    import numpy as np  # A manager imports this module without NumPy.

    class_codes = {label: code for code, label in enumerate(classes)}
    parse_class: Callable[[str], Any] = str if columns[target_index].is_text else parse_whole
    targets = array("q")
    # The list `text_codes` has one entry for each column. The entry of a text column is a dict from each text to the
    # text's index in sorted order.
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
                values[index].append(parse_number(cell))  # type: ignore[arg-type]  # `inspect` found no text.
    features = []
    for index, column in enumerate(values):
        if index == target_index:
            continue
        numbers = np.frombuffer(column)
        codes = text_codes[index]
        features.append(numbers[:, None] if codes is None else numbers[:, None] == np.arange(len(codes)))
    table = DatasetArrays(
        np.hstack([feature.astype(float, copy=False) for feature in features]),
        np.frombuffer(targets, dtype=np.int64).astype(np.intp),
        tuple(classes),
    )
    for array_ in (table.features, table.classes):
        array_.flags.writeable = False
    return table
