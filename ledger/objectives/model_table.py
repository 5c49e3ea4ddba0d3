"""Conversion of a user's table to the features that a kept model needs.

A table is a pandas data frame or a two-dimensional array. The module `ledger.objectives.tabular` converts a data file
by the same rules, with one difference: in a table, a text that does not occur in the training rows is an error. This
module does not import pandas. Only a user's program that passes a data frame needs pandas.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ledger.errors import UsageError
from ledger.objectives.model_document import InputColumn, MissingNumbers
from ledger.objectives.table_cells import float_text
from ledger.objectives.table_columns import MISSING, parse_number
from ledger.text import nearest, one_line, show

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# By default, `pandas.read_csv` reads these texts as missing cells, but a study reads them as texts.
_MISSING_IN_PANDAS = frozenset(
    (
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "None",
        "n/a",
    )
)
_BOOLEANS = ("True", "False")
# Largest number of names in a message.
_MOST_NAMES = 5


def features(table: Any, columns: Sequence[InputColumn], missing_numbers: MissingNumbers) -> "Array":
    """Return the features of each row of a table, as a float array.

    Parameters
    ----------
    table : pandas.DataFrame or array of shape (rows, columns)
        A data frame must have exactly the columns in `columns`, in the same order. An array must have one column for
        each element of `columns`. The function converts a table of another library by its method `to_pandas`.
    columns : sequence of InputColumn
    missing_numbers : str
        The value of the attribute `ModelDocument.missing_numbers`.

    Raises
    ------
    UsageError
        The columns of the table do not match `columns`, or a cell contains an invalid number or an unknown text. The
        function also raises UsageError if a number is missing and the model cannot replace missing numbers. The message
        is one line. In the message, the first row has the number 0.

    Examples
    --------
    >>> columns = [InputColumn(name="area"), InputColumn(name="town", texts=["Bern", "Thun"])]
    >>> features([[50, "Thun"], [80.5, None]], columns, "refused").tolist()
    [[50.0, 0.0, 1.0], [80.5, 0.0, 0.0]]
    >>> features([[50, "Thum"]], columns, "refused")
    Traceback (most recent call last):
    ledger.errors.UsageError: row 0, column "town": no training row has the text "Thum"; did you mean 'Thun'?
    """
    import numpy as np

    parts = []
    for column, cells in zip(columns, _cells(table, columns), strict=True):
        if column.texts is None:
            numbers = _numbers(column.name, cells)
            _check_finite(column.name, numbers, missing_numbers)
            parts.append(numbers.reshape(-1, 1))
        else:
            parts.append(_indicators(column.name, column.texts, cells))
    return np.hstack(parts)


def _cells(table: Any, columns: Sequence[InputColumn]) -> Iterator[Any]:
    """Yield the cells of each column as an array. For a data frame, a missing cell is NaN in a float column, and None
    in any other column.
    """
    import numpy as np

    names = [column.name for column in columns]
    if _is_data_frame(table):
        _check_names([str(name) for name in table.columns], names)
        _check_rows(len(table))
        for place in range(len(names)):
            cells = table.iloc[:, place]
            if getattr(cells.dtype, "kind", "O") in "iufb" and isinstance(cells.dtype, np.dtype):
                yield cells.to_numpy()
            else:
                yield cells.astype(object).where(cells.notna().to_numpy(), None).to_numpy(dtype=object)
        return
    if isinstance(table, np.ma.MaskedArray):
        raise UsageError("the array has a mask; pass an array in which each missing number is NaN")
    if not isinstance(table, np.ndarray) and (hasattr(table, "columns") or hasattr(table, "column_names")):
        yield from _cells(_data_frame(table), columns)
        return
    if not isinstance(table, np.ndarray):
        _check_kinds(table)
        # With `dtype=object`, NumPy does not change the cells. Without `dtype=object`, a single text in the list would
        # make NumPy convert all cells to texts.
        table = np.array(table, dtype=object) if isinstance(table, list | tuple) else np.asarray(table)
    if table.ndim != 2 or table.shape[1] != len(names):
        shape = " x ".join(map(str, table.shape)) or "a single value"
        raise UsageError(
            f"the model predicts from a table with {len(names)} columns ({_listed(names)}), but the array has the shape"
            f" {shape}; pass one row for each prediction and one column for each name, in this order"
        )
    _check_rows(len(table))
    yield from table.T


def _data_frame(table: Any) -> Any:
    """Convert a table of another library, such as a table of PyArrow or Polars, to a pandas data frame."""
    kind = f"{type(table).__module__}.{type(table).__name__}"
    try:
        frame = table.to_pandas()
    except Exception as error:  # The method belongs to another library.
        raise UsageError(
            f"the table is of the type {kind}, which cannot be converted to a pandas data frame"
            f" ({type(error).__name__}: {one_line(str(error))}); pass a pandas data frame"
        ) from error
    if not _is_data_frame(frame):
        raise UsageError(f"the table is of the type {kind}; pass a pandas data frame")
    return frame


def _is_data_frame(table: Any) -> bool:
    # A data frame of Dask has no method `to_numpy`, because Dask has not computed the cells.
    return all(hasattr(table, name) for name in ("columns", "iloc", "to_numpy"))


def _check_kinds(rows: Any) -> None:
    """Raise a UsageError if a row of a list has names or a mask, which NumPy would not keep."""
    import numpy as np

    for place, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
        if hasattr(row, "iloc") or isinstance(row, np.ma.MaskedArray):
            lost = "a mask" if isinstance(row, np.ma.MaskedArray) else "names"
            raise UsageError(
                f"row {place} of the list has {lost}, which the model cannot use; pass a pandas data frame, or rows"
                " that are lists"
            )


def _check_rows(rows: int) -> None:
    if not rows:
        raise UsageError("the table has no rows; pass at least one row")


def _check_names(given: Sequence[str], known: Sequence[str]) -> None:
    """Raise a UsageError if the columns of a data frame differ from the model's columns, or have another order."""
    if list(given) == list(known):
        return
    way_out = "; pass `frame[list(model.columns)]`, which has the columns of the model in the right order"
    expected, present = set(known), set(given)
    missing = [name for name in known if name not in present]
    for name in given:
        if name not in expected:
            raise UsageError(f"the model has no column {show(name)}{nearest(name, missing) if missing else way_out}")
    if missing:
        raise UsageError(f"the table has no column {_listed(missing)}; add the columns that the model needs")
    repeated = next((name for place, name in enumerate(given) if name in given[:place]), None)
    if repeated is not None:
        raise UsageError(f"two columns of the table have the name {show(repeated)}; remove one of the two columns")
    place = next(place for place, name in enumerate(known) if name != given[place])
    raise UsageError(
        f"the columns of the table are in the wrong order: column {place} is {show(given[place])}, but the model"
        f" expects {show(known[place])}{way_out}"
    )


