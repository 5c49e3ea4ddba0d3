"""Datasets from csv and parquet files.

A column of numbers is one feature. A missing number becomes NaN. The module `ledger.objectives.fitting` replaces NaN by
the column's median in the training rows. A column of text becomes several features: one feature for each distinct text
in the column. The features are in the sorted order of the texts. The feature of a text is 1 in each row that contains
the text, and 0 in all other rows. If a cell of a text column is missing, the row of the cell contains 0 for all
features of the column. The classes of a classification's target, in sorted order, become the integers 0, 1, 2 and so
on. If a file contains a fault, `read` raises an error that names the place of the fault.
"""

import hashlib
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import UsageError
from ledger.objectives.table_cells import LARGEST_TABLE, Rows, csv_rows, parquet_rows
from ledger.objectives.table_columns import (
    ColumnRoles,
    ColumnSummary,
    check_feature,
    check_names,
    check_numbers,
    check_role,
    inspect,
    labels,
    parse_number,
    parse_time,
    parse_whole,
    task_of,
)
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION
from ledger.text import one_line, show

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
LARGEST_FILE = 64 * 1024 * 1024  # This is a number of bytes.


@dataclass(frozen=True)
class TableEncoding:
    """The rules by which the ledger converts the cells of a data file to numbers.

    The conversion is the same for a hold-out file and for the file with the training rows.

    Attributes
    ----------
    names : tuple of str
        Names of all columns, in the order of the file.
    roles : ColumnRoles
        Names of the columns that are not features.
    codes : mapping
        For each text column that is a feature, a mapping from each text to the text's index in the sorted order.
    labels : tuple or None
        The sorted classes of a classification. None means a regression.
    has_text_labels : bool
        Whether the classes are texts.
    """

    names: tuple[str, ...]
    roles: ColumnRoles
    codes: Mapping[str, Mapping[str, float]]
    labels: tuple[Any, ...] | None
    has_text_labels: bool

    @property
    def features(self) -> list[str]:
        """Names of the columns that are features."""
        roles = dict(self.roles.named())
        return [name for name in self.names if name not in roles]


@dataclass(frozen=True, eq=False)
class DatasetArrays:
    """A dataset in the form of read-only arrays. The trainer trains the models on this dataset.

    Attributes
    ----------
    features : array of shape (rows, columns)
        Float array, with NaN for a missing number.
    targets : array of shape (rows,)
        For a classification, the targets are an int array with values in [0, number of labels). For a regression, the
        targets are a float array.
    labels : tuple or None
        The sorted names of the classes. All names are strings, or all names are integers. None means a regression.
    groups : int array of shape (rows,) or None
        Index of each row's group. The first group has the index 0.
    weights : float array of shape (rows,) or None
        Weight of each row, at least 0.
    is_ordered : bool
        Whether the rows are sorted by time.
    holdout : DatasetArrays or None
        The rows of the hold-out file. The metric scores the model on the rows of the hold-out file. If `holdout` is
        None, a part of the dataset's rows are the test rows.
    encoding : TableEncoding or None
        The conversion of the file's cells to numbers. `encoding` is None for a dataset of scikit-learn.
    """

    features: "Array"
    targets: "Array"
    labels: tuple[Any, ...] | None
    groups: "Array | None" = None
    weights: "Array | None" = None
    is_ordered: bool = False
    holdout: "DatasetArrays | None" = None
    encoding: TableEncoding | None = None

    @property
    def task(self) -> str:
        """The task of the dataset. The values of the target determine the task."""
        return REGRESSION if self.labels is None else CLASSIFICATION


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the content and the format of a dataset's file. The ending of the file's name determines the format.

    Raises
    ------
    UsageError
        The file cannot be read, the file is larger than `LARGEST_FILE`, or the ending of the file's name is not a key
        of `FORMATS`.
    """
    name = one_line(str(path))
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise UsageError(
            f"{name}: the name must end in one of {', '.join(FORMATS)}; save the data in a file with one"
            " of these endings"
        )
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
    """Return the SHA-256 hash of a file's content in hexadecimal form."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes, file_format: str, roles: ColumnRoles, name: str, task: str | None = None) -> DatasetArrays:
    """Read a dataset from the content of its file.

    Parameters
    ----------
    content : bytes
        Content of the file.
    file_format : str
        The value "csv" or "parquet".
    roles : ColumnRoles
        Names of the columns that are not features.
    name : str
        Name of the file in messages.
    task : str, optional
        One of `ledger.objectives.tasks.TASKS`. By default, the values of the target determine the task.

    Raises
    ------
    UsageError
        The file contains a fault. The message is one line with the first fault, its place and a remedy.

    Examples
    --------
    >>> table = read(b"petal,kind\\n1.5,rose\\n,lily\\n", "csv", ColumnRoles("kind"), "flowers.csv")
    >>> table.features.tolist(), table.targets.tolist(), table.labels
    ([[1.5], [nan]], [1, 0], ('lily', 'rose'))
    >>> read(b"area,price\\n50,1.5\\n80,2\\n", "csv", ColumnRoles("price"), "flats.csv").targets.tolist()
    [1.5, 2.0]
    """
    names, rows = _rows(content, file_format, roles, name)
    check_names(names, roles, name, "line 1: " if file_format == "csv" else "")
    columns = inspect(names, rows, roles, name)
    of_name = {column.name: column for column in columns}
    target = of_name[roles.target]
    classes = None
    if (task or task_of(target)) == REGRESSION:
        check_numbers(target, name)
    else:
        classes = labels(target, name)
    roles_of = dict(roles.named())
    features = [column for column in columns if column.name not in roles_of]
    _check_roles(columns, roles_of, name)
    for column in features:
        check_feature(column, name)
    codes = {
        column.name: {text: float(code) for code, text in enumerate(sorted(column.texts))}
        for column in features
        if column.is_text
    }
    encoding = TableEncoding(tuple(names), roles, codes, classes, target.is_text)
    _check_size(columns[0].cells, encoding, name)
    return _build(names, rows, encoding, name)


