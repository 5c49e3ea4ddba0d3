"""Reads a dimension from a dict, such as a table of a study file, or from a short form in Python."""

from collections.abc import Mapping
from typing import Any

from ledger.study.dimensions import Categorical, Dimension, Integer, Real, plain_number
from ledger.text import nearest, show

LONGEST_NAME = 200
KINDS: dict[str, type[Dimension]] = {kind.kind: kind for kind in (Real, Integer, Categorical)}


def read_dimension(name: str, given: Any) -> Dimension:
    """Return the dimension that a dict or a short form describes.

    Parameters
    ----------
    name : str
        The dimension's name, which must be printable and have at most 200 characters.
    given : object
        The settings of the dimension, as a dict or as a short form. A dict must have the key `type`, and all keys that
        a dimension of this type requires. The docstring of `short_form` lists the short forms.

    Raises
    ------
    ValueError
        The name of the dimension or a setting of the dimension is not valid. The error message is one line that
        contains the wrong value and the allowed values.

    Examples
    --------
    >>> read_dimension("depth", {"type": "integer", "low": 1, "high": 8})
    Integer(name='depth', low=1, high=8, prior='uniform', grid=None, default=None)
    >>> read_dimension("depth", (1, 8)) == read_dimension("depth", range(1, 9))
    True
    """
    if not is_printable(name) or len(name) > LONGEST_NAME:
        raise ValueError(f"a dimension needs a name of 1 to {LONGEST_NAME} printable characters")
    table = given if isinstance(given, Mapping) else short_form(given)
    if "type" not in table:
        raise ValueError(f"the type is missing; choose {', '.join(KINDS)}")
    kind = KINDS.get(table["type"]) if isinstance(table["type"], str) else None
    if kind is None:
        raise ValueError(f"unknown type {show(table['type'])}{nearest(table['type'], KINDS)}")
    keys = ("type", *kind.needed, *kind.optional)
    for key in table:
        if key not in keys:
            raise ValueError(f"unknown key {show(key)} in a dimension of type {kind.kind}{nearest(key, keys)}")
    for key in kind.needed:
        if key not in table:
            needed = ", ".join(("type", *kind.needed))
            raise ValueError(f"{key} is missing; a dimension of type {kind.kind} needs {needed}")
    return kind.from_table(name, table)


def short_form(given: Any) -> dict[str, Any]:
    """Convert the short form of a dimension into a dict that describes the same dimension.

    Parameters
    ----------
    given : object
        A tuple ``(low, high)`` or ``(low, high, prior)`` is a range. The values are integers if both bounds are
        integers, and real numbers otherwise. A `range` object represents a range of integers with a step. A list or a
        numpy array contains the choices of a categorical dimension. A number, a string, a boolean or None is a
        constant.

    Raises
    ------
    ValueError
        The value is not a short form of a dimension.

    Examples
    --------
    >>> short_form((1, 10)), short_form("rbf")
    ({'type': 'integer', 'low': 1, 'high': 10}, {'type': 'categorical', 'choices': ['rbf']})
    """
    if isinstance(given, range):
        if len(given) < 2:
            return {"type": "categorical", "choices": list(given)}
        low, high = sorted((given[0], given[-1]))
        return {"type": "integer", "low": low, "high": high, "step": abs(given.step)}
    if isinstance(given, tuple):
        bounds = [plain_number(bound) for bound in given[:2]]
        if len(given) not in (2, 3) or any(
            isinstance(bound, bool) or not isinstance(bound, int | float) for bound in bounds
        ):
            raise ValueError(
                f"{show(given)} is not a range (low, high) or (low, high, prior) of numbers; write choices as a list,"
                ' as in ["a", "b"]'
            )
        kind = Integer if all(isinstance(bound, int) for bound in bounds) else Real
        prior = {"prior": given[2]} if len(given) == 3 else {}
        return {"type": kind.kind, "low": bounds[0], "high": bounds[1], **prior}
    value = given.tolist() if hasattr(given, "tolist") and not isinstance(given, type) else given
    if isinstance(value, list):
        return {"type": "categorical", "choices": value}
    if value is None or isinstance(value, str | int | float):
        return {"type": "categorical", "choices": [value]}
    raise ValueError(
        f"{show(given)} is not a dimension; write a range (low, high), a list of choices, a constant, or a table such"
        ' as { type = "real", low = 0.0, high = 1.0 }'
    )


def is_printable(name: Any) -> bool:
    """Return whether a name is a printable text that is not blank."""
    return isinstance(name, str) and name.isprintable() and bool(name.strip())
