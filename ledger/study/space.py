"""The search space of a study: ordered dimensions, read from TOML or JSON, and the exact values that lie in it."""

import json
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from ledger.errors import UsageError
from ledger.text import nearest, show

PRIORS = ("uniform", "log-uniform")
# A double holds every integer up to here, and both skopt and JSON readers compute with doubles.
LARGEST_INTEGER = 2**53


class _Numeric:
    """What real and integer dimensions share: `low`, `high` (both included) and a `prior`."""

    kind: ClassVar[str]
    name: str
    low: Any
    high: Any
    prior: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.kind, "low": self.low, "high": self.high, "prior": self.prior}

    def _inside(self, value: Any) -> Any:
        if not self.low <= value <= self.high:
            raise ValueError(f"{show(value)} is not in {self._range()}")
        return value

    def _range(self) -> str:
        return f"[{show(self.low)}, {show(self.high)}]"

    def _read(self, text: str) -> float | int:
        try:
            # beyond 2**53 a float would not be what was written
            return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text if "_" not in text else "")
        except ValueError:
            raise ValueError(f"{show(text)} is not a number in {self._range()}") from None


@dataclass(frozen=True)
class Real(_Numeric):
    """A float in [low, high]."""

    kind = "real"
    name: str
    low: float
    high: float
    prior: str = "uniform"

    def size(self) -> None:
        return None

    def normalise(self, value: Any) -> float:
        # jsonb returns 1e16 as an integer
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError(f"{show(value)} is not a number")
        return float(self._inside(_float(value)))

    def parse(self, text: str) -> float:
        return self.normalise(self._read(text.strip()))


@dataclass(frozen=True)
class Integer(_Numeric):
    """An int in [low, high]."""

    kind = "integer"
    name: str
    low: int
    high: int
    prior: str = "uniform"

    def size(self) -> int:
        return self.high - self.low + 1

    def value(self, index: int) -> int:
        return self.low + index

    def normalise(self, value: Any) -> int:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_number or not _float(value).is_integer():
            raise ValueError(f"{show(value)} is not an integer")
        return int(self._inside(int(value)))

    def parse(self, text: str) -> int:
        try:
            return self.normalise(self._read(text.strip()))
        except ValueError as error:
            if self._range() in str(error):
                raise
            raise ValueError(f"{error} in {self._range()}") from None


@dataclass(frozen=True)
class Categorical:
    """One of `choices`, which are strings, integers, floats or booleans, no two of them equal in Python."""

    kind = "categorical"
    name: str
    choices: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.kind, "choices": list(self.choices)}

    def size(self) -> int:
        return len(self.choices)

    def value(self, index: int) -> Any:
        return self.choices[index]

    def normalise(self, value: Any) -> Any:
        plain = value.item() if hasattr(value, "item") else value
        for choice in self.choices:
            if choice == plain and isinstance(choice, bool) == isinstance(plain, bool):
                return choice
        raise ValueError(f"{show(value)} is not one of {', '.join(map(show, self.choices))}")

    def parse(self, text: str) -> Any:
        if text in self.choices:
            return text
        try:
            return self.normalise(json.loads(text.strip().lower()))
        except (ValueError, RecursionError):
            raise ValueError(f"{show(text)} is not one of {', '.join(map(show, self.choices))}") from None


