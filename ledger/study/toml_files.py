"""Functions that read TOML files, such as study files."""

import re
import tomllib
from pathlib import Path
from typing import Any

from ledger.errors import UsageError
from ledger.text import one_line


def shown(file: Path) -> str:
    """Return the path of a file as one line for a message."""
    return one_line(str(file))


def read_tables(file: Path) -> dict[str, Any]:
    """Read a TOML file, and return its tables.

    Raises
    ------
    UsageError
        The file cannot be read, or is not valid TOML. The message is one line that names the place in the file.
    """
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{shown(file)}: {error.strerror}; give the path of a study file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown(file)}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, at = str(error).partition(" (at ")
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")  # The default is the end of the document.
        if match := re.match(r"line (\d+), column (\d+)", at):
            line, column = int(match[1]), int(match[2])
        raise UsageError(
            f"{shown(file)}: line {line}, column {column}: {reason}; correct the TOML at this place"
        ) from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # A number may have thousands of digits, or brackets may be nested deeply.
        raise UsageError(f"{shown(file)}: {error}; correct the TOML") from None
