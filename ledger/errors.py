"""Exceptions whose message is shown to the user: one line that names the thing, the place and the way out."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.text import show

if TYPE_CHECKING:
    from pydantic import ValidationError


class LedgerError(Exception):
    """An error whose message, one line, is for the user: it names the thing, the place and the way out.

    The request is valid and cannot be done now: a study failed, no such study exists, the database cannot be reached.
    A command of the program then exits with code 1.

    Examples
    --------
    >>> import ledger
    >>> try:
    ...     ledger.load_study("none", database="host=/nowhere")
    ... except ledger.LedgerError as error:
    ...     print("not read:", error)
    not read: ...
    """

    exit_code = 1


class UsageError(LedgerError):
    """An error in the request itself: an argument, an option, a file or a space that is not valid.

    Nothing was written. A command of the program then exits with code 2.

    Examples
    --------
    >>> import ledger
    >>> try:
    ...     ledger.objective(space={"x": (1.0, 0.0)})
    ... except ledger.UsageError as error:
    ...     print(error)
    @ledger.objective space: x: low 1.0 is not below high 0.0
    """

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