def read_holdout(content: bytes, file_format: str, encoding: TableEncoding, name: str) -> DatasetArrays:
    """Read the rows of a hold-out file.

    A hold-out file has the same columns as the file with the training rows. The order of the columns may differ.

    If a text in the hold-out file does not occur in the training rows, the function treats the cell as missing.

    Raises
    ------
    UsageError
        The file contains a fault, the columns differ from the columns of the training file, or a class does not occur
        in the training rows. The message is one line with the first fault, its place and a remedy.
    """
    names, rows = _rows(content, file_format, encoding.roles, name)
    check_names(names, encoding.roles, name, "line 1: " if file_format == "csv" else "")
    known, given = set(encoding.names), set(names)
    for column in names:
        if column not in known:
            raise UsageError(
                f"{name}: the file with the training rows has no column {show(column)}; remove this column from the"
                " hold-out file"
            )
    for column in encoding.names:
        if column not in given:
            raise UsageError(
                f"{name}: the hold-out file has no column {show(column)}, but the file with the training rows has this"
                " column; add the column to the hold-out file"
            )
    columns = inspect(names, rows, encoding.roles, name)
    roles_of = dict(encoding.roles.named())
    _check_roles(columns, roles_of, name)
    for summary in columns:
        if summary.name == encoding.roles.target:
            if encoding.labels is None:
                check_numbers(summary, name)
            elif summary.first_missing is not None or not encoding.has_text_labels:
                labels(summary, name)
        elif summary.name not in roles_of and summary.name not in encoding.codes and summary.first_text is not None:
            place, text = summary.first_text
            raise UsageError(
                f"{name}: {place}, column {show(summary.name)}: {show(text)} is text, but the column has numbers in the"
                " training rows; correct the text, or leave the cell empty if the number is missing"
            )
    _check_size(columns[0].cells, encoding, name)
    return _build(names, rows, encoding, name)


def _rows(content: bytes, file_format: str, roles: ColumnRoles, name: str) -> tuple[list[str], Rows]:
    return csv_rows(content, name) if file_format == "csv" else parquet_rows(content, name, roles.time)


