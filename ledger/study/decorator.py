"""The decorator that converts a function into an objective."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar, cast, overload

from ledger.errors import UsageError
from ledger.keywords import known_keywords
from ledger.objectives.context import Context
from ledger.study.arguments import AnySpace
from ledger.study.conversion import from_any
from ledger.text import show

_PLACE = "@ledger.objective space:"

Returned: TypeAlias = SupportsFloat | Mapping[str, Any]


class _ContextKeywordFunction(Protocol):
    """A protocol for functions that receive the context of the trial as the keyword argument `context`."""

    def __call__(self, params: dict[str, Any], /, *, context: Context) -> Returned: ...


# A method of a class can also be an objective. Therefore the last two types of the union have the parameter `self`.
Objective: TypeAlias = (
    Callable[[dict[str, Any]], Returned]
    | Callable[[dict[str, Any], Context], Returned]
    | _ContextKeywordFunction
    | Callable[[Any, dict[str, Any]], Returned]
    | Callable[[Any, dict[str, Any], Context], Returned]
)
F = TypeVar("F", bound=Objective)


@overload
def objective(space: F) -> F: ...
@overload
def objective(space: AnySpace | None = None) -> Callable[[F], F]: ...
@known_keywords
def objective(space: Any = None) -> Any:
    """Convert a function into an objective for a `ledger.Study`.

    The decorator can be used without parentheses, as ``@ledger.objective``. Without parentheses, the decorator stores
    no search space. If the decorator stores no search space, the user must pass the search space to `ledger.Study`.

    Parameters
    ----------
    space : mapping, sequence or Space, optional
        The search space. In a mapping, each key is the name of a parameter, and each value is the dimension of the
        parameter. The function `ledger.space.from_any` describes all allowed spaces. The user can write a dimension in
        seven ways.

        - ``(0.0, 1.0)`` is a range of real numbers, with both ends included.
        - ``(1, 10)`` is a range of integers, with both ends included.
        - ``(1e-3, 1e3, "log-uniform")`` is a range with a prior. The prior is "uniform" (the default) or "log-uniform".
        - ``["rbf", "linear"]`` is a list of choices. A choice is None, a boolean, a number, a string, a list, a tuple
          or a dict. An item of a list, a tuple or a dict can have the same types as a choice. If a choice is a tuple,
          the objective receives a tuple.
        - ``0.9`` is a constant. A constant can be a number, a string, a boolean or None.
        - ``dict(type="real", low=0.0, high=1.0, step=0.1)`` is a dict with the same keys as a dimension in the table
          [space] of a study file.
        - ``optuna.distributions.FloatDistribution(0.0, 1.0)`` is a dimension of another package. The supported packages
          are skopt, scipy.stats, Optuna and ConfigSpace.

    Returns
    -------
    callable
        A decorator. The decorator stores the space in the attribute ``ledger_space`` of the function, and returns the
        function. If the user writes ``@ledger.objective`` without parentheses, `objective` returns the decorated
        function.

        The first argument of the decorated function is a dict that maps the name of each parameter to the value of the
        parameter. If the function has a second parameter, the second argument is the `ledger.Context` of the trial. The
        function returns the value of the trial, which is a finite number. By default, the study minimises the value. If
        the direction of the study is "maximize", the study maximises the value. The function can also return a dict
        that contains the value under the key "value". If the study minimises the value, the dict can contain the value
        under the key "loss" instead of "value". Except for the value, every item of the dict is a metric. A metric must
        be a valid JSON value. If the function raises an exception, the worker records a failed attempt of the trial.

    Raises
    ------
    UsageError
        The space is not valid. The error message names the wrong dimension and the allowed values. The decorator also
        raises a UsageError if the decorated object is not callable, or if Python cannot set an attribute of the object.

    See Also
    --------
    ledger.Study : The search for the parameters with which an objective returns the best value.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0), "n": (1, 10), "kind": ["a", "b"]})
    ... def valley(params):
    ...     return {"loss": (params["x"] - 1) ** 2 + abs(params["n"] - 3), "kind": params["kind"]}

    The user can still call the decorated function:

    >>> valley({"x": 2.0, "n": 3, "kind": "a"})
    {'loss': 1.0, 'kind': 'a'}

    The decorator refuses a space that is not valid:

    >>> ledger.objective(space={"x": (1.0, 0.0)})
    Traceback (most recent call last):
    ledger.errors.UsageError: @ledger.objective space: x: low 1.0 is not below high 0.0
    """
    of = None if space is None or callable(space) else from_any(space, _PLACE)

    def decorate(function: F) -> F:
        if not callable(function):
            raise UsageError(f"@ledger.objective: {show(function)} is not a function; decorate a function")
        if of is not None:
            try:
                function.ledger_space = of  # type: ignore[union-attr]
            except (AttributeError, TypeError):
                raise UsageError(
                    f"@ledger.objective: an object of type {type(function).__name__} cannot store a space; pass the"
                    " space to ledger.Study(..., space={...})"
                ) from None
        return function

    return decorate(cast(Any, space)) if callable(space) else decorate
