"""Functions that read the rows of csv and parquet files.

The functions return each row as a pair. The first element of the pair is the place of the row, such as "line 2". The
second element is the sequence of the row's cells. Each cell is a text.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from ledger.errors import UsageError
from ledger.text import one_line, show

# Largest number of cells in a table. After the encoding of the text columns, each cell needs 8 bytes. In a csv file,
# each cell with content needs at least one character and a separator. Therefore even the largest allowed csv file has
# at most `LARGEST_TABLE` cells with content.
LARGEST_TABLE = 2**25

# Function that yields the place and the cells of each row. Each call of a `Rows` function begins with the first row of
# the file. A missing cell is "".
Rows = Callable[[], Iterator[tuple[str, Sequence[str]]]]


def csv_rows(content: bytes, name: str) -> tuple[list[str], Rows]:
    """Return the column names and the rows of a csv file.

    Parameters
    ----------
    content : bytes
        Content of the file in UTF-8.
    name : str
        Name of the file in messages.

    Raises
    ------
    UsageError
        The file is empty, or the encoding of the file is not UTF-8. The returned function `rows` raises a UsageError if
        a line is not valid csv, or if a line does not have the same number of cells as the first line.
    """
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
            raise UsageError(f"{name}: line {reader.line_num}: {error}; correct this line of the csv file") from None

    first = next(lines(), None)
    if first is None:
        raise UsageError(f"{name}: the file is empty; its first line must name the columns")
    names = [cell.strip() for cell in first[1]]

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        numbered = lines()
        next(numbered)
        for line, cells in numbered:
            if len(cells) != len(names):
                raise UsageError(
                    f"{name}: line {line}: the line has {len(cells)} cells, but the first line names {len(names)}"
                    " columns; correct the line"
                )
            yield f"line {line}", [cell.strip() for cell in cells]

    return names, rows


def parquet_rows(content: bytes, name: str, time: str | None = None) -> tuple[list[str], Rows]:
    """Return the column names and the rows of a parquet file.

    Parameters
    ----------
    content : bytes
        Content of the file.
    name : str
        Name of the file in messages.
    time : str, optional
        Name of the only column that may contain dates or times.

    Raises
    ------
    UsageError
        The package pyarrow is not installed, or the file is not a valid parquet file. The function also raises
        UsageError if the file has more than `LARGEST_TABLE` cells, or if the type of a column is not number, text or
        boolean.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(
            f"{name}: a parquet file needs pyarrow, which is not installed: pip install 'trial-ledger[parquet]', or"
            " save the data as csv"
        ) from None
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        if file.metadata.num_rows * file.metadata.num_columns > LARGEST_TABLE:
            raise UsageError(
                f"{name}: {file.metadata.num_rows:,} rows with {file.metadata.num_columns:,} columns exceed the limit"
                f" of {LARGEST_TABLE:,} cells; leave columns or rows out"
            )
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{name}: {one_line(str(error))}; save the file as parquet again") from None
    names = [str(column) for column in table.column_names]
    columns: list[list[str]] = []
    for index, column in enumerate(table.columns):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            columns.append(["" if value is None else float_text(float(value)) for value in column.to_pylist()])
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            columns.append(["" if value is None else str(int(value)) for value in column.to_pylist()])
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
            columns.append(["" if value is None else str(value).strip() for value in column.to_pylist()])
        elif names[index] == time and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            microseconds = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
            columns.append(["" if value is None else value.isoformat() for value in microseconds.to_pylist()])
        else:
            raise UsageError(
                f"{name}: column {show(names[index])}: the type {one_line(str(kind))} is not number, text or boolean;"
                " convert the column or leave it out"
            )

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        for row, cells in enumerate(zip(*columns, strict=True), 1):
            yield f"row {row}", cells

    return names, rows


def float_text(value: float) -> str:
    """Return the text of a cell that contains a number.

    Examples
    --------
    >>> float_text(3.0), float_text(0.5)
    ('3', '0.5')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e18 else repr(value)
