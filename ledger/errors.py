"""Exceptions with a one-line message for the user."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledger.text import show

if TYPE_CHECKING:
    from pydantic import ValidationError


# The first line of every Python traceback.
_TRACEBACK = "Traceback (most recent call last):\n"
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
# A pattern for the paths of files that belong to installed packages, to the standard library or to the interpreter.
_LIBRARY = re.compile(r"/(site|dist)-packages/|/lib/python3[.0-9]*/|\"<frozen ")
# Largest number of traceback frames that a command shows.
_FRAMES = 3


class LedgerError(Exception):
    """An exception with a one-line message for the user.

    The message names the error, the place of the error and a solution. A `UsageError` reports an invalid request of the
    user. If a LedgerError is not a UsageError, the request is valid, but the program cannot carry out the request at
    present. For example, the program raises a LedgerError if a study has failed, if a study does not exist, or if the
    database is unavailable. A command that ends with a UsageError exits with code 2. A command that ends with any other
    LedgerError exits with code 1.

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
    """An exception that reports an invalid request, such as an invalid argument, option, file or search space.

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


class StudyFailedError(LedgerError):
    """An exception that the ledger raises if a study has failed because its trials failed.

    The exception contains the traceback of the objective as a note (see `BaseException.add_note`). Therefore Python
    shows the objective's traceback below the message.

    Parameters
    ----------
    message : str
        The error message, which is one line.
    error : str, optional
        The recorded error of the study's last failed trial.

    Attributes
    ----------
    exception : str or None
        The type name of the objective's exception, such as "ValueError". The value is None if the trial failed without
        an exception, for example because the process crashed.
    traceback : str or None
        The traceback of the objective's exception, as text.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"x": (0.0, 1.0)})
    ... def wrong(params):
    ...     return params["y"]
    >>> try:
    ...     ledger.Study(wrong).run(workers=1)
    ... except ledger.StudyFailedError as error:
    ...     print(error.exception)
    KeyError
    """

    def __init__(self, message: str, error: str | None = None) -> None:
        super().__init__(message)
        self.exception: str | None = None
        self.traceback: str | None = None
        if error is not None and _TRACEBACK in error:
            self.traceback = error.strip()
            # After the header of a traceback, the first line without indentation contains the type and the message of
            # the exception. In a traceback, the lines after the type and the message continue the message, or are notes
            # of the exception.
            block = self.traceback[self.traceback.rindex(_TRACEBACK) :].splitlines()
            named = (_EXCEPTION.match(line) for line in block[1:])
            self.exception = next((found[1] for found in named if found), None)
            self.add_note(self.traceback)

    def user_frames(self) -> list[str]:
        """Return the traceback lines of the last frames in the user's code, without the error message.

        The list contains at most `_FRAMES` frames, and no frames of the standard library or of installed packages. The
        list is empty if the error has no traceback.
        """
        if self.traceback is None:
            return []
        frames: list[list[str]] = []
        for line in self.traceback[self.traceback.rindex(_TRACEBACK) :].splitlines()[1:]:
            if line.startswith('  File "'):
                frames.append([line])
            elif line.startswith("  ") and frames:
                frames[-1].append(line)
            else:
                break
        own = [frame for frame in frames if not _LIBRARY.search(frame[0].partition('", line ')[0])]
        return [line for frame in own[-_FRAMES:] for line in frame]


class TrialPruned(Exception):
    """An exception that an objective raises after the rule of early stopping has stopped the trial.

    Raise the exception only after `context.should_prune()` has returned True. If an objective raises the exception
    although no verdict stops the trial, the attempt fails.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"rate": (0.01, 0.5)})
    ... def descent(params, context):
    ...     x = 1.0
    ...     for epoch in range(1, 28):
    ...         x -= params["rate"] * 2 * x
    ...         context.report(x**2, epoch)
    ...         if context.should_prune():
    ...             raise ledger.TrialPruned
    ...     return x**2
    """


def first_fault(error: "ValidationError", place: Callable[[str], str]) -> str:
    """Return a one-line message about the first error that pydantic found.

    Parameters
    ----------
    error : ValidationError
        The error of a pydantic model. The model must not contain other models.
    place : callable
        A function that returns the place of a field as text. An example of a place is "[study] seed". The argument of
        `place` is the name of the faulty field. If the error does not belong to a single field, the argument of `place`
        is an empty text. The message begins with the text that `place` returns.
    """
    fault = error.errors(include_url=False)[0]
    where = place(str(fault["loc"][0]) if fault["loc"] else "")
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
    else:
        reason = f"{show(fault['input'])} {re.sub('^(Input|String) should', 'must', fault['msg'])}"
    return f"{where}: {reason}" if where else reason
