"""Exceptions whose message is shown to the user: one line that names the thing, the place and the way out."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.text import show

if TYPE_CHECKING:
    from pydantic import ValidationError


class LedgerError(Exception):
    """The request is valid, but cannot be carried out in this state. Exit code 1."""

    exit_code = 1


class UsageError(LedgerError):
    """The request itself is not valid. Exit code 2; nothing was written."""

    exit_code = 2


def first_fault(error: "ValidationError", place: Callable[[str], str]) -> str:
    """Return the first fault that pydantic found, in one line.

    Parameters
    ----------
    error : ValidationError
        Of a model without nested models.
    place : callable
        Takes the key at fault, or "" for the model as a whole, and returns its place for the user; "" for none.
    """
    fault = error.errors(include_url=False)[0]
    where = place(str(fault["loc"][0]) if fault["loc"] else "")
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
    else:
        reason = f"{show(fault['input'])} {re.sub('^(Input|String) should', 'must', fault['msg'])}"
    return f"{where}: {reason}" if where else reason
