"""The kinds of dimensions of a search space.

For each kind of dimension, one class checks, counts and parses the values, and converts the dimension to JSON.
"""

import json
import math
import numbers
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from ledger.text import nearest, show

PRIORS = ("uniform", "log-uniform")
# A double can represent every integer up to 2**53. skopt and many JSON parsers convert integers to doubles.
LARGEST_INTEGER = 2**53
LONGEST_NAME = 200


class Dimension(ABC):
    """A dimension of a search space, which is a parameter and its allowed values.

    Attributes
    ----------
    kind : str
        The kind of the dimension, such as "real". A study file and the JSON of a dimension have the kind under the key
        `type`.
    name : str
        The parameter's name.

    See Also
    --------
    Real, Integer, Categorical : The three kinds of dimensions.
    read_dimension : The function that creates a dimension from a dict, such as a TOML table.
    """

    kind: ClassVar[str]
    name: str

    @classmethod
    @abstractmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> Self:
        """Return the dimension that a dict with valid keys describes.

        Raise ValueError if a value in the dict is not allowed.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return a dict that describes this dimension. The keys of the dict include `name` and `type`."""

    @abstractmethod
    def size(self) -> int | None:
        """Return the number of values in the dimension, or None if this number is infinite."""

    @abstractmethod
    def value(self, index: int) -> Any:
        """Return the value with the index `index` in [0, size()).

        Raise TypeError if the number of values is infinite.
        """

    @abstractmethod
    def value_types(self) -> frozenset[type]:
        """Return the Python types of the dimension's values. Each type is float, int, bool or str."""

    @abstractmethod
    def normalise(self, value: Any) -> Any:
        """Convert a value from numpy or JSON to the Python type of the dimension's values.

        Raise ValueError if the value is not allowed.
        """

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value that a text represents. Raise ValueError if the value is not allowed."""

    @abstractmethod
    def __str__(self) -> str:
        """Return a text that describes the allowed values of the dimension, without the dimension's name."""


