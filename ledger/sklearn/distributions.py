"""The search space of `LedgerSearchCV`.

A user writes the search space as a dict. Each value of the dict is a distribution or a list of choices.
"""

import inspect
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import UsageError
from ledger.study.space import Space
from ledger.text import one_line, show

PLACE = "param_distributions"
_LONGEST_LABEL = 100


@dataclass(frozen=True)
class Distributions:
    """A search space whose choices can be any Python objects. If the ledger cannot store an object as JSON, the space
    contains a label instead of the object.

    A parameter of an estimator can be any object, such as another estimator. The ledger stores only JSON values. If a
    choice is not a string, a number or a boolean, the search space contains a text instead of the choice. The text is
    the label of the choice.

    Attributes
    ----------
    space : Space
        The search space of the study.
    objects : dict
        For each parameter, a mapping from each label to the object that the label represents.
    """

    space: Space
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def decode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Replace each label in the parameters of a trial by the label's object, and return the parameters.

        Examples
        --------
        >>> found = read_distributions({"depth": [None, 3]})
        >>> found.space.dimensions[0].choices, found.decode({"depth": "None"})
        (('None', 3), {'depth': None})
        """
        return {
            name: self.objects.get(name, {}).get(value, value) if isinstance(value, str) else value
            for name, value in params.items()
        }

    def first_point(self) -> dict[str, Any]:
        """Return one point of the space. The point contains objects instead of labels."""
        return self.decode(next(self.space.extreme_points()))


def read_distributions(param_distributions: Any) -> Distributions:
    """Convert the argument `param_distributions` of `LedgerSearchCV` to a search space.

    Raises
    ------
    UsageError
        `param_distributions` is not a mapping, or a dimension is not valid. The message is one line.

    Examples
    --------
    >>> from scipy.stats import loguniform, randint
    >>> found = read_distributions({"C": loguniform(1e-3, 1e3), "n": randint(1, 9), "p": (0.0, 1.0)})
    >>> print(*found.space.dimensions, sep="\\n")
    real, 0.001 to 1000, log-uniform
    integer, 1 to 8, uniform
    real, 0 to 1, uniform
    """
    if not isinstance(param_distributions, Mapping):
        raise UsageError(
            f"{PLACE} {show(param_distributions)} is not a dict; write a dict that maps the name of each parameter to"
            ' its distribution, such as {"C": loguniform(1e-3, 1e3)}'
        )
    tables: dict[Any, Any] = {}
    objects: dict[str, dict[str, Any]] = {}
    for name, given in param_distributions.items():
        values = _choices(given)
        if values is None:
            tables[name] = _table(name, given)
        else:
            choices, objects[str(name)] = _labelled(values)
            tables[name] = {"type": "categorical", "choices": choices}
    return Distributions(Space.from_toml(tables, PLACE), {name: found for name, found in objects.items() if found})


def _table(name: str, given: Any) -> Any:
    """Return the TOML table of a dimension that is not a list of choices."""
    if isinstance(given, tuple) and len(given) in (2, 3):
        kind = "integer" if all(isinstance(bound, int) for bound in given[:2]) else "real"
        table = {"type": kind, "low": given[0], "high": given[1]}
        return table if len(given) == 2 else {**table, "prior": given[2]}
    if hasattr(given, "dist") and hasattr(given, "support"):
        kind, prior = {
            "uniform": ("real", "uniform"),
            "loguniform": ("real", "log-uniform"),
            "reciprocal": ("real", "log-uniform"),
            "randint": ("integer", "uniform"),
        }.get(given.dist.name, ("", ""))
        if not kind:
            raise UsageError(
                f"{PLACE} {one_line(str(name))}: the distribution {given.dist.name} of scipy.stats has no bounded"
                " range; use uniform, loguniform or randint, or a list of choices"
            )
        low, high = (int(end) if kind == "integer" else float(end) for end in given.support())
        return {"type": kind, "low": low, "high": high, "prior": prior}
    if _is_of_skopt(given):
        kind = type(given).__name__.lower()
        low, high = (int(end) if kind == "integer" else float(end) for end in (given.low, given.high))
        return {"type": kind, "low": low, "high": high, "prior": given.prior}
    return given


def _choices(given: Any) -> list[Any] | None:
    """Return the choices of a list, an array or a categorical dimension of skopt.

    Return None for a dimension that is not a list of choices.
    """
    if isinstance(given, list | range) or (hasattr(given, "tolist") and getattr(given, "ndim", 0) == 1):
        return list(given)
    return list(given.categories) if _is_of_skopt(given) and hasattr(given, "categories") else None


def _is_of_skopt(given: Any) -> bool:
    # A value can be a dimension of skopt only if the program has imported skopt.
    skopt = sys.modules.get("skopt.space")
    return skopt is not None and isinstance(given, skopt.Dimension)


def _labelled(given: Iterable[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Convert the choices to values that the ledger can store.

    Return the values, and a mapping from each label to the label's object.
    """
    values = [
        value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value for value in given
    ]
    taken = {value for value in values if isinstance(value, str)}
    choices: list[Any] = []
    objects: dict[str, Any] = {}
    for value in values:
        if _is_plain(value):
            choices.append(value)
            continue
        label = name = one_line(_name(value), _LONGEST_LABEL)
        number = 1
        while label in taken:
            number += 1
            label = f"{name} ({number})"
        taken.add(label)
        choices.append(label)
        objects[label] = value
    return choices, objects


def _is_plain(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value) and abs(value) < 1e16
    return type(value) in (str, bool) or (type(value) is int and -(2**63) <= value < 2**63)


def _name(value: Any) -> str:
    if isinstance(value, type) or inspect.isroutine(value):
        return str(value.__qualname__)
    # The memory address of an object differs between two runs of the same program.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
