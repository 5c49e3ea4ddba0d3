"""The check of a study's name."""

import re

from ledger.errors import UsageError
from ledger.text import show

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def name_fault(name: str) -> str | None:
    """Return a text that describes the fault in the name of a study, or None if the name is valid."""
    if _NAME.fullmatch(name):
        return None
    return (
        f"name {show(name)} must consist of 1 to 100 letters, digits, dots, underscores or hyphens, and must begin with"
        " a letter or digit"
    )


def check_name(name: str) -> None:
    """Raise a UsageError if `name` is not a valid name of a study.

    Examples
    --------
    >>> check_name("svm-42")
    >>> check_name("two words")
    Traceback (most recent call last):
    ledger.errors.UsageError: name "two words" must consist of 1 to 100 letters, digits, ...
    """
    if fault := name_fault(name):
        raise UsageError(fault)
