"""Summaries and checks of a dataset's columns.

A feature contains numbers or text. The target contains the classes of a classification, or the numbers of a regression.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ledger.errors import UsageError
from ledger.objectives.table_cells import Rows
from ledger.objectives.tasks import CLASSIFICATION, MOST_CLASSES, REGRESSION
from ledger.text import nearest, show

# Maximum number of distinct texts in a column. A column with more than `MOST_TEXTS` texts probably contains names or
# free text. A model cannot learn from names or free text.
MOST_TEXTS = 100

# The texts that represent a missing number, in lower case.
MISSING = frozenset({"", "na", "nan", "null"})
# `float` accepts the texts "inf" and "nan". The set contains the first letters of "inf", of "nan", and of the texts in
# `MISSING`, in upper and lower case.
_LETTERS_OF_NUMBERS = frozenset("iInN")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


@dataclass(frozen=True)
class ColumnRoles:
    """The names of the columns with a special role in a data file: the target, the group, the time and the weight.

    All other columns are features.

    Attributes
    ----------
    target : str
        The column that the model predicts.
    group : str or None
        The column that contains the group of each row. For example, a group contains all rows of one patient. In a
        split, either all rows of a group are training rows, or all rows of the group are test rows.
    time : str or None
        The column that contains the time of each row. In each split, the test rows have later times than the training
        rows.
    weight : str or None
        The column that contains the weight of each row.

    Examples
    --------
    >>> dict(ColumnRoles("price", weight="area").named())
    {'price': 'target', 'area': 'weight column'}
    """

    target: str
    group: str | None = None
    time: str | None = None
    weight: str | None = None

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the role of each column that is not a feature."""
        for role in ("target", "group", "time", "weight"):
            column = getattr(self, role)
            if column is not None:
                yield column, role if role == "target" else f"{role} column"


@dataclass(slots=True)
class ColumnSummary:
    """A summary of the cells in one column of a csv or parquet file.

    Attributes
    ----------
    name : str
        Name of the column.
    cells, missing, numbers : int
        Number of all cells, number of missing cells, and number of cells that contain a number.
    first_text, first_missing, first_fraction, first_negative : (str, str) or None
        Place and content of a cell. The four cells are the first cell with text, the first missing cell, the first cell
        with a fractional number, and the first cell with a negative number. For example, `first_text` is None if no
        cell of the column contains text.
    texts : set of str
        The distinct contents of the cells that are not missing. For a feature, `texts` contains at most `MOST_TEXTS` +
        1 elements.
    """

    name: str
    cells: int = 0
    missing: int = 0
    numbers: int = 0
    first_text: tuple[str, str] | None = None
    first_missing: tuple[str, str] | None = None
    first_fraction: tuple[str, str] | None = None
    first_negative: tuple[str, str] | None = None
    texts: set[str] = field(default_factory=set)

    @property
    def is_text(self) -> bool:
        """Whether the column contains a cell with text."""
        return self.first_text is not None


def check_names(names: Sequence[str], roles: ColumnRoles, file: str, line: str) -> None:
    """Check the names of the columns.

    Parameters
    ----------
    names : sequence of str
        Names of all columns.
    roles : ColumnRoles
        Names of the target column, the group column, the time column and the weight column.
    file, line : str
        Two texts for error messages: the name of the file, and the place of the column names in the file. For a parquet
        file, the place is an empty text, because a parquet file has no lines.

    Raises
    ------
    UsageError
        A name is empty or occurs twice, or a column has two roles. The function also raises UsageError if a column of
        `roles` is missing from the file, or if no column is a feature.
    """
    earlier: set[str] = set()
    for place, column in enumerate(names, 1):
        if not column:
            raise UsageError(f"{file}: {line}column {place} has no name; give the column a name")
        if column in earlier:
            raise UsageError(f"{file}: {line}two columns have the name {show(column)}; rename one of the two columns")
        earlier.add(column)
    taken: dict[str, str] = {}
    for column, role in roles.named():
        if column not in earlier:
            separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
            hint = (
                f"; separate the columns by commas, not by {show(separator)}" if separator else nearest(column, names)
            )
            raise UsageError(f"{file}: the {role} {show(column)} is not a column of the file{hint}")
        if column in taken:
            raise UsageError(
                f"{file}: the column {show(column)} is the {taken[column]} and the {role}; name two different columns"
            )
        taken[column] = role
    if len(names) == 1:
        raise UsageError(f"{file}: the target {show(roles.target)} is the only column; add columns with features")
    if len(names) == len(taken):
        raise UsageError(f"{file}: each column has a role ({', '.join(taken.values())}); add columns with features")


def inspect(names: Sequence[str], rows: Rows, roles: ColumnRoles, file: str) -> list[ColumnSummary]:
    """Read all rows once and return a summary of each column.

    Raises
    ------
    UsageError
        A number in the file is not finite, or the file has no rows.
    """
    columns = [ColumnSummary(name) for name in names]
    limits = [math.inf if name == roles.target else MOST_TEXTS for name in names]
    for place, cells in rows():
        for column, limit, cell in zip(columns, limits, cells, strict=True):
            column.cells += 1
            number = parse_number(cell)
            if number is None:
                if column.first_text is None:
                    column.first_text = (place, cell)
            elif math.isnan(number):
                column.missing += 1
                if column.first_missing is None:
                    column.first_missing = (place, cell)
                continue
            elif math.isinf(number):
                raise UsageError(
                    f"{file}: {place}, column {show(column.name)}: {show(cell)} is not finite; write a finite number,"
                    " or leave the cell empty if the number is missing"
                )
            else:
                column.numbers += 1
                if column.first_fraction is None and not number.is_integer():
                    column.first_fraction = (place, cell)
                if column.first_negative is None and number < 0:
                    column.first_negative = (place, cell)
            if len(column.texts) <= limit:
                column.texts.add(cell)
    if not columns[0].cells:
        raise UsageError(f"{file}: the file has no rows; add rows below the names of the columns")
    return columns


