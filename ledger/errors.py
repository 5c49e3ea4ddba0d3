"""Exceptions with a one-line message for the user."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.text import show

if TYPE_CHECKING:
    from pydantic import ValidationError


class LedgerError(Exception):
    """An error with a one-line message for the user.

    The message names the error, the place of the error and a solution. Unless the error is a `UsageError`, the user's
    request is valid, but the program cannot carry out the request now. For example, the study has failed, the study
    does not exist, or the database is unavailable. A command that ends with a LedgerError, but not with a UsageError,
    exits with code 1.

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
    """An invalid request, such as an invalid argument, option, file or search space.

    The program raises a UsageError before it writes any data. A command that ends with a UsageError exits with code 2.

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
    """Return a one-line message about the first fault that pydantic found.

    Parameters
    ----------
    error : ValidationError
        The error of a pydantic model without nested models.
    place : callable
        Function that takes the name of the faulty field, and returns the text that shows the user where the field is,
        such as "[study] seed". `place` gets an empty name if the fault does not belong to a single field. The returned
        message begins with the text from `place`, unless this text is empty.
    """
    fault = error.errors(include_url=False)[0]
    where = place(str(fault["loc"][0]) if fault["loc"] else "")
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
    else:
        reason = f"{show(fault['input'])} {re.sub('^(Input|String) should', 'must', fault['msg'])}"
    return f"{where}: {reason}" if where else reason
