"""A dataset from a file: csv or parquet, read whole, refused with its place where it cannot be used.

Columns whose values are all numbers stay as they are. A column of text becomes one 0/1 column for each of its values,
in sorted order; a missing text is 0 in all of them. A missing number stays NaN, for the median of the training rows
(see `ledger.objectives.builtin`). The target's values, text or whole numbers, become 0, 1, ... in sorted order.
"""

import csv
import hashlib
import io
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import UsageError
from ledger.text import nearest, one_line, show

if TYPE_CHECKING:
    import numpy as np

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
LARGEST_FILE = 64 * 1024 * 1024  # bytes
# Distinct texts of one column: more are names or free text, which one 0/1 column each tells nothing about.
MOST_TEXTS = 100
LARGEST_TABLE = 2**25  # cells of 8 bytes, text columns spread out; a csv of 64 MB has no more

_MISSING = frozenset({"", "na", "nan", "null"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class Table:
    """A dataset as the models take it.

    Attributes
    ----------
    features : array
        Float, of shape (rows, columns), read-only; NaN where a number is missing.
    classes : array
        Int in [0, number of labels), of shape (rows,), read-only.
    labels : tuple
        What each class was called in the file, sorted: all str or all int.
    """

    features: "np.ndarray[Any, Any]"
    classes: "np.ndarray[Any, Any]"
    labels: tuple[Any, ...]


@dataclass
class _Column:
    """What a first look at a column finds: of some kinds of cells the first, as its place and what it says."""

    name: str
    cells: int = 0
    missing: int = 0
    numbers: int = 0
    text: tuple[str, str] | None = None
    gap: tuple[str, str] | None = None
    fraction: tuple[str, str] | None = None
    # of a feature, one more than `MOST_TEXTS` at most
    texts: set[str] = field(default_factory=set)

    @property
    def is_text(self) -> bool:
        return self.text is not None


# Yields (place, cells) of each row, from the first on; a cell is a str, and a missing one is "".
_Rows = Callable[[], Iterator[tuple[str, Sequence[str]]]]


def read_file(path: Path) -> tuple[bytes, str]:
    """Return the content of a dataset's file, and its format by its name.

    Raises
    ------
    UsageError
        It cannot be read, is larger than `LARGEST_FILE`, or its name ends in neither of `FORMATS`.
    """
    name = one_line(str(path))
    known = FORMATS.get(path.suffix.lower())
    if known is None:
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
    return content, known


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
        The column that holds the class.
    name : str
        The file, for messages.

    Raises
    ------
    UsageError
        Something in it cannot be used: one line, about the first such thing, with its place and the way out.
    """
    names, rows = _csv(content, name) if file_format == "csv" else _parquet(content, name)
    _check_names(names, target, name, "line 1: " if file_format == "csv" else "")
    columns = _look(names, rows, target, name)
    target_at = names.index(target)
    labels = _labels(columns[target_at], name)
    features = [column for column in columns if column.name != target]
    for column in features:
        _check_feature(column, name)
    total = columns[0].cells
    width = sum(len(column.texts) if column.is_text else 1 for column in features)
    if total * width > LARGEST_TABLE:
        raise UsageError(
            f"{name}: {total:,} rows of {width:,} columns, those of text spread out, are more than"
            f" {LARGEST_TABLE:,} cells; leave columns or rows out"
        )
    return _table(columns, rows, target_at, labels)


def check_classes(table: Table, folds: int | None, target: str, name: str) -> None:
    """Raise UsageError unless every class has rows enough to train and to score on.

    Parameters
    ----------
    folds : int or None
        Of a cross-validation; None for a fifth of the rows to score on.
    """
    counts = Counter(table.classes.tolist())
    where = f"{name}: column {show(target)}"
    if len(table.labels) < 2:
        raise UsageError(f"{where}: every row has the class {show(table.labels[0])}; a classifier needs two or more")
    rarest = min(counts, key=lambda one: (counts[one], one))
    label, rows = show(table.labels[rarest]), counts[rarest]
    some = f"class {label} has {rows} row{'s' if rows > 1 else ''}"
    way_out = "add rows or leave the class out"
    if len(table.labels) > 20:  # more classes than most problems have, and then a measure in whole numbers
        way_out += "; for a measure, put it into a few ranges first, since there is no regression"
    if folds is not None and rows < folds:
        raise UsageError(f"{where}: {some}, and each of {folds} folds needs one; {way_out}, or take fewer folds")
    if rows < 2:
        raise UsageError(f"{where}: {some}, and one to train on and one to score on are needed; {way_out}")
    total = len(table.classes)
    scored = math.ceil(total / 5)
    if folds is None and min(scored, total - scored) < len(table.labels):
        raise UsageError(
            f"{where}: a fifth of {total} rows, to score on, is less than one of each of {len(table.labels)} classes;"
            " add rows, or use --cv"
        )


def _csv(content: bytes, name: str) -> tuple[list[str], _Rows]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}: line {line}: not UTF-8; save the file as UTF-8") from None

    def lines() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except csv.Error as error:
            raise UsageError(f"{name}: line {reader.line_num}: {error}; mend the csv there") from None

    first = next(lines(), None)
    if first is None:
        raise UsageError(f"{name}: it is empty; its first line must name the columns")
    names = [cell.strip() for cell in first[1]]

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        found = lines()
        next(found)
        for line, cells in found:
            if len(cells) != len(names):
                raise UsageError(
                    f"{name}: line {line}: {len(cells)} cells, where the first line names {len(names)} columns;"
                    " mend the line"
                )
            yield f"line {line}", [cell.strip() for cell in cells]

    return names, rows


def _parquet(content: bytes, name: str) -> tuple[list[str], _Rows]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            f"{name}: parquet is read by pyarrow, which is not installed here; pip install 'trial-ledger[parquet]', or"
            " save the data as csv"
        ) from None
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        if file.metadata.num_rows * file.metadata.num_columns > LARGEST_TABLE:
            raise UsageError(
                f"{name}: {file.metadata.num_rows:,} rows of {file.metadata.num_columns:,} columns are more than"
                f" {LARGEST_TABLE:,} cells; leave columns or rows out"
            )
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{name}: {one_line(str(error))}; save it as parquet again") from None
    names = [str(column) for column in table.column_names]
    texts: list[list[str]] = []
    for index, column in enumerate(table.columns):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            texts.append(["" if one is None else _as_text(float(one)) for one in column.to_pylist()])
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            texts.append(["" if one is None else str(int(one)) for one in column.to_pylist()])
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
            texts.append(["" if one is None else str(one).strip() for one in column.to_pylist()])
        else:
            raise UsageError(
                f"{name}: column {show(names[index])}: {one_line(str(kind))} is neither number, text nor boolean;"
                " convert the column or leave it out"
            )

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        for row, cells in enumerate(zip(*texts, strict=True), 1):
            yield f"row {row}", cells

    return names, rows


def _as_text(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e18 else repr(number)


def _check_names(names: Sequence[str], target: str, name: str, line: str) -> None:
    for place, column in enumerate(names, 1):
        if not column:
            raise UsageError(f"{name}: {line}column {place} has no name; name it")
        if column in names[: place - 1]:
            raise UsageError(f"{name}: {line}column {show(column)} is there twice; rename one")
    if target not in names:
        between = next((one for one in ";\t|" if len(names) == 1 and one in names[0]), None)
        hint = f"; commas, not {show(between)}, must stand between the columns" if between else nearest(target, names)
        raise UsageError(f"{name}: there is no column {show(target)} for the target{hint}")
    if len(names) == 1:
        raise UsageError(f"{name}: there is no column beside the target {show(target)}; add some to learn from")


def _look(names: Sequence[str], rows: _Rows, target: str, name: str) -> list[_Column]:
    columns = [_Column(column) for column in names]
    limits = [math.inf if column == target else MOST_TEXTS for column in names]
    for place, cells in rows():
        for column, limit, cell in zip(columns, limits, cells, strict=True):
            column.cells += 1
            number = _number(cell)
            if number is None:
                if column.text is None:
                    column.text = (place, cell)
            elif math.isnan(number):
                column.missing += 1
                if column.gap is None:
                    column.gap = (place, cell)
                continue
            elif math.isinf(number):
                raise UsageError(
                    f"{name}: {place}, column {show(column.name)}: {show(cell)} is not finite; write a number, or"
                    " nothing where it is missing"
                )
            else:
                column.numbers += 1
                if column.fraction is None and not (_WHOLE.fullmatch(cell) or number.is_integer()):
                    column.fraction = (place, cell)
            if len(column.texts) <= limit:
                column.texts.add(cell)
    if not columns[0].cells:
        raise UsageError(f"{name}: no rows; add them below the names of the columns")
    return columns


def _number(cell: str) -> float | None:
    """Return the number that a cell holds, NaN where it is missing, None where it is text."""
    if cell.lower() in _MISSING:
        return math.nan
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _check_feature(column: _Column, name: str) -> None:
    where = f"column {show(column.name)}"
    if column.missing == column.cells:
        raise UsageError(f"{name}: {where} has no value in any row; leave it out")
    if column.text is None:
        return
    place, text = column.text
    if column.numbers > (column.cells - column.missing) / 2:
        raise UsageError(
            f"{name}: {place}, {where}: {show(text)} is text in a column of numbers; mend it, or leave the cell empty"
            " where the number is missing"
        )
    if len(column.texts) > MOST_TEXTS:
        raise UsageError(
            f"{name}: {where} has more than {MOST_TEXTS} different texts, as names or free text have; leave it out, or"
            " put them into groups"
        )


def _labels(column: _Column, name: str) -> tuple[Any, ...]:
    where = f"column {show(column.name)}"
    if column.gap is not None:
        raise UsageError(f"{name}: {column.gap[0]}, {where}: the class is missing; fill it in or leave the row out")
    if column.is_text:
        return tuple(sorted(column.texts))
    if column.fraction is not None:
        place, cell = column.fraction
        raise UsageError(
            f"{name}: {place}, {where}: {cell} has a fraction, and classes are text or whole numbers; there is no"
            " regression, so put a measure into ranges, or write an objective of your own"
        )
    return tuple(sorted({_whole(cell) for cell in column.texts}))


def _whole(cell: str) -> int:
    return int(cell) if _WHOLE.fullmatch(cell) else int(float(cell))


def _table(columns: Sequence[_Column], rows: _Rows, target_at: int, labels: Sequence[Any]) -> Table:
    import numpy as np  # here, because a manager's imports lead to this module

    of_class = {label: code for code, label in enumerate(labels)}
    label_of: Callable[[str], Any] = str if columns[target_at].is_text else _whole
    classes = array("q")
    # of a text column, the place of its text among all, or NaN
    codes = [
        {text: float(code) for code, text in enumerate(sorted(one.texts))} if one.is_text else None for one in columns
    ]
    found = [array("d") for _ in columns]
    for _, cells in rows():
        for index, cell in enumerate(cells):
            of_text = codes[index]
            if index == target_at:
                classes.append(of_class[label_of(cell)])
            elif of_text is not None:
                found[index].append(of_text.get(cell, math.nan))
            else:
                found[index].append(_number(cell))  # type: ignore[arg-type]  # the first look saw no text
    parts = []
    for index, values in enumerate(found):
        if index == target_at:
            continue
        column = np.frombuffer(values)
        of_text = codes[index]
        parts.append(column[:, None] if of_text is None else column[:, None] == np.arange(len(of_text)))
    table = Table(
        np.hstack([part.astype(float, copy=False) for part in parts]),
        np.frombuffer(classes, dtype=np.int64).astype(np.intp),
        tuple(labels),
    )
    for one in (table.features, table.classes):
        one.flags.writeable = False
    return table
