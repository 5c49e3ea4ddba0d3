"""Import of finished trials from a CSV file. Each line of the file describes one trial.

The CSV file has a column for each parameter, and one column that contains either the losses or the values.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ledger.database.trials import ExternalTrial
from ledger.errors import UsageError
from ledger.imports.history import UncheckedTrial, finite_number
from ledger.objectives import ValueScale
from ledger.study.space import Space
from ledger.text import nearest, show

# Prefix of each parameter's name in the header that `ledger export --format csv` writes.
PREFIX = "params_"


def read_rows(
    place: str, content: bytes, result: str, space: Space, *, ignore_extra: bool, scale: ValueScale | None = None
) -> Iterator[UncheckedTrial]:
    """Check the header of a CSV file, and yield the rows of the file.

    Parameters
    ----------
    place : str
        The name of the file, for error messages.
    result : str
        Name of the column of results. The column contains losses if `scale` is None, and contains values otherwise.
    ignore_extra : bool
        If `ignore_extra` is True, the function ignores each column that is neither a parameter nor `result`.
    scale : ValueScale, optional
        The scale that converts the values in the column `result` to losses. If `scale` is None, the column `result`
        already contains losses.

    Raises
    ------
    UsageError
        The file is not a csv file of finished trials. The message is one line that names the place of the error in the
        file.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    # With `strict=True`, the reader raises an error if a quotation mark is not closed. Without `strict=True`, all text
    # after the quotation mark would become one cell.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table = _ResultTableReader(space, result, scale)
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = table.columns(f"{place}:1", header, ignore_extra=ignore_extra)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield UncheckedTrial(f"{place}:{reader.line_num}", partial(table.read, columns, len(header), cells))
    except csv.Error as error:
        raise UsageError(f"{place}:{max(reader.line_num, 1)}: {error}; correct this line of the csv file") from None


@dataclass(frozen=True)
class _ResultTableReader:
    """A reader of a CSV file with results of trials. The file has a column for each parameter, and one column of
    results.

    `result` is the name of the column of results. If `scale` is None, the results are losses. If `scale` is a
    `ValueScale`, the results are values.
    """

    space: Space
    result: str
    scale: ValueScale | None

    @property
    def kind(self) -> str:
        return "loss" if self.scale is None else "value"

    @property
    def way_out(self) -> str:
        return "use --loss to name the column of the losses, or --value to name the column of the values"

    def columns(self, place: str, header: Sequence[str], *, ignore_extra: bool) -> dict[str, int]:
        """Return a dict that maps the name of each parameter, and the name `result`, to the index of a column."""
        result, space = self.result, self.space
        if not any(header):
            raise UsageError(
                f"{place}: the file has no header; write a header with {', '.join([*space.names, result])}"
            )
        known: set[str] = set()
        for name in filter(None, header):
            if name in known:
                raise UsageError(f"{place}: two columns are named {show(name)}; rename one of the two")
            known.add(name)
        # If the header has both a column NAME and a column params_NAME, the column NAME contains the parameter.
        named = {name: name if name in known else PREFIX + name for name in space.names}
        if result in named:
            raise UsageError(f"{place}: column {show(result)} is a parameter; {self.way_out}")
        wanted = {*named.values(), result}
        for name, column in [*named.items(), (result, result)]:
            if column not in known:
                what = f"the {self.kind}" if name == result else "parameter"
                way_out = nearest(name, [column for column in header if column])
                if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
                    way_out = f"; the columns are separated by {show(separator)}: use commas"
                elif name == result:
                    way_out += f"; {self.way_out}"
                raise UsageError(f"{place}: {what} {show(name)} has no column{way_out}")
        extra = [name for name in header if name not in wanted]
        if extra and not ignore_extra:
            raise UsageError(
                f"{place}: column {show(extra[0])} is neither a parameter of the study nor the {self.kind};"
                " use --ignore-extra to ignore such columns"
            )
        return {name: header.index(column) for name, column in [*named.items(), (result, result)]}

    def read(self, columns: dict[str, int], width: int, cells: Sequence[str], space: Space) -> ExternalTrial:
        """Convert one row of the CSV file into a finished trial."""
        if len(cells) != width:
            raise UsageError(f"the row has {len(cells)} cells, but the header has {width} cells")
        params = space.parse({name: cells[columns[name]] for name in space.names})
        text = cells[columns[self.result]].strip()
        if not text:
            raise UsageError(f"column {show(self.result)} is empty, but a finished trial needs a {self.kind}")
        try:
            number = float(text)
        except ValueError:
            raise UsageError(f"column {show(self.result)}: {show(text)} is not a number") from None
        finite = finite_number(self.kind, number)
        return ExternalTrial(params, finite if self.scale is None else self.scale.loss(finite), {})
