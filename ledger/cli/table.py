"""Prints tables of text on standard output."""

from collections.abc import Sequence

import click

from ledger.text import one_line


def show(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a line with the headers of a table, and below this line the rows of the table.

    Columns with numbers are aligned to the right, and None is printed as "-".
    """
    cells = [
        ["-" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else one_line(str(cell)) for cell in row]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    numeric = [any(isinstance(row[index], int | float) for row in rows) for index in range(len(headers))]
    for line in (headers, *cells):
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        click.echo("  ".join(aligned).rstrip())