def _check_roles(columns: Sequence[ColumnSummary], roles: Mapping[str, str], name: str) -> None:
    for column in columns:
        role = roles.get(column.name, "target")
        if role != "target":
            check_role(column, role, name)


def _check_size(rows: int, encoding: TableEncoding, name: str) -> None:
    width = sum(len(encoding.codes.get(feature, " ")) for feature in encoding.features)
    if rows * width > LARGEST_TABLE:
        raise UsageError(
            f"{name}: {rows:,} rows with {width:,} columns exceed the limit of {LARGEST_TABLE:,} cells (a text"
            " column becomes one column for each of its different texts); leave columns or rows out"
        )


def _build(names: Sequence[str], rows: Rows, encoding: TableEncoding, file: str) -> DatasetArrays:
    """Return the dataset as arrays. `inspect` has already read all rows once, and `_build` reads all rows again."""
    import numpy as np  # A manager imports this module without NumPy.

    # The code stores all cells in one array, because a file can have a hundred thousand columns.
    roles, numbers = encoding.roles, array("d")
    readers = [_reader(name, encoding) for name in names]
    for place, cells in rows():
        for name, cell, read_cell in zip(names, cells, readers, strict=True):
            number = read_cell(cell)
            if number is None:
                raise UsageError(f"{file}: {place}, column {show(name)}: {_unreadable(cell, name, encoding)}")
            numbers.append(number)
    values, place_of = np.frombuffer(numbers).reshape(-1, len(names)), {name: at for at, name in enumerate(names)}
    places: list[int] = []
    # For each feature, the index of the text that the feature represents, or NaN if the feature contains numbers.
    text_codes: list[float] = []
    for name in encoding.features:
        codes = encoding.codes.get(name, {name: math.nan}).values()
        places += [place_of[name]] * len(codes)
        text_codes += sorted(codes)
    features, of_text = values.take(places, axis=1), ~np.isnan(text_codes)
    features[:, of_text] = features[:, of_text] == np.array(text_codes)[of_text]
    targets = values[:, place_of[roles.target]]
    arrays: dict[str, Any] = {
        "features": features,
        "targets": targets.copy() if encoding.labels is None else targets.astype(np.intp),
    }
    if roles.group is not None:
        arrays["groups"] = values[:, place_of[roles.group]].astype(np.intp)
    if roles.weight is not None:
        arrays["weights"] = values[:, place_of[roles.weight]].copy()
        if not np.any(arrays["weights"]):
            raise UsageError(f"{file}: column {show(roles.weight)}: each weight is 0; write a positive weight")
    if roles.time is not None:
        order = np.argsort(values[:, place_of[roles.time]], kind="stable")
        arrays = {name: values_of[order] for name, values_of in arrays.items()}
    for array_ in arrays.values():
        array_.flags.writeable = False
    return DatasetArrays(**arrays, labels=encoding.labels, is_ordered=roles.time is not None, encoding=encoding)


def _reader(name: str, encoding: TableEncoding) -> Callable[[str], float | None]:
    """Return the function that converts a cell of a column to a number.

    The returned function returns None for an invalid cell.
    """
    roles = encoding.roles
    if name == roles.target and encoding.labels is not None:
        code_of = {label: float(code) for code, label in enumerate(encoding.labels)}
        if encoding.has_text_labels:
            return code_of.get
        return lambda cell: code_of.get(parse_whole(cell)) if parse_number(cell) is not None else None
    if name == roles.time:
        return parse_time
    if name == roles.group:
        groups: dict[str, float] = {}
        return lambda cell: groups.setdefault(cell, float(len(groups)))
    codes = encoding.codes.get(name)
    if codes is not None:
        return lambda cell: codes.get(cell, math.nan)
    return parse_number


def _unreadable(cell: str, name: str, encoding: TableEncoding) -> str:
    if name == encoding.roles.time:
        return f"{show(cell)} is not a time; write a number, or a date in ISO 8601 such as 2024-01-31"
    return (
        f"no training row has the class {show(cell)}; correct the class, leave the row out, or add training rows with"
        " this class"
    )
