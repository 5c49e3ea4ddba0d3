"""The names by which workers find a user's callable."""

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MethodType
from typing import Any

from ledger.errors import UsageError
from ledger.objectives import pickled
from ledger.objectives.references import defining_module
from ledger.study.space import Space
from ledger.text import show


@dataclass(frozen=True)
class CallableName:
    """The name by which workers find the function of an objective: a module, and a name within the module.

    Attributes
    ----------
    module : str or None
        The module from which a worker can import the objective. If the value is None, the ledger must pickle the
        objective.
    name : str
        The name of the objective within the module. The name of a pickled objective is only a description for users.
    """

    module: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.module or pickled.MODULE}:{self.name}"


def name_of(objective: Any, study: str | None) -> CallableName:
    """Return the name by which workers find an objective.

    Parameters
    ----------
    objective : callable
        A function, a lambda, a `functools.partial`, a bound method or a callable object.
    study : str or None
        The name that the user has given to the study. A partial, a lambda or a callable object has no name of its own.
        If a variable of the object's module contains the object, the ledger uses the variable's name. If no variable
        contains the object, the user must give the study a name. Without a name, the ledger could not distinguish two
        lambdas.

    Raises
    ------
    UsageError
        The objective is not callable, or neither the objective nor the study has a name.

    Examples
    --------
    >>> import statistics
    >>> print(name_of(statistics.mean, None))
    statistics:mean
    >>> print(name_of(lambda params: params["x"], "slope"))
    __main__:objective
    >>> name_of(lambda params: params["x"], None)
    Traceback (most recent call last):
    ledger.errors.UsageError: the objective is a lambda without a name of its own: give the study a name, as in Study(..., name="my-search"), or define the objective by a def statement
    """  # noqa: E501
    if not callable(objective):
        raise UsageError(f"the objective {show(objective)} is not callable: give a function")
    for module, name in _places(objective):
        if name.isidentifier() and contains(module, name, objective):
            return CallableName(module, name)
    own = getattr(objective, "__name__", None)
    if isinstance(own, str) and own.isidentifier():
        return CallableName(None, own)
    if study is None:
        raise UsageError(
            f"the objective is {_described(objective)} without a name of its own: give the study a name, as in"
            ' Study(..., name="my-search"), or define the objective by a def statement'
        )
    inner = getattr(objective.func, "__name__", "") if isinstance(objective, partial) else type(objective).__name__
    return CallableName(None, inner if inner.isidentifier() and not inspect.isfunction(objective) else "objective")


def space_of(objective: Any) -> Space | None:
    """Return the space that `ledger.objective` has stored in a callable, or in the function that the callable wraps.

    Examples
    --------
    >>> import functools
    >>> import ledger
    >>> @ledger.objective(space={"x": (0.0, 1.0)})
    ... def scaled(params, factor):
    ...     return params["x"] * factor
    >>> space_of(functools.partial(scaled, factor=2.0)).names
    ('x',)
    """
    while True:
        space = getattr(objective, "ledger_space", None)
        if space is None and not inspect.isroutine(objective) and not isinstance(objective, partial):
            space = getattr(type(objective).__call__, "ledger_space", None)
        if isinstance(space, Space) or not isinstance(objective, partial):
            return space
        objective = objective.func


def contains(module: str, name: str, value: Any) -> bool:
    """Return whether the variable `name` of a module contains the object `value`.

    Examples
    --------
    >>> import statistics
    >>> contains("statistics", "mean", statistics.mean), contains("math", "mean", statistics.mean)
    (True, False)
    """
    try:
        return module != pickled.MODULE and getattr(import_module(module), name, None) is value
    except ImportError:
        return False


def _places(objective: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each variable that may contain the objective, as a pair (module, variable)."""
    module, name = getattr(objective, "__module__", None), getattr(objective, "__name__", None)
    if isinstance(module, str) and isinstance(name, str):
        yield module, name
    # A partial, a lambda or a callable object does not store the name of its variable. Therefore the code searches the
    # module for a variable that contains the object.
    if not isinstance(objective, MethodType):
        module = defining_module(objective)
        for name, value in list(vars(sys.modules.get(module, object)).items()):
            if value is objective:
                yield module, name


def _described(objective: Any) -> str:
    if getattr(objective, "__name__", None) == "<lambda>":
        return "a lambda"
    return f"an object of type {type(objective).__name__}"
