"""The decorator that turns a function into an objective with a search space."""

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
    """A function that takes the context as the keyword argument `context`."""

    def __call__(self, params: dict[str, Any], /, *, context: Context) -> Returned: ...


# The last two types describe methods of a class, whose first parameter is `self`.
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
    """Turn a function into an objective for a `ledger.Study`.

    The decorator also works without parentheses, as in ``@ledger.objective``, and then stores no search space. If the
    decorator stores no search space, give the search space to `ledger.Study`.

    Parameters
    ----------
    space : mapping, sequence or Space, optional
        The search space, which maps the name of each parameter to the parameter's dimension. `ledger.space.from_any`
        lists all forms of a space. A dimension can be written in seven ways.

        - ``(0.0, 1.0)`` is a range of real numbers, with both ends included.
        - ``(1, 10)`` is a range of integers, with both ends included.
        - ``(1e-3, 1e3, "log-uniform")`` is a range with a prior, which is "uniform" (the default) or "log-uniform".
        - ``["rbf", "linear"]`` is a list of choices. A choice is None, a boolean, a number, a string, or a list, tuple
          or dict of such values. The objective gets a tuple as a tuple.
        - ``0.9`` is a constant, as is a string, a boolean or None.
        - ``dict(type="real", low=0.0, high=1.0, step=0.1)`` is a dict with the same keys as a dimension in a study
          file's [space] table.
        - ``optuna.distributions.FloatDistribution(0.0, 1.0)`` is a dimension of another package, which is skopt,
          scipy.stats, Optuna or ConfigSpace.

    Returns
    -------
    callable
        A decorator for a function. The decorator stores the space in the function's attribute ``ledger_space``, and
        returns the function. Without parentheses, `objective` returns the function itself.

        The decorated function takes a dict that maps the name of each search parameter to the parameter's value. If the
        function has a second parameter, the second argument is the trial's `ledger.Context`. The function returns its
        value, which is a finite number. A study minimises the value, unless it has the direction "maximize". Instead of
        a number, the function may return a dict with the value under the key "value", or under the key "loss" if the
        study minimises. In a returned dict, every other entry is a metric, and must be a valid JSON value. If the
        function raises an exception, the worker records a failed attempt of the trial.

    Raises
    ------
    UsageError
        The space is not valid. The error message names the wrong dimension and the allowed values. A UsageError also
        occurs if the decorated object is not callable, or if Python cannot set an attribute of the object.

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
