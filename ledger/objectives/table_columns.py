"""Summaries and checks of a dataset's columns. A feature contains numbers or text, and the target contains classes."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import UsageError
from ledger.objectives.table_cells import Rows
from ledger.text import nearest, show

# Largest number of different texts in a column. A column with more than `MOST_TEXTS` texts probably contains names or
# free text. A model cannot learn from names or free text.
MOST_TEXTS = 100

_MISSING = frozenset({"", "na", "nan", "null"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass
class ColumnSummary:
    """The counts and the kinds of the cells in one column of a csv or parquet file.

    Attributes
    ----------
    name : str
        Name of the column.
    cells, missing, numbers : int
        Number of all cells, number of missing cells, and number of cells that contain a number.
    first_text, first_missing, first_fraction : (str, str) or None
        Each attribute is the place and the content of the first cell of one kind (text, missing or fractional number).
        An attribute is None if the column has no cell of the attribute's kind.
    texts : set of str
        The distinct contents of the cells that are not missing. For a feature, `texts` contains at most `MOST_TEXTS` +
        1 contents.
    """

    name: str
    cells: int = 0
    missing: int = 0
    numbers: int = 0
    first_text: tuple[str, str] | None = None
    first_missing: tuple[str, str] | None = None
    first_fraction: tuple[str, str] | None = None
    texts: set[str] = field(default_factory=set)

    @property
    def is_text(self) -> bool:
        """Whether the column contains a cell with text."""
        return self.first_text is not None


def check_names(names: Sequence[str], target: str, file: str, line: str) -> None:
    """Check the names of the columns.

    Parameters
    ----------
    names : sequence of str
        Names of all columns.
    target : str
        Name of the column that contains the class.
    file, line : str
        Name of the file and place of the column names, for messages. The place is an empty text for a parquet file,
        which has no lines.

    Raises
    ------
    UsageError
        A name is empty or occurs twice, the target is missing, or the target is the only column.
    """
    earlier: set[str] = set()
    for place, column in enumerate(names, 1):
        if not column:
            raise UsageError(f"{file}: {line}column {place} has no name; give the column a name")
        if column in earlier:
            raise UsageError(f"{file}: {line}two columns have the name {show(column)}; rename one of the two columns")
        earlier.add(column)
    if target not in names:
        separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
        hint = f"; separate the columns by commas, not by {show(separator)}" if separator else nearest(target, names)
        raise UsageError(f"{file}: no column is named {show(target)}, which is the target{hint}")
    if len(names) == 1:
        raise UsageError(f"{file}: the target {show(target)} is the only column; add columns with features")


def inspect(names: Sequence[str], rows: Rows, target: str, file: str) -> list[ColumnSummary]:
    """Read all rows once and return a summary of each column.

    Raises
    ------
    UsageError
        A number in the file is not finite, or the file has no rows.
    """
    columns = [ColumnSummary(name) for name in names]
    limits = [math.inf if name == target else MOST_TEXTS for name in names]
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
                if column.first_fraction is None and not (_WHOLE.fullmatch(cell) or number.is_integer()):
                    column.first_fraction = (place, cell)
            if len(column.texts) <= limit:
                column.texts.add(cell)
    if not columns[0].cells:
        raise UsageError(f"{file}: the file has no rows; add rows below the names of the columns")
    return columns


def parse_number(cell: str) -> float | None:
    """Return the number in a cell. The result is NaN for a missing cell and None for a cell with text."""
    if cell.lower() in _MISSING:
        return math.nan
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def parse_whole(cell: str) -> int:
    """Return the integer in a cell."""
    return int(cell) if _WHOLE.fullmatch(cell) else int(float(cell))


def check_feature(column: ColumnSummary, file: str) -> None:
    """Raise a UsageError if a feature is empty, mixes numbers with text, or has too many different texts."""
    where = f"column {show(column.name)}"
    if column.missing == column.cells:
        raise UsageError(f"{file}: {where} has no value in any row; leave the column out")
    if column.first_text is None:
        return
    place, text = column.first_text
    if column.numbers > (column.cells - column.missing) / 2:
        raise UsageError(
            f"{file}: {place}, {where}: {show(text)} is text in a column of numbers; correct the text, or leave the"
            " cell empty if the number is missing"
        )
    if len(column.texts) > MOST_TEXTS:
        raise UsageError(
            f"{file}: {where} has more than {MOST_TEXTS} different texts, such as names or free text; leave the column"
            " out, or put the texts into groups"
        )


def labels(column: ColumnSummary, file: str) -> tuple[Any, ...]:
    """Return the sorted classes of the target. All classes are strings, or all classes are integers.

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
            " the numbers into ranges, or write your own objective for a regression"
        )
    return tuple(sorted({parse_whole(cell) for cell in column.texts}))
