"""A file from the command line, read once: standard input cannot be read again by a command that starts over."""

import sys
from pathlib import Path
from typing import Any

import click

from ledger.text import one_line


class Contents(click.ParamType[tuple[str, bytes]]):
    """The name and the bytes of a file, or of standard input for "-"."""

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
