"""An objective as a decorated function, with its space beside it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypeVar

from ledger.keywords import known_keywords
from ledger.objectives.context import Context
from ledger.study.arguments import SearchSpace
from ledger.study.space import Space
from ledger.text import show

_PLACE = "@ledger.objective space:"

Returned: TypeAlias = SupportsFloat | Mapping[str, Any]


class _WithContextByName(Protocol):
    def __call__(self, params: dict[str, Any], /, *, context: Context) -> Returned: ...


Objective: TypeAlias = (
    Callable[[dict[str, Any]], Returned] | Callable[[dict[str, Any], Context], Returned] | _WithContextByName
)
F = TypeVar("F", bound=Objective)


@known_keywords
def objective(space: SearchSpace) -> Callable[[F], F]:
    """Make a function an objective that `ledger.Study` can search.

    Parameters
    ----------
    space : mapping of str to dimension
        The search space: each parameter's name with its dimension. A dimension is one of:

        - ``(0.0, 1.0)``: a real number, both ends included;
        - ``(1, 10)``: an integer, both ends included;
        - ``(1e-3, 1e3, "log-uniform")``: either of these with a prior, "uniform" (default) or "log-uniform";
        - ``["rbf", "linear"]``: one of these strings, numbers or booleans;
        - a dict with the keys of a study file's [space] table, such as ``{"type": "real", "low": 0.0, "high": 1.0}``.

    Returns
    -------
    callable
        The decorator. It returns the function itself, with the space as its attribute ``ledger_space``.

        The function takes a dict from each parameter's name to its value. If it has a second parameter, it also takes
        the trial's `ledger.Context`. It returns the loss, a finite number (smaller is better), or a dict with the loss
        under "loss" and metrics, which JSON can hold, under other keys. If it raises an exception, the attempt fails.

    Raises
    ------
    UsageError
        The space is not valid. The message names the dimension and what is allowed.

    See Also
    --------
    ledger.Study : searches the function.

    Examples
    --------
    >>> import ledger
    >>> @ledger.objective(space={"x": (-5.0, 5.0), "n": (1, 10), "kind": ["a", "b"]})
    ... def valley(params):
    ...     return {"loss": (params["x"] - 1) ** 2 + abs(params["n"] - 3), "kind": params["kind"]}

    The decorated function is still the function:

    >>> valley({"x": 2.0, "n": 3, "kind": "a"})
    {'loss': 1.0, 'kind': 'a'}

    A space that is not valid is refused at once:

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
        return show(given)  # refused, with its place, as what is no dimension
    kind = "integer" if all(isinstance(bound, int) for bound in given[:2]) else "real"
    prior = {"prior": given[2]} if len(given) == 3 else {}
    return {"type": kind, "low": given[0], "high": given[1], **prior}
