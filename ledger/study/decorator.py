"""The decorator that turns a function into an objective with a search space."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar

from ledger.keywords import known_keywords
from ledger.objectives.context import Context
from ledger.study.arguments import SearchSpace
from ledger.study.space import Space
from ledger.text import show

_PLACE = "@ledger.objective space:"

Returned: TypeAlias = SupportsFloat | Mapping[str, Any]


class _ContextKeywordFunction(Protocol):
    """A function that takes the context as the keyword argument `context`."""

    def __call__(self, params: dict[str, Any], /, *, context: Context) -> Returned: ...


Objective: TypeAlias = (
    Callable[[dict[str, Any]], Returned] | Callable[[dict[str, Any], Context], Returned] | _ContextKeywordFunction
)
F = TypeVar("F", bound=Objective)


@known_keywords
def objective(space: SearchSpace) -> Callable[[F], F]:
    """Turn a function into an objective for a `ledger.Study`.

    Parameters
    ----------
    space : mapping of str to dimension
        The search space, which maps the name of each parameter to the parameter's dimension. A dimension can be written
        in five ways.

        - ``(0.0, 1.0)`` is a range of real numbers, with both ends included.
        - ``(1, 10)`` is a range of integers, with both ends included.
        - ``(1e-3, 1e3, "log-uniform")`` is a range with a prior, which is "uniform" (the default) or "log-uniform".
        - ``["rbf", "linear"]`` is a list of choices, each of which is a string, a number or a boolean.
        - ``dict(type="real", low=0.0, high=1.0)`` is a dict with the same keys as a dimension in a study file's [space]
          table.

    Returns
    -------
    callable
        A decorator for a function. The decorator stores the space in the function's attribute ``ledger_space``, and
        returns the function.

        The decorated function takes a dict that maps the name of each search parameter to the parameter's value. If the
        function has a second parameter, the second argument is the trial's `ledger.Context`. The function returns the
        loss, which is a finite number (smaller is better). Instead of a number, the function may return a dict with the
        loss under the key "loss". In a returned dict, every value except the loss is a metric, and must be a valid JSON
        value. If the function raises an exception, the worker records a failed attempt of the trial.

    Raises
    ------
    UsageError
        The space is not valid. The error message names the wrong dimension and the allowed values.

    See Also
    --------
    ledger.Study : The search for the parameters with which an objective returns the lowest loss.

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
    table = {name: _dimension(dimension) for name, dimension in dict(space).items()}
    of = Space.from_toml(table, _PLACE)

    def decorate(function: F) -> F:
        function.ledger_space = of  # type: ignore[union-attr]
        return function

    return decorate


def _dimension(given: Any) -> Any:
    if isinstance(given, list):
        return {"type": "categorical", "choices": given}
    if not isinstance(given, tuple):
        return given
    if len(given) not in (2, 3):
        return show(given)  # `Space.from_toml` refuses a text, and its message has the place.
    kind = "integer" if all(isinstance(bound, int) for bound in given[:2]) else "real"
    prior = {"prior": given[2]} if len(given) == 3 else {}
    return {"type": kind, "low": given[0], "high": given[1], **prior}
