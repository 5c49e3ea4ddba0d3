"""Checks of the arguments that a user's program passes: the names of keyword arguments, and numbers of trials."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from operator import index
from typing import ParamSpec, TypeVar, get_args

from ledger.errors import UsageError
from ledger.text import nearest, one_line

P = ParamSpec("P")
R = TypeVar("R")


# Largest number of a trial that PostgreSQL can store.
_LARGEST_TRIAL = 2**31 - 1


def trial_number(function: str, trial: object) -> int | None:
    """Return the number of a trial, which may be an integer of NumPy, or None. `function` is the name of the caller.

    Raises
    ------
    UsageError
        `trial` is neither None nor the number of a trial.

    Examples
    --------
    >>> trial_number("reports", "7")
    Traceback (most recent call last):
    ledger.errors.UsageError: reports: `trial` must be the number of a trial, such as 0, but it is '7'
    """
    if trial is None:
        return None
    with suppress(TypeError):
        if not isinstance(trial, bool) and 0 <= (number := index(trial)) <= _LARGEST_TRIAL:  # type: ignore[arg-type]
            return number
    raise UsageError(
        f"{function}: `trial` must be the number of a trial, such as 0, but it is {one_line(repr(trial), 80)}"
    )


def known_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Return a wrapper of `function` that raises a UsageError for an unknown keyword argument.

    The message of the UsageError suggests the nearest known name. In Python 3.12 and earlier, the TypeError for an
    unknown argument suggests no name.

    Examples
    --------
    >>> @known_keywords
    ... def scale(value, *, factor=1.0):
    ...     return value * factor
    >>> scale(2.0, factr=3.0)
    Traceback (most recent call last):
    ledger.errors.UsageError: scale() has no argument 'factr'; did you mean 'factor'?
    """
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            # The keyword arguments have the annotation ``Unpack[Options]``. `Options` is a TypedDict whose keys are the
            # names of the known keyword arguments.
            (options,) = get_args(parameter.annotation)
            parameters += options.__annotations__
        elif name != "self":
            parameters.append(name)
    callee = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in parameters:
                raise UsageError(f"{callee}() has no argument {name!r}{nearest(name, parameters)}")
        return function(*args, **kwargs)

    return checked