def parse_number(cell: str) -> float | None:
    """Return the number in a cell. The result is NaN for a missing cell and None for a cell with text."""
    # A file may have a hundred thousand columns. Therefore the code avoids the slow ValueError of `float` for most
    # texts. In ASCII, ":" comes after the digits and the signs. Therefore the comparison with ":" quickly finds most
    # cells that contain a number.
    if cell > ":" and cell[0].isalpha() and cell[0] not in _LETTERS_OF_NUMBERS:
        return None
    try:
        number = float(cell)
    except ValueError:
        return math.nan if cell.lower() in MISSING else None
    return None if "_" in cell else number


def parse_whole(cell: str) -> int:
    """Return the integer in a cell."""
    return int(cell) if _WHOLE.fullmatch(cell) else int(float(cell))


def check_feature(column: ColumnSummary, file: str) -> None:
    """Raise a UsageError if a feature is empty, mixes numbers with text, or has too many different texts."""
    if column.missing == column.cells:
        raise UsageError(f"{file}: column {show(column.name)} has no value in any row; leave the column out")
    if column.first_text is None:
        return
    if column.numbers > (column.cells - column.missing) / 2:
        place, text = column.first_text
        raise UsageError(
            f"{file}: {place}, column {show(column.name)}: {show(text)} is text in a column of numbers; correct"
            " the text, or leave the cell empty if the number is missing"
        )
    if len(column.texts) > MOST_TEXTS:
        raise UsageError(
            f"{file}: column {show(column.name)} has more than {MOST_TEXTS} different texts, such as names or free"
            " text; leave the column out, or put the texts into groups"
        )


def parse_time(cell: str) -> float | None:
    """Convert the time in a cell to a number.

    Return None if the cell contains neither a number nor an ISO 8601 date.

    If a date has no offset from UTC, the function treats the date as a date in UTC.

    Examples
    --------
    >>> parse_time("2024-01-31") < parse_time("2024-01-31T12:00:00+02:00") < parse_time("2024-02")
    True
    >>> parse_time("31.1.2024")
    """
    number = parse_number(cell)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(f"{cell}-01" if _MONTH.fullmatch(cell) else cell)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def check_role(column: ColumnSummary, role: str, file: str) -> None:
    """Raise a UsageError if a cell of a group, time or weight column is missing or contains an invalid value.

    Parameters
    ----------
    column : ColumnSummary
        The column to check.
    role : {"group column", "time column", "weight column"}
        The role of the column.
    file : str
        Name of the file in messages.
    """
    where = f"column {show(column.name)}"
    if column.first_missing is not None:
        place, _ = column.first_missing
        what = role.removesuffix(" column")
        raise UsageError(f"{file}: {place}, {where}: the {what} is missing; add the {what} or leave the row out")
    if role == "weight column" and (fault := column.first_text or column.first_negative) is not None:
        place, cell = fault
        raise UsageError(f"{file}: {place}, {where}: {show(cell)} is not a weight; write a number that is 0 or larger")
    if role == "time column" and column.first_text is not None and column.numbers:
        place, cell = column.first_text
        raise UsageError(
            f"{file}: {place}, {where}: {show(cell)} is text in a time column that also contains numbers; write all"
            " times as numbers, or all times as dates such as 2024-01-31"
        )


def task_of(column: ColumnSummary) -> str:
    """Return the task (classification or regression) that fits the values of a target column.

    The task is a classification if the target contains text, or at most `MOST_CLASSES` different whole numbers. The
    task is a regression if the target contains a fractional number, or more than `MOST_CLASSES` different whole
    numbers.
    """
    if column.is_text:
        return CLASSIFICATION
    if column.first_fraction is not None:
        return REGRESSION
    present = {cell for cell in column.texts if cell.lower() not in MISSING}
    return REGRESSION if len({parse_whole(cell) for cell in present}) > MOST_CLASSES else CLASSIFICATION


def check_numbers(column: ColumnSummary, file: str) -> None:
    """Raise a UsageError if a value of a regression's target is missing or is not a number."""
    where = f"column {show(column.name)}"
    if column.first_text is not None:
        place, cell = column.first_text
        raise UsageError(
            f"{file}: {place}, {where}: {show(cell)} is text, but the target of a regression is a number; correct the"
            " text, or use --task classification"
        )
    if column.first_missing is not None:
        place, _ = column.first_missing
        raise UsageError(f"{file}: {place}, {where}: the value is missing; add the value or leave the row out")


def labels(column: ColumnSummary, file: str) -> tuple[Any, ...]:
    """Return the sorted classes of a classification's target. All classes are strings, or all classes are integers.

    Raises
    ------
    UsageError
        A class is missing or is a fractional number.
    """
    where = f"column {show(column.name)}"
    if column.first_missing is not None:
        place, _ = column.first_missing
        raise UsageError(f"{file}: {place}, {where}: the class is missing; add the class or leave the row out")
    if column.is_text:
        return tuple(sorted(column.texts))
    if column.first_fraction is not None:
        place, cell = column.first_fraction
        raise UsageError(
            f"{file}: {place}, {where}: {cell} is not a whole number, but a class must be text or a whole number; put"
            " the numbers into ranges, or use --task regression"
        )
    return tuple(sorted({parse_whole(cell) for cell in column.texts}))
