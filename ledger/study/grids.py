"""The grids of numeric dimensions. A grid is an ascending sequence of the numbers that a dimension allows."""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from ledger.text import show

# A double can represent every integer up to 2**53. skopt and many JSON parsers convert integers to doubles.
LARGEST_INTEGER = 2**53
# The code treats a number as equal to a value of a step grid if the difference is at most `ROUNDING` times the step.
# The code treats a number as equal to a value of a power grid if the difference is at most `ROUNDING` times the value.
# Floats such as 1/3 have rounding errors.
ROUNDING = Fraction(1, 10**9)


class Grid(ABC):
    """Base class of grids. A grid is an ascending sequence of the numbers that a numeric dimension allows, from `low`
    to `high`.

    Attributes
    ----------
    key : str
        The key that defines the grid in the table of a dimension, such as "step".
    prior : str
        The prior of each dimension that uses a grid of this class, such as "uniform".
    size : int
        The number of values, at least 2.
    """

    key: ClassVar[str]
    prior: ClassVar[str]
    size: int

    @abstractmethod
    def value(self, index: int) -> Fraction:
        """Return the grid's value at the index `index`. The index is at least 0 and less than `size`."""

    @abstractmethod
    def index(self, number: float) -> int:
        """Return the index of the value `number`. Raise ValueError if `number` is not a value of the grid."""

    @abstractmethod
    def to_json(self) -> Any:
        """Return the value that a dimension's table contains under the key `key`, such as the step 0.5."""

    @abstractmethod
    def __str__(self) -> str:
        """Return a text that describes the grid, such as "step 0.5"."""

    def _index(self, number: float, guess: int, largest_error: Fraction) -> int:
        """Limit the index `guess` to the range from 0 to ``size - 1``.

        Return the limited index if the grid's value at this index is near `number`. If the value is not near `number`,
        raise ValueError.
        """
        guess = min(max(guess, 0), self.size - 1)
        if abs(self.value(guess) - exact(number)) <= largest_error or float(self.value(guess)) == number:
            return guess
        kind = type(number)
        lower = guess if self.value(guess) < exact(number) else guess - 1
        near = _shown(kind, [self.value(each) for each in (lower, lower + 1) if 0 <= each < self.size])
        raise ValueError(
            f"{show(number)} is not an allowed value ({self}); the nearest values are {' and '.join(near)}"
        )


@dataclass(frozen=True)
class StepGrid(Grid):
    """A grid of the numbers `low`, `low + step`, `low + 2 step` and so on, up to and including `high`.

    The grid computes the numbers from the decimal texts of `low` and `step`. For example, in a grid from 0 with the
    step 0.1, the number after 0.2 is 0.3, and not 0.30000000000000004.

    Examples
    --------
    >>> grid = StepGrid.of(0.0, 1.0, 0.1)
    >>> grid.size, float(grid.value(3)), grid.index(0.7)
    (11, 0.3, 7)
    """

    key = "step"
    prior = "uniform"
    low: float
    high: float
    step: float
    size: int

    @classmethod
    def of(cls, low: float, high: float, step: Any) -> "StepGrid":
        """Return the grid. Raise ValueError if `step` is not valid, or if `high` is not a number of the grid."""
        if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < math.inf:
            raise ValueError(f"step {show(step)} is not a positive number")
        if isinstance(low, int):
            if not float(step).is_integer():
                raise ValueError(f"step {show(step)} is not an integer; write an integer, or make the dimension real")
            step = int(step)
        else:
            step = float(step)
            if step < 2 * math.ulp(max(abs(low), abs(high))):
                raise ValueError(f"step {show(step)} is below the precision of floats; write a larger step")
        steps = (exact(high) - exact(low)) / exact(step)
        if steps > LARGEST_INTEGER:
            raise ValueError(f"step {show(step)} produces more than 2**53 values; write a larger step, or remove step")
        last = round(steps)
        if last < 1 or abs(steps - last) > ROUNDING:
            multiples = {max(math.floor(steps), 1), math.ceil(steps)}
            ends = _shown(type(low), [exact(low) + multiple * exact(step) for multiple in sorted(multiples)])
            raise ValueError(
                f"the distance from low {show(low)} to high {show(high)} is not a multiple of step {show(step)}; write"
                f" high = {' or '.join(ends)}"
            )
        return cls(low, high, step, last + 1)

    def value(self, index: int) -> Fraction:
        return exact(self.high) if index == self.size - 1 else exact(self.low) + index * exact(self.step)

    def index(self, number: float) -> int:
        step = exact(self.step)
        return self._index(number, round((exact(number) - exact(self.low)) / step), ROUNDING * step)

    def to_json(self) -> float:
        return self.step

    def __str__(self) -> str:
        return f"step {show(self.step)}"


@dataclass(frozen=True)
class PowerGrid(Grid):
    """A grid of the powers of the integer `base`, with the exponents from `first` to ``first + size - 1``.

    Examples
    --------
    >>> grid = PowerGrid.of(16, 1024, 2)
    >>> [int(grid.value(index)) for index in range(grid.size)]
    [16, 32, 64, 128, 256, 512, 1024]
    """

    key = "powers_of"
    prior = "log-uniform"
    base: int
    first: int
    size: int

    @classmethod
    def of(cls, low: float, high: float, base: Any) -> "PowerGrid":
        """Return the grid. Raise ValueError if `base` is not valid, or if `low` or `high` is not a power of `base`."""
        if isinstance(base, bool) or not isinstance(base, int) or not 2 <= base <= LARGEST_INTEGER:
            raise ValueError(f"powers_of {show(base)} is not an integer of 2 or more, such as 2 or 10")
        first, last = (cls._exponent(key, bound, base) for key, bound in (("low", low), ("high", high)))
        return cls(base, first, last - first + 1)

    @staticmethod
    def _exponent(key: str, bound: float, base: int) -> int:
        if bound <= 0:
            raise ValueError(f"{key} {show(bound)} is not positive, but each power of {base} is positive; raise {key}")
        exponent = round(math.log(bound) / math.log(base))
        power = Fraction(base) ** exponent
        # A float near 0 has few significant digits, so the relative error of its decimal text can exceed `ROUNDING`.
        if abs(power - exact(bound)) <= ROUNDING * power or float(power) == bound:
            return exponent
        lower = exponent if power < exact(bound) else exponent - 1
        lowest = 0 if isinstance(bound, int) else lower
        near = _shown(type(bound), [Fraction(base) ** each for each in (lower, lower + 1) if each >= lowest])
        raise ValueError(f"{key} {show(bound)} is not a power of {base}; write {' or '.join(near)}")

    def value(self, index: int) -> Fraction:
        return Fraction(self.base) ** (self.first + index)

    def index(self, number: float) -> int:
        exponent = round(math.log(number) / math.log(self.base)) if number > 0 else self.first
        guess = min(max(exponent - self.first, 0), self.size - 1)
        return self._index(number, guess, ROUNDING * self.value(guess))

    def to_json(self) -> int:
        return self.base

    def __str__(self) -> str:
        return f"powers of {self.base}"


KINDS: dict[str, type[StepGrid] | type[PowerGrid]] = {kind.key: kind for kind in (StepGrid, PowerGrid)}


def exact(number: float) -> Fraction:
    """Return the exact fraction that a float's shortest decimal text represents, such as 1/10 for the float 0.1."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


def _shown(kind: type, numbers: Iterable[Fraction]) -> list[str]:
    """Convert each fraction to an int or a float, and return the texts of the results.

    Leave out each fraction that exceeds the largest float.
    """
    return [show(kind(number)) for number in numbers if number <= sys.float_info.max]
