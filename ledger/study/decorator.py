"""An objective as a decorated function, with its space beside it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ledger.study.space import Space
from ledger.text import show

F = TypeVar("F", bound=Callable[..., Any])
_PLACE = "@ledger.objective space:"


def objective(space: Mapping[str, Any]) -> Callable[[F], F]:
    """Make a function an objective that `ledger.Study` can search.

    Parameters
    ----------
    space : mapping
        From a parameter's name to what it is: ``(0.0, 1.0)`` a real, ``(1, 10)`` an integer, both ends included;
        ``(1e-3, 1e3, "log-uniform")`` with a prior; ``["a", "b"]`` a choice; or a dict as in a study file's [space].

    Returns
    -------
    callable
        Gives the function back as it is, with the space, a `Space`, as its attribute ``ledger_space``. The function
        takes a dict of parameters, and a `ledger.Context` where it has a second parameter, and returns a loss to
        minimise, or a dict with ``loss`` and metrics.

    Raises
    ------
    UsageError
        Something is wrong with the space: one line, with the place.
    """
    table = {name: _dimension(dimension) for name, dimension in dict(space).items()}
    of = Space.from_toml(table, _PLACE)

    def decorate(function: F) -> F:
        function.ledger_space = of  # type: ignore[attr-defined]
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
