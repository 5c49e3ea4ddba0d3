"""Conversion of a dict, or of the search space of another package, into a search space of the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.errors import UsageError
from ledger.study.arguments import AnySpace
from ledger.study.dimension_forms import is_printable
from ledger.study.foreign import foreign_dimension, package_of
from ledger.study.space import Space
from ledger.text import show


def from_any(space: AnySpace, place: str = "space") -> Space:
    """Convert a dict, or the dimensions of another package, into a search space.

    Parameters
    ----------
    space : mapping, sequence or Space
        A description of the search space. The function accepts four kinds of descriptions:

        - A dict that maps the name of each parameter to the dimension of the parameter. A dimension can be a short
          expression such as ``(0.0, 1.0)`` or ``["a", "b"]``. A dimension can also be a dict with the keys of a
          dimension in a study file, or a dimension of another package.
        - A list of named dimensions, such as ``skopt.space.Real(0.0, 1.0, name="x")``.
        - A `skopt.space.Space` or a `ConfigSpace.ConfigurationSpace`.
        - A `Space`, which the function returns unchanged.

        The function converts the dimensions of skopt and the distributions of Optuna. The function also converts the
        frozen distributions `uniform`, `loguniform` and `randint` of scipy.stats. From ConfigSpace, the function
        converts numeric, categorical and constant hyper-parameters. The converted dimensions have no defaults.
    place : str
        The text at the beginning of each error message.

    Returns
    -------
    Space

    Raises
    ------
    UsageError
        The function cannot convert the space or a dimension. The error message is one line that names the wrong
        dimension and the allowed dimensions.

    Examples
    --------
    >>> import scipy.stats
    >>> space = from_any({"rate": scipy.stats.loguniform(1e-4, 1e-1), "depth": [None, 4, 8], "layers": [(64,), (32, 32)]})
    >>> for dimension in space.dimensions:
    ...     print(f"{dimension.name}: {dimension}")
    rate: real, 0.0001 to 0.1, log-uniform
    depth: null, 4, 8
    layers: [64], [32, 32]
    >>> from_any({"rate": scipy.stats.norm(0, 1)})
    Traceback (most recent call last):
    ledger.errors.UsageError: space rate: "norm" of scipy.stats is not supported; use uniform, loguniform or randint, or write a range such as (0.0, 1.0)
    """  # noqa: E501
    if isinstance(space, Space):
        return space
    return Space.of_pairs(_converted(_pairs(space, place), place), place)


def _pairs(space: Any, place: str) -> Iterator[tuple[Any, Any]]:
    if package_of(space) == "ConfigSpace" and (
        getattr(space, "conditions", None) or getattr(space, "forbidden_clauses", None)
    ):
        raise UsageError(
            f"{place}: the ConfigurationSpace has conditions or forbidden clauses, which the ledger does not support;"
            " remove the conditions and clauses, and let the objective ignore inactive parameters"
        )
    if isinstance(space, Mapping):
        yield from space.items()
        return
    if package_of(space) == "skopt" and hasattr(space, "dimensions"):
        if space.constraint is not None:
            raise UsageError(
                f"{place}: the skopt Space has a constraint, which the ledger does not support; remove the constraint"
            )
        space = space.dimensions
    if not isinstance(space, Sequence) or isinstance(space, str | bytes):
        raise UsageError(
            f"{place} {show(space)} is not a space; write a dict that maps the name of each parameter to its"
            " dimension, such"
            ' as {"x": (0.0, 1.0)}'
        )
    for number, dimension in enumerate(space, start=1):
        name = getattr(dimension, "name", None)
        if not package_of(dimension) or not is_printable(name):
            raise UsageError(
                f"{place}: dimension {number} of the list has no name; give the dimension a name, as in Real(0.0, 1.0,"
                ' name="x"), or write a dict such as {"x": (0.0, 1.0)}'
            )
        yield name, dimension


def _converted(pairs: Iterator[tuple[Any, Any]], place: str) -> Iterator[tuple[Any, Any]]:
    for name, dimension in pairs:
        try:
            table = foreign_dimension(dimension)
        except ValueError as error:
            raise UsageError(f"{place} {show(name) if not is_printable(name) else name}: {error}") from None
        yield name, dimension if table is None else table