Dimension = Real | Integer | Categorical
KINDS: dict[str, type[Dimension]] = {kind.kind: kind for kind in (Real, Integer, Categorical)}


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, in the order in which they were given; at least one, with distinct names."""

    dimensions: tuple[Dimension, ...]

    @classmethod
    def from_toml(cls, table: Mapping[str, Any], place: str = "[space]") -> "Space":
        """Read a study file's table: from a parameter's name to what it is.

        Parameters
        ----------
        table : mapping
            As in ``{"C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"}}``.
        place : str
            Where the table stands, for messages.

        Raises
        ------
        UsageError
            Something is wrong with it; one line with the place, the value and what is allowed.
        """
        for name, dimension in table.items():
            if isinstance(dimension, Mapping) and "name" in dimension:
                raise UsageError(f"{place} {name}: unknown key 'name'; the name of a dimension is its key")
        return cls._read([(name, table[name]) for name in table], place)

    @classmethod
    def from_json(cls, objects: Sequence[Mapping[str, Any]], place: str = "space") -> "Space":
        """Read what `to_json` wrote, also after a round trip through jsonb. Raises UsageError like `from_toml`."""
        pairs = []
        for one in objects:
            table = dict(one)
            pairs.append((table.pop("name", ""), table))
        return cls._read(pairs, place)

    @classmethod
    def _read(cls, pairs: Iterable[tuple[Any, Any]], place: str) -> "Space":
        dimensions: dict[str, Dimension] = {}
        for name, table in pairs:
            try:
                _check_name(name)
                if name in dimensions:
                    raise ValueError("the name is repeated; give each parameter one dimension")
                dimensions[name] = _dimension(name, table)
            except ValueError as error:
                raise UsageError(
                    f"{place} {name if _is_plain(name) and len(name) <= 200 else show(name)}: {error}"
                ) from None
        if not dimensions:
            raise UsageError(
                f'{place} has no dimension; add one, as in C = {{ type = "real", low = 1e-3, high = 1e3 }}'
            )
        return cls(tuple(dimensions.values()))

    def to_json(self) -> list[dict[str, Any]]:
        """Return a list of objects, one a dimension, in order."""
        return [dimension.to_json() for dimension in self.dimensions]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    def size(self) -> int | None:
        """Return the number of distinct points, or None where a real makes it infinite."""
        sizes = [dimension.size() for dimension in self.dimensions]
        counted = [size for size in sizes if size is not None]
        return math.prod(counted) if len(counted) == len(sizes) else None

    def point(self, index: int) -> dict[str, Any]:
        """Return the point at `index`, in [0, size()), of a finite space; the last dimension varies fastest."""
        params: dict[str, Any] = {}
        for dimension in reversed(self.dimensions):
            if isinstance(dimension, Real):
                raise TypeError("a space with a real dimension has no points to count")
            index, place = divmod(index, dimension.size())
            params[dimension.name] = dimension.value(place)
        return {name: params[name] for name in self.names}

    def normalise(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return `params` in the space's order and in exact Python types.

        Parameters
        ----------
        params : mapping
            Values as numpy or JSON give them: a numpy scalar, or an int for a float that was written as 1e16.

        Raises
        ------
        UsageError
            A parameter is missing, unknown or outside its dimension.
        """
        return self._point(params, lambda dimension: dimension.normalise)

    def parse(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the point that `texts` say, as on a command line or in a table, typed by the dimensions.

        Raises
        ------
        UsageError
            A parameter is missing, unknown or outside its dimension; the line has its value and what is allowed.
        """
        return self._point(texts, lambda dimension: dimension.parse)

    def _point(self, given: Mapping[str, Any], convert: Callable[[Dimension], Callable[[Any], Any]]) -> dict[str, Any]:
        for name in given:
            if name not in self.names:
                raise UsageError(f"the space has no parameter {name!r}{nearest(name, self.names)}")
        point = {}
        for dimension in self.dimensions:
            if dimension.name not in given:
                raise UsageError(f"parameter {dimension.name!r} of the space is missing; give it a value")
            try:
                point[dimension.name] = convert(dimension)(given[dimension.name])
            except ValueError as error:
                raise UsageError(f"parameter {dimension.name!r}: {error}") from None
        return point

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether `params` is a point of the space, each value in its dimension's type or one equal to it."""
        try:
            self.normalise(params)
        except UsageError:
            return False
        return True


def _is_plain(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable() and bool(name.strip())


def _check_name(name: Any) -> None:
    if not _is_plain(name) or len(name) > 200:
        raise ValueError("a dimension needs a name of 1 to 200 printable characters")


def _dimension(name: str, table: Any) -> Dimension:
    if not isinstance(table, Mapping):
        raise ValueError(f'{show(table)} is not a table; write {{ type = "real", low = ..., high = ... }}')
    if "type" not in table:
        raise ValueError(f"the type is missing; choose {', '.join(KINDS)}")
    kind = KINDS.get(table["type"]) if isinstance(table["type"], str) else None
    if kind is None:
        raise ValueError(f"unknown type {show(table['type'])}{nearest(table['type'], KINDS)}")
    keys = ["type", *(field.name for field in fields(kind) if field.name != "name")]
    for key in table:
        if key not in keys:
            raise ValueError(f"unknown key {show(key)} of {kind.kind}{nearest(key, keys)}")
    for key in keys:
        if key not in table and key != "prior":
            raise ValueError(f"{key} is missing; {kind.kind} needs {', '.join(one for one in keys if one != 'prior')}")
    if kind is Categorical:
        return Categorical(name, _choices(table["choices"]))
    prior = table.get("prior", PRIORS[0])
    if prior not in PRIORS:
        raise ValueError(f"unknown prior {show(prior)}{nearest(prior, PRIORS)}")
    if kind is Integer:
        integer = Integer(name, _integer_bound("low", table["low"]), _integer_bound("high", table["high"]), prior)
        return _checked(integer)
    return _checked(Real(name, _real_bound("low", table["low"]), _real_bound("high", table["high"]), prior))


N = TypeVar("N", Real, Integer)


def _checked(dimension: N) -> N:
    low, high = dimension.low, dimension.high
    if not low < high:
        raise ValueError(f"low {show(low)} is not below high {show(high)}")
    if dimension.prior == "log-uniform" and low <= 0:
        raise ValueError(f"low {show(low)} is not positive, which log-uniform needs; raise it, or use uniform")
    if not math.isfinite(high - low):
        raise ValueError(f"low {show(low)} and high {show(high)} are too far apart; their difference must be finite")
    return dimension


def _integer_bound(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} {show(value)} is not an integer; write one, or make the dimension real")
    if abs(value) > LARGEST_INTEGER:
        raise ValueError(f"{key} {show(value)} is beyond 2**53, where floats skip integers; keep within it")
    return value


def _real_bound(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} {show(value)} is not a number")
    bound = _float(value)
    if not math.isfinite(bound):
        raise ValueError(f"{key} {show(value)} is not finite")
    return bound


def _choices(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f'choices {show(values)} must be a list of at least one value, as in ["rbf", "linear"]')
    seen: dict[Any, Any] = {}
    for value in values:
        if not isinstance(value, str | int | float):
            raise ValueError(f"choice {show(value)} is not a string, a number or a boolean")
        # a Python dict, and jsonb for the first two, cannot tell 1, 1.0 and true apart
        if value in seen:
            raise ValueError(f"choices {show(seen[value])} and {show(value)} are equal; leave one out")
        seen[value] = value
        if isinstance(value, str):
            _check_storable(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"choice {show(value)} is beyond 64 bits; write a smaller one, or make the dimension real")
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"choice {show(value)} is not finite")
            if abs(value) >= 1e16:
                raise ValueError(f"choice {show(value)} would come back from PostgreSQL as an integer; write it as one")
    return tuple(value + 0.0 if isinstance(value, float) else value for value in values)


def _check_storable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"choice {text!a} is not valid Unicode") from None
    if "\0" in text:
        raise ValueError(f"choice {show(text)} holds a NUL character, which PostgreSQL cannot store")


def _float(value: Any) -> float:
    try:
        return float(value) + 0.0  # jsonb has no negative zero
    except OverflowError:
        return math.inf if value > 0 else -math.inf