def _listed(names: Sequence[str]) -> str:
    more = "" if len(names) <= _MOST_NAMES else f" and {len(names) - _MOST_NAMES} more"
    return ", ".join(show(name) for name in names[:_MOST_NAMES]) + more


def _numbers(name: str, cells: Any) -> "Array":
    import numpy as np

    if cells.dtype.kind in "iufb":
        return np.array(cells, dtype=float)
    return np.array([_number(name, row, cell) for row, cell in enumerate(cells)], dtype=float)


def _number(name: str, row: int, cell: Any) -> float:
    if _is_missing(cell):
        return math.nan
    if isinstance(cell, str):
        number = parse_number(cell.strip())
    else:
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = None
    if number is None:
        raise UsageError(
            f"row {row}, column {show(name)}: {show(cell)} is not a number, but the column has numbers in the training"
            " rows; correct the cell, or leave it empty if the number is missing"
        )
    return number


def _check_finite(name: str, numbers: "Array", missing_numbers: MissingNumbers) -> None:
    import numpy as np

    place = np.flatnonzero(np.isinf(numbers))
    if place.size:
        raise UsageError(f"row {place[0]}, column {show(name)}: the number is not finite; pass a finite number")
    place = np.flatnonzero(np.isnan(numbers))
    if place.size and missing_numbers == "refused":
        raise UsageError(
            f"row {place[0]}, column {show(name)}: the number is missing, but the training rows have no missing number,"
            " so the model cannot replace it; fill the number in, or leave the row out"
        )


def _indicators(name: str, texts: Sequence[str], cells: Iterable[Any]) -> "Array":
    """Return one feature for each text. A feature is 1 in the rows that contain its text."""
    import numpy as np

    code_of = {text: code for code, text in enumerate(texts)}
    codes = [_code(name, row, cell, code_of) for row, cell in enumerate(cells)]
    indicators: Array = (np.array(codes).reshape(-1, 1) == np.arange(len(texts))).astype(float)
    return indicators


def _code(name: str, row: int, cell: Any, code_of: dict[str, int]) -> int:
    """Return the code of the text in a cell. For a missing cell, return -1."""
    if _is_missing(cell):
        if not isinstance(cell, str) and (lost := sorted(_MISSING_IN_PANDAS & code_of.keys())):
            raise UsageError(
                f"row {row}, column {show(name)}: the text is missing, but pandas also reads the known text"
                f" {show(lost[0])} as missing; read the table with keep_default_na=False, or pass an empty text"
            )
        return -1
    found = [text for text in _texts_of(cell) if text in code_of]
    if len(found) > 1 and str(cell) in _BOOLEANS:
        raise UsageError(
            f"row {row}, column {show(name)}: the training rows have the texts {_listed(found)}, and each can stand for"
            f" {show(str(cell))}; read the column as text, with dtype=str"
        )
    if found:
        return code_of[found[0]]
    shown = cell if isinstance(cell, str) else str(cell)
    raise UsageError(
        f"row {row}, column {show(name)}: no training row has the text {show(shown)}{nearest(shown, code_of)}"
    )


def _texts_of(cell: Any) -> tuple[str, ...]:
    """Return the texts that can represent a cell in a data file."""
    if isinstance(cell, str):
        return (cell.strip(),)
    text = str(cell)
    if text in _BOOLEANS:
        # pandas reads three spellings of each boolean: "True", "true" and "TRUE", and the same spellings of "False".
        return text, text.lower(), text.upper()
    try:
        return (text, float_text(float(cell)))
    except (TypeError, ValueError, OverflowError):
        return (one_line(text),)


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    try:
        return bool(cell != cell)  # NaN of any type
    except (TypeError, ValueError):
        return False
