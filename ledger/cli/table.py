"""Functions that print a table as text on standard output."""

from collections.abc import Sequence

import click

from ledger.text import one_line


def show(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the headers of a table in one line, and print the rows of the table below the headers.

    The function aligns columns of numbers to the right, and prints None as "-".
    """
    PagedTable(headers).show(rows)


class PagedTable:
    """A table that the program prints page by page, so that a long table needs little memory.

    The class prints the headers only above the first page. A column never becomes narrower from one page to the next
    page.

    Parameters
    ----------
    headers : sequence of str
    """

    def __init__(self, headers: Sequence[str]) -> None:
        self._headers = headers
        self._widths = [0] * len(headers)
        self._numeric = [False] * len(headers)

    def show(self, rows: Sequence[Sequence[object]]) -> None:
        """Print the rows of one page."""
        cells = [
            ["-" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else one_line(str(cell)) for cell in row]
            for row in rows
        ]
        lines = cells if any(self._widths) else [list(self._headers), *cells]
        columns = range(len(self._headers))
        self._widths = [max(self._widths[index], *(len(line[index]) for line in lines), 0) for index in columns]
        self._numeric = [
            self._numeric[index] or any(isinstance(row[index], int | float) for row in rows) for index in columns
        ]
        for line in lines:
            aligned = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, self._widths, self._numeric, strict=True)
            ]
            click.echo("  ".join(aligned).rstrip())
