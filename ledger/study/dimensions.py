"""The classes of the dimensions of a search space.

Each class checks, counts and parses the values of a dimension, and converts the dimension to JSON.
"""

import ast
import json
import math
import numbers
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from ledger.study import grids
from ledger.study.choices import (
    Tuples,
    as_json,
    checked_choice,
    choice_key,
    choice_texts,
    tuples_in,
    with_tuples,
)
from ledger.study.grids import LARGEST_INTEGER, Grid
from ledger.text import nearest, show

PRIORS = ("uniform", "log-uniform")


@dataclass(frozen=True)
class Default:
    """The default of a dimension. The class distinguishes the default None from a dimension without a default.

    Attributes
    ----------
    value : object
        An allowed value of the dimension, as the dimension's method `normalise` returns it.
    """

    value: Any


class Dimension(ABC):
    """Base class of the dimensions of a search space. A dimension describes a parameter and the allowed values of the
    parameter.

    Attributes
    ----------
    kind : str
        The kind of the dimension, such as "real". In a study file and in the JSON of a dimension, the key `type`
        contains the kind.
    needed, optional : tuple of str
        `needed` lists the keys that the dict of a dimension must contain. `optional` lists the keys that the dict can
        also contain. The key `type` is in neither of the two tuples.
    name : str
        The parameter's name.
    default : Default or None
        The value that the study tries first, or None if the dimension has no default.

    See Also
    --------
    Real, Integer, Categorical : The three kinds of dimensions.
    ledger.study.dimension_forms.read_dimension : Creates a dimension from a dict, such as a TOML table.
    """

    kind: ClassVar[str]
    needed: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]]
    name: str
    default: Default | None

    @classmethod
    @abstractmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> Self:
        """Create a dimension from a dict that describes the dimension. The keys of the dict must be valid.

        Raise ValueError if a value in the dict is not allowed.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return a dict that describes this dimension. The keys of the dict include `name` and `type`."""

    @abstractmethod
    def size(self) -> int | None:
        """Return the number of values of the dimension, or None if the number is infinite."""

    @abstractmethod
    def value(self, index: int) -> Any:
        """Return the value with the index `index`. The index must be in [0, size()).

        Raise TypeError if the number of values is infinite.
        """

    @abstractmethod
    def index(self, value: Any) -> int:
        """Return the index of a value. The method `value` converts the index back into the value.

        Raise TypeError if the number of values is infinite.
        """

    @abstractmethod
    def extremes(self) -> list[Any]:
        """Return the smallest and the largest number of a numeric dimension, or all choices of a categorical
        dimension.
        """

    @property
    def is_ordinal(self) -> bool:
        """True if the optimizer searches the indices of the values instead of the values."""
        return False

    @abstractmethod
    def value_types(self) -> frozenset[type]:
        """Return the Python types of the dimension's values.

        Each type is float, int, bool, str, NoneType, list, tuple or dict.
        """

    @abstractmethod
    def normalise(self, value: Any) -> Any:
        """Convert a value of numpy or JSON into the Python type of the dimension's values.

        Raise ValueError if the value is not allowed.
        """

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Convert a text into a value of the dimension. Raise ValueError if the value is not allowed."""

    @abstractmethod
    def allowed(self) -> str:
        """Return a text that describes the allowed values."""

    def __str__(self) -> str:
        """Return a text that describes the allowed values and the default, but does not contain the name of the
        dimension.
        """
        return self.allowed() if self.default is None else f"{self.allowed()}; default {show(self.default.value)}"

    def _with_default(self, table: Mapping[str, Any]) -> Self:
        """Return the dimension with the default of a dict. Raise ValueError if the default is not allowed."""
        if "default" not in table:
            return self
        try:
            default = Default(self._read_default(table["default"]))
        except ValueError as error:
            raise ValueError(f"default {error}; write an allowed value, or leave the default out") from None
        return replace(self, default=default)  # type: ignore[type-var]

    def _read_default(self, value: Any) -> Any:
        return self.normalise(value)

    def _default_json(self) -> dict[str, Any]:
        return {} if self.default is None else {"default": as_json(self.default.value)}


class _NumericDimension(Dimension):
    """Base class of the dimensions whose values are numbers from `low` to `high`, including `low` and `high`."""

    needed = ("low", "high")
    optional = ("prior", *grids.KINDS, "default")
    low: Any
    high: Any
    prior: str
    grid: Grid | None

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> Self:
        prior = table.get("prior", PRIORS[0])
        if prior not in PRIORS:
            raise ValueError(f"unknown prior {show(prior)}{nearest(prior, PRIORS)}")
        low, high = cls._bound("low", table["low"]), cls._bound("high", table["high"])
        if low == high:
            raise ValueError(
                f"low {show(low)} is not below high {show(high)}; for a constant, write only the value {show(low)}"
            )
        if not low < high:
            raise ValueError(f"low {show(low)} is not below high {show(high)}")
        if prior == "log-uniform" and low <= 0:
            raise ValueError(
                f"low {show(low)} is not positive, but log-uniform needs a positive low; raise low, or use uniform"
            )
        if not math.isfinite(high - low):
            raise ValueError(
                f"low {show(low)} and high {show(high)} are too far apart; choose bounds whose difference is a finite"
                " number"
            )
        grid = cls._grid(low, high, table)
        dimension = cls(name, low, high, prior if grid is None else grid.prior, grid)  # type: ignore[call-arg]
        return dimension._with_default(table)

    @classmethod
    def _grid(cls, low: Any, high: Any, table: Mapping[str, Any]) -> Grid | None:
        keys = [key for key in grids.KINDS if key in table]
        if not keys:
            return None
        if len(keys) > 1:
            raise ValueError(f"{' and '.join(keys)} exclude each other; remove one of them")
        kind = grids.KINDS[keys[0]]
        if table.get("prior", kind.prior) != kind.prior:
            raise ValueError(
                f"{kind.key} and the prior {table['prior']} exclude each other; leave the prior out, because all values"
                f" of {kind.key} are equally probable"
            )
        return kind.of(low, high, table[kind.key])

    @staticmethod
    @abstractmethod
    def _bound(key: str, value: Any) -> Any:
        """Convert a bound into the Python type of the values. Raise ValueError if the bound is not allowed."""

    def to_json(self) -> dict[str, Any]:
        grid = {} if self.grid is None else {self.grid.key: self.grid.to_json()}
        bounds = {"low": self.low, "high": self.high, "prior": self.prior}
        return {"name": self.name, "type": self.kind, **bounds, **grid, **self._default_json()}

    def extremes(self) -> list[Any]:
        return [self.low, self.high] if self.grid is None else [self.value(0), self.value(self.grid.size - 1)]

    @property
    def is_ordinal(self) -> bool:
        return self.grid is not None

    def allowed(self) -> str:
        return f"{self.kind}, {self.low:g} to {self.high:g}, {self.prior if self.grid is None else self.grid}"

    def _inside(self, value: Any) -> Any:
        """Return the value of the dimension that equals `value`. If the dimension has a grid, the method ignores a
        rounding error in `value`.
        """
        if not self.low <= value <= self.high:
            raise ValueError(f"{show(value)} is not in {self._range()}")
        return value if self.grid is None else self.value(self.grid.index(value))

    def _range(self) -> str:
        return f"[{show(self.low)}, {show(self.high)}]"

    def _read(self, text: str) -> float | int:
        try:
            # The method returns an int for the text of an integer, because a float cannot represent every integer
            # beyond 2**53.
            return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text if "_" not in text else "")
        except ValueError:
            raise ValueError(f"{show(text)} is not a number in {self._range()}") from None


@dataclass(frozen=True)
class Real(_NumericDimension):
    """A real dimension of a search space. Each value of the dimension is a float in [low, high].

    Parameters
    ----------
    name : str
    low, high : float
        The bounds of the range. Both bounds are finite, and are allowed values. `low` must be below `high`.
    prior : str
        The prior, "uniform" or "log-uniform". The log-uniform prior is useful for a positive range that covers several
        orders of magnitude.
    grid : Grid, optional
        The grid of the allowed values. By default, every float in [low, high] is allowed.
    default : Default, optional
        The value that the study tries first.

    Examples
    --------
    >>> rate = Real("rate", 1e-5, 1.0, "log-uniform")
    >>> rate.normalise(1)
    1.0
    >>> print(rate)
    real, 1e-05 to 1, log-uniform
    >>> print(Real.from_table("dropout", {"low": 0, "high": 0.5, "step": 0.1}))
    real, 0 to 0.5, step 0.1
    >>> print(Real.from_table("dropout", {"low": 0, "high": 0.5, "default": 0.2}))
    real, 0 to 0.5, uniform; default 0.2
    """

    kind = "real"
    name: str
    low: float
    high: float
    prior: str = "uniform"
    grid: Grid | None = None
    default: Default | None = None

    @staticmethod
    def _bound(key: str, value: Any) -> float:
        value = plain_number(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} {show(value)} is not a number")
        bound = _float(value)
        if not math.isfinite(bound):
            raise ValueError(f"{key} {show(value)} is not finite")
        return bound

    def size(self) -> int | None:
        return None if self.grid is None else self.grid.size

    def value(self, index: int) -> float:
        return float(self._counted().value(index))

    def index(self, value: Any) -> int:
        return self._counted().index(value)

    def _counted(self) -> Grid:
        if self.grid is None:
            raise TypeError(f"the values of the real dimension {self.name!r} cannot be counted")
        return self.grid

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
    """An integer dimension of a search space. Each value of the dimension is an int in [low, high].

    Parameters
    ----------
    name : str
    low, high : int
        The bounds of the range. Both bounds are allowed values. `low` must be below `high`. Both bounds must be in
        [-2**53, 2**53].
    prior : str
        The prior, "uniform" or "log-uniform". With the log-uniform prior, `low` must be positive.
    grid : Grid, optional
        The grid of the allowed values. By default, every integer in [low, high] is allowed.
    default : Default, optional
        The value that the study tries first.

    Examples
    --------
    >>> depth = Integer("depth", 1, 8)
    >>> depth.size(), depth.value(0), depth.parse("3")
    (8, 1, 3)
    >>> batch = Integer.from_table("batch", {"low": 16, "high": 256, "powers_of": 2})
    >>> [batch.value(index) for index in range(batch.size())]
    [16, 32, 64, 128, 256]
    """

    kind = "integer"
    name: str
    low: int
    high: int
    prior: str = "uniform"
    grid: Grid | None = None
    default: Default | None = None

    @staticmethod
    def _bound(key: str, value: Any) -> int:
        value = plain_number(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{key} {show(value)} is not an integer; write an integer, or make the dimension real")
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{key} {show(value)} is beyond 2**53, where floats are not exact; write a number nearer to 0"
            )
        return value

    @classmethod
    def _grid(cls, low: Any, high: Any, table: Mapping[str, Any]) -> Grid | None:
        grid = super()._grid(low, high, table)
        # A grid with the step 1 contains every integer of the range, so the grid is not necessary.
        return None if isinstance(grid, grids.StepGrid) and grid.step == 1 else grid

    def size(self) -> int:
        return self.high - self.low + 1 if self.grid is None else self.grid.size

    def value(self, index: int) -> int:
        return self.low + index if self.grid is None else int(self.grid.value(index))

    def index(self, value: Any) -> int:
        return value - self.low if self.grid is None else self.grid.index(value)

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
    """A categorical dimension of a search space. Each value of the dimension is one of the choices.

    A dimension with one choice is a constant.

    Parameters
    ----------
    name : str
    choices : tuple
        The choices, at least one. Each choice is a JSON value or a Python tuple of JSON values. All choices must be
        different. The ledger treats the choices 1, 1.0 and True as equal. The ledger treats a tuple and a list of the
        same items as equal.
    ordered : bool
        True if the choices are in ascending or descending order. If `ordered` is True, the optimizer assumes that two
        neighbouring choices have similar losses. If `ordered` is False, the optimizer does not assume that neighbouring
        choices have similar losses.
    default : Default, optional
        The choice that the study tries first.

    Examples
    --------
    >>> depth = Categorical("depth", (None, 4, 8, (16, 32)))
    >>> depth.size(), depth.value(1), depth.parse("null"), depth.normalise([16, 32])
    (4, 4, None, (16, 32))
    >>> Categorical("kernel", ("rbf", "linear")).normalise("poly")
    Traceback (most recent call last):
    ...
    ValueError: "poly" is not one of "rbf", "linear"
    """

    kind = "categorical"
    needed = ("choices",)
    optional = ("ordered", "tuples", "default")
    name: str
    choices: tuple[Any, ...]
    ordered: bool = False
    default: Default | None = None

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any]) -> "Categorical":
        values = _listed(table["choices"])
        choices = [checked_choice(value) for value in values]
        seen: dict[str, Any] = {}
        for value in choices:
            key = choice_key(value, like_python=True)
            if key in seen:
                raise ValueError(f"choices {show(seen[key])} and {show(value)} are equal; remove one of them")
            seen[key] = value
        ordered = table.get("ordered", False)
        if not isinstance(ordered, bool):
            raise ValueError(f'the key "ordered" must be true or false, not {show(ordered)}')
        dimension = cls(name, tuple(with_tuples(choices, _tuples(table.get("tuples", False)))), ordered)
        return dimension._with_default(table)

    def _read_default(self, value: Any) -> Any:
        try:
            return self.normalise(value)
        except ValueError:
            if not isinstance(value, str):
                raise
            # TOML has no null, so the default can also be a text that the command line accepts, such as "null".
            return self.parse(value)

    def to_json(self) -> dict[str, Any]:
        tuples = tuples_in(self.choices)
        return {
            "name": self.name,
            "type": self.kind,
            "choices": as_json(self.choices),
            **({"ordered": True} if self.ordered else {}),
            **({"tuples": tuples} if tuples else {}),
            **self._default_json(),
        }

    def extremes(self) -> list[Any]:
        return list(self.choices)

    @property
    def is_ordinal(self) -> bool:
        return self.ordered

    def size(self) -> int:
        return len(self.choices)

    def value(self, index: int) -> Any:
        return self.choices[index]

    def index(self, value: Any) -> int:
        try:
            return self._indices[choice_key(value)]
        except (KeyError, ValueError):
            raise ValueError(f"{show(value)} is not one of {self.allowed()}") from None

    def value_types(self) -> frozenset[type]:
        return frozenset(type(choice) for choice in self.choices)

    def normalise(self, value: Any) -> Any:
        return self.choices[self.index(value)]

    def parse(self, text: str) -> Any:
        if text in self._texts:
            return self.choices[self._texts[text]]
        for value in _readings(text):
            with suppress(ValueError):
                return self.normalise(value)
        raise ValueError(f"{show(text)} is not one of {self.allowed()}")

    def texts(self) -> list[str]:
        """Return a different text for each choice. The method `parse` converts a text back into the choice that the
        text represents.
        """
        return choice_texts(self.choices)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {choice_key(choice): index for index, choice in enumerate(self.choices)}

    @cached_property
    def _texts(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.texts())}

    def allowed(self) -> str:
        return ", ".join(map(show, self.choices))


def plain_number(value: Any) -> Any:
    """Convert a NumPy number into a Python number, and return any other value unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> plain_number(np.int64(3)), plain_number("3")
    (3, '3')
    """
    return value.item() if isinstance(value, numbers.Number) and hasattr(value, "item") else value


def _listed(choices: Any) -> list[Any] | tuple[Any, ...]:
    """Return the list of choices.

    The argument `choices` can be a list or the JSON text of a list. A JSON text can contain null, but TOML has no null.
    """
    if isinstance(choices, str):
        try:
            listed = json.loads(choices)
        except (ValueError, RecursionError):
            listed = None
    else:
        listed = choices
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(
            f'choices {show(choices)} must be a list of at least one value, as in ["rbf", "linear"], or the JSON text'
            " of such a list"
        )
    return listed


def _readings(text: str) -> Iterator[Any]:
    """Yield `text`. If `text` is valid JSON or a Python literal, also yield the value of `text`."""
    yield text
    stripped = text.strip()
    for form in (stripped, stripped.lower()):
        with suppress(ValueError, RecursionError):
            yield json.loads(form)
    if stripped == "None":
        yield None
    if stripped.startswith(("(", "[", "{")):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            yield ast.literal_eval(stripped)


def _tuples(given: Any) -> Tuples:
    if isinstance(given, bool):
        return given
    if isinstance(given, list) and all(
        isinstance(path, list) and all(isinstance(part, int | str) for part in path) for path in given
    ):
        return given
    raise ValueError(
        f'the key "tuples" must be true or false, not {show(given)}; write true if each list in the choices stands for'
        " a tuple"
    )


def _float(value: Any) -> float:
    try:
        return float(value) + 0.0  # Adding 0.0 removes a negative zero, which jsonb does not have.
    except OverflowError:
        return math.inf if value > 0 else -math.inf