class _NumericDimension(Dimension):
    """A dimension of numbers from `low` to `high`, both included, with a `prior`."""

    low: Any
    high: Any
    prior: str

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> Self:
        prior = table.get("prior", PRIORS[0])
        if prior not in PRIORS:
            raise ValueError(f"unknown prior {show(prior)}{nearest(prior, PRIORS)}")
        low, high = cls._bound("low", table["low"]), cls._bound("high", table["high"])
        if not low < high:
            raise ValueError(f"low {show(low)} is not below high {show(high)}")
        if prior == "log-uniform" and low <= 0:
            raise ValueError(
                f"low {show(low)} is not positive, but log-uniform needs a positive low; raise low, or use uniform"
            )
        if not math.isfinite(high - low):
            raise ValueError(
                f"low {show(low)} and high {show(high)} are too far apart; choose bounds with a finite difference"
            )
        return cls(name, low, high, prior)  # type: ignore[call-arg]  # the fields of the dataclasses below

    @staticmethod
    @abstractmethod
    def _bound(key: str, value: Any) -> Any:
        """Convert a bound to the Python type of the values. Raise ValueError if the bound is not allowed."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.kind, "low": self.low, "high": self.high, "prior": self.prior}

    def __str__(self) -> str:
        return f"{self.kind}, {self.low:g} to {self.high:g}, {self.prior}"

    def _inside(self, value: Any) -> Any:
        if not self.low <= value <= self.high:
            raise ValueError(f"{show(value)} is not in {self._range()}")
        return value

    def _range(self) -> str:
        return f"[{show(self.low)}, {show(self.high)}]"

    def _read(self, text: str) -> float | int:
        try:
            # A text with an integer becomes an int instead of a float, because a float cannot represent every integer
            # beyond 2**53.
            return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text if "_" not in text else "")
        except ValueError:
            raise ValueError(f"{show(text)} is not a number in {self._range()}") from None


@dataclass(frozen=True)
class Real(_NumericDimension):
    """A real dimension of a search space, whose value is a float in [low, high].

    Parameters
    ----------
    name : str
    low, high : float
        The finite ends of the range, both included. `low` must be below `high`.
    prior : str
        The prior, "uniform" or "log-uniform". The log-uniform prior suits a positive range that covers several orders
        of magnitude.

    Examples
    --------
    >>> rate = Real("rate", 1e-5, 1.0, "log-uniform")
    >>> rate.normalise(1)
    1.0
    >>> print(rate)
    real, 1e-05 to 1, log-uniform
    """

    kind = "real"
    name: str
    low: float
    high: float
    prior: str = "uniform"

    @staticmethod
    def _bound(key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} {show(value)} is not a number")
        bound = _float(value)
        if not math.isfinite(bound):
            raise ValueError(f"{key} {show(value)} is not finite")
        return bound

    def size(self) -> None:
        return None

    def value(self, index: int) -> float:  # noqa: ARG002
        raise TypeError(f"the values of the real dimension {self.name!r} cannot be counted")

    def value_types(self) -> frozenset[type]:
        return frozenset({float})

    def normalise(self, value: Any) -> float:
        # PostgreSQL's jsonb returns the float 1e16 as an integer, so a real parameter also accepts integers.
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError(f"{show(value)} is not a number")
        return float(self._inside(_float(value)))

    def parse(self, text: str) -> float:
        return self.normalise(self._read(text.strip()))


@dataclass(frozen=True)
class Integer(_NumericDimension):
    """An integer dimension of a search space, whose value is an int in [low, high].

    Parameters
    ----------
    name : str
    low, high : int
        The ends of the range, both included. `low` must be below `high`, and both must be from -2**53 to 2**53.
    prior : str
        The prior, "uniform" or "log-uniform". The log-uniform prior needs a positive range.

    Examples
    --------
    >>> depth = Integer("depth", 1, 8)
    >>> depth.size(), depth.value(0), depth.parse("3")
    (8, 1, 3)
    """

    kind = "integer"
    name: str
    low: int
    high: int
    prior: str = "uniform"

    @staticmethod
    def _bound(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{key} {show(value)} is not an integer; write an integer, or make the dimension real")
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{key} {show(value)} is beyond 2**53, where floats are not exact; write a number nearer to 0"
            )
        return value

    def size(self) -> int:
        return self.high - self.low + 1

    def value(self, index: int) -> int:
        return self.low + index

    def value_types(self) -> frozenset[type]:
        return frozenset({int})

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
class Categorical(Dimension):
    """A categorical dimension of a search space, whose value is one of several choices without an order.

    Parameters
    ----------
    name : str
    choices : tuple
        One or more choices, each of which is a string, an integer, a float or a boolean. No two choices may be equal.
        Python treats 1, 1.0 and True as equal.

    Examples
    --------
    >>> kernel = Categorical("kernel", ("rbf", "linear", True))
    >>> kernel.size(), kernel.value(1), kernel.parse("true")
    (3, 'linear', True)
    >>> kernel.normalise("poly")
    Traceback (most recent call last):
    ...
    ValueError: "poly" is not one of "rbf", "linear", true
    """

    kind = "categorical"
    name: str
    choices: tuple[Any, ...]

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> "Categorical":
        values = table["choices"]
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f'choices {show(values)} must be a list of at least one value, as in ["rbf", "linear"]')
        # A Python dict treats 1, 1.0 and True as the same key. PostgreSQL's jsonb treats 1 and 1.0 as the same value.
        seen: dict[Any, Any] = {}
        for value in values:
            _check_choice(value)
            if value in seen:
                raise ValueError(f"choices {show(seen[value])} and {show(value)} are equal; leave one out")
            seen[value] = value
        return cls(name, tuple(value + 0.0 if isinstance(value, float) else value for value in values))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.kind, "choices": list(self.choices)}

    def size(self) -> int:
        return len(self.choices)

    def value(self, index: int) -> Any:
        return self.choices[index]

    def value_types(self) -> frozenset[type]:
        return frozenset(type(choice) for choice in self.choices)

    def normalise(self, value: Any) -> Any:
        plain = value.item() if hasattr(value, "item") else value
        for choice in self.choices:
            if choice == plain and isinstance(choice, bool) == isinstance(plain, bool):
                return choice
        raise ValueError(f"{show(value)} is not one of {self}")

    def parse(self, text: str) -> Any:
        if text in self.choices:
            return text
        try:
            return self.normalise(json.loads(text.strip().lower()))
        except (ValueError, RecursionError):
            raise ValueError(f"{show(text)} is not one of {self}") from None

    def __str__(self) -> str:
        return ", ".join(map(show, self.choices))


KINDS: dict[str, type[Dimension]] = {kind.kind: kind for kind in (Real, Integer, Categorical)}


def read_dimension(name: str, table: Any) -> Dimension:
    """Return the dimension that a dict describes, such as a TOML table.

    Parameters
    ----------
    name : str
        The dimension's name, which must be printable and have at most 200 characters.
    table : mapping
        The settings of the dimension, with the key `type` and all keys that a dimension of this type requires.

    Raises
    ------
    ValueError
        The name of the dimension or a setting of the dimension is not valid. The error message is one line that has the
        wrong value and says what is allowed.

    Examples
    --------
    >>> read_dimension("depth", {"type": "integer", "low": 1, "high": 8})
    Integer(name='depth', low=1, high=8, prior='uniform')
    """
    if not is_printable(name) or len(name) > LONGEST_NAME:
        raise ValueError(f"a dimension needs a name of 1 to {LONGEST_NAME} printable characters")
    if not isinstance(table, Mapping):
        raise ValueError(f'{show(table)} is not a table; write {{ type = "real", low = ..., high = ... }}')
    if "type" not in table:
        raise ValueError(f"the type is missing; choose {', '.join(KINDS)}")
    kind = KINDS.get(table["type"]) if isinstance(table["type"], str) else None
    if kind is None:
        raise ValueError(f"unknown type {show(table['type'])}{nearest(table['type'], KINDS)}")
    keys = ["type", *(field.name for field in fields(kind) if field.name != "name")]  # type: ignore[arg-type]
    for key in table:
        if key not in keys:
            raise ValueError(f"unknown key {show(key)} in a dimension of type {kind.kind}{nearest(key, keys)}")
    needed = [key for key in keys if key != "prior"]
    for key in needed:
        if key not in table:
            raise ValueError(f"{key} is missing; a dimension of type {kind.kind} needs {', '.join(needed)}")
    return kind.from_table(name, table)


def is_printable(name: Any) -> bool:
    """Return whether a name is a printable text that is not blank."""
    return isinstance(name, str) and name.isprintable() and bool(name.strip())


def _check_choice(value: Any) -> None:
    if not isinstance(value, str | int | float):
        raise ValueError(f"choice {show(value)} is not a string, a number or a boolean")
    if isinstance(value, str):
        _check_storable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"choice {show(value)} is beyond 64 bits; write a smaller integer, or make the dimension real")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"choice {show(value)} is not finite")
        if abs(value) >= 1e16:
            raise ValueError(f"choice {show(value)} is a float that PostgreSQL returns as an integer; write an integer")


def _check_storable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"choice {text!a} is not valid Unicode") from None
    if "\0" in text:
        raise ValueError(f"choice {show(text)} contains a NUL character, which PostgreSQL cannot store")


def _float(value: Any) -> float:
    try:
        return float(value) + 0.0  # Adding 0.0 removes a negative zero, which jsonb does not have.
    except OverflowError:
        return math.inf if value > 0 else -math.inf
