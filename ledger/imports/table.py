"""Reads a csv file of finished trials, with one trial per line.

The csv file has a column for each parameter, and a column for the loss.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial

from ledger.database.trials import ExternalTrial
from ledger.errors import UsageError
from ledger.imports.history import UncheckedTrial, finite_loss
from ledger.study.space import Space
from ledger.text import nearest, show

# Prefix of each parameter's name in the header that `ledger export --format csv` writes.
PREFIX = "params_"


def read_rows(place: str, content: bytes, loss: str, space: Space, *, ignore_extra: bool) -> Iterator[UncheckedTrial]:
    """Check the header of a csv file, and yield the rows of the file.

    Parameters
    ----------
    place : str
        The name of the file, for error messages.
    loss : str
        Name of the column that contains the losses.
    ignore_extra : bool
        Whether to ignore columns that contain neither a parameter nor the losses.

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
    # Without strict=True, the reader would read all rows after an unclosed quote as part of one cell.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = _columns(f"{place}:1", header, loss, space, ignore_extra=ignore_extra)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield UncheckedTrial(f"{place}:{reader.line_num}", partial(_read, columns, loss, len(header), cells))
    except csv.Error as error:
        raise UsageError(f"{place}:{max(reader.line_num, 1)}: {error}; correct this line of the csv file") from None


def _columns(place: str, header: Sequence[str], loss: str, space: Space, *, ignore_extra: bool) -> dict[str, int]:
    """Return a dict that contains, for each parameter's name and for `loss`, the index of the csv column."""
    if not any(header):
        raise UsageError(f"{place}: the file has no header; write a header with {', '.join([*space.names, loss])}")
    known: set[str] = set()
    for name in filter(None, header):
        if name in known:
            raise UsageError(f"{place}: two columns are named {show(name)}; rename one of the two")
        known.add(name)
    # If the header has both a column NAME and a column params_NAME, the column NAME contains the parameter.
    named = {name: name if name in known else PREFIX + name for name in space.names}
    if loss in named:
        raise UsageError(f"{place}: column {show(loss)} is a parameter; use --loss to name the column of the losses")
    wanted = {*named.values(), loss}
    for name, column in [*named.items(), (loss, loss)]:
        if column not in known:
            what = "the loss" if name == loss else "parameter"
            way_out = nearest(name, [column for column in header if column])
            if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
                way_out = f"; the columns are separated by {show(separator)}: use commas"
            elif name == loss:
                way_out += "; use --loss to name the column of the losses"
            raise UsageError(f"{place}: {what} {show(name)} has no column{way_out}")
    extra = [name for name in header if name not in wanted]
    if extra and not ignore_extra:
        raise UsageError(
            f"{place}: column {show(extra[0])} is neither a parameter of the study nor the loss;"
            " use --ignore-extra to ignore such columns"
        )
    return {name: header.index(column) for name, column in [*named.items(), (loss, loss)]}


def _read(columns: dict[str, int], loss: str, width: int, cells: Sequence[str], space: Space) -> ExternalTrial:
    if len(cells) != width:
        raise UsageError(f"the row has {len(cells)} cells, but the header has {width} cells")
    params = space.parse({name: cells[columns[name]] for name in space.names})
    text = cells[columns[loss]].strip()
    if not text:
        raise UsageError(f"column {show(loss)} is empty, but a finished trial needs a loss")
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"column {show(loss)}: {show(text)} is not a number") from None
    return ExternalTrial(params, finite_loss(value), {})
