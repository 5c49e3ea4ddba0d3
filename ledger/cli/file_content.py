"""A command-line parameter type that reads the content of a file."""

import sys
from pathlib import Path
from typing import Any

import click

from ledger.text import one_line


class FileContentType(click.ParamType[tuple[str, bytes]]):
    """A click parameter type that converts the path of a file to the name and the bytes of the file.

    If the name is "-", the parameter type reads standard input.

    The parameter type reads the file only once, when click parses the command line. After an outage of the database,
    the program calls the command's function again. A second call of the function cannot read standard input again.
    """

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, bytes]:
        if isinstance(value, tuple):
            return value
        try:
            if value == "-":
                return "standard input", sys.stdin.buffer.read()
            return one_line(str(value)), Path(value).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.fail(f"{one_line(str(value))}: {reason}; give the path of a file.", param, ctx)
