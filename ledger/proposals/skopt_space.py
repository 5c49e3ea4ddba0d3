"""Conversion of a study's search space into a search space of skopt.

The ledger converts a real value into a share of the parameter's range, in [0, 1]. The ledger converts a choice into the
index of the choice. If a parameter has a grid or ordered choices, the ledger converts a value into the index of the
value. The index is an integer. skopt can propose only an index, so every proposed value is a value of the grid. Another
advantage of an index is that the index needs only one column in the input of the surrogate. The search space of skopt
does not contain parameters that have only one value. The conversion to shares and indices avoids three faults of skopt.
In the first fault, a rounding error of a logarithm moves a real value past a bound of the dimension. In the second
fault, numpy changes the type of a choice. In the third fault, skopt treats two different points as equal if the
distance between the points is less than 1e-8. The ledger scales integers to [0, 1]. If the ledger did not scale
integers, skopt would clip the logarithm of a log-uniform integer to wrong bounds. skopt clips the logarithm of an
integer to wrong bounds only if the surrogate is a forest. Without the scaling of integers, skopt would clip the
logarithm of an integer to the bounds of the dimension, instead of the logarithms of these bounds.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger.study.dimensions import Categorical, Dimension, Integer, Real
from ledger.study.space import Space

Array = NDArray[np.float64]


class DimensionConverter(ABC):
    """An object that represents one dimension of a study's search space as a skopt dimension, and converts values
    between the two dimensions.

    Parameters
    ----------
    dimension : Dimension
        A dimension with more than one value.

    Attributes
    ----------
    name : str
        The parameter's name.
    is_categorical : bool
        True if the dimension is categorical and has no order. skopt encodes a categorical dimension one-hot.
    """

    is_categorical = False

    def __init__(self, dimension: Any) -> None:
        self._dimension = dimension
        self.name: str = dimension.name

    @abstractmethod
    def skopt(self) -> Any:
        """Return a new skopt dimension that represents the dimension of the study."""

    @abstractmethod
    def to_skopt(self, value: Any) -> Any:
        """Convert a value of the parameter into a value of the skopt dimension."""

    @abstractmethod
    def to_skopt_column(self, numbers: Array) -> Array:
        """Convert many values of the parameter. The results are equal to those of `to_skopt`.

        For a categorical dimension, the numbers are the indices of the choices. If a number is not a value of the
        dimension, the result is NaN.
        """

    @abstractmethod
    def from_skopt(self, value: Any) -> Any:
        """Convert a value of the skopt dimension into a value of the parameter. The result has a plain Python type."""

    @abstractmethod
    def quantiles(self, shares: Array) -> NDArray[Any]:
        """Return the quantiles of the prior as values of the skopt dimension.

        The array `shares` contains the probabilities of the quantiles, in [0, 1].
        """

    def grid(self, size: int) -> NDArray[Any]:
        """Return at most `size` values of the skopt dimension in ascending order. The first value is the dimension's
        lowest value, and the last value is the highest value.

        If the dimension is categorical, the method returns the indices of all choices.
        """
        return np.unique(self.quantiles(np.linspace(0, 1, size)))


class RealConverter(DimensionConverter):
    """An object that converts the values of a real dimension without a grid to values of a skopt dimension, and back.

    skopt receives each value as a share of the dimension's range. If the prior is log-uniform, skopt receives the
    logarithm of the value, scaled to [0, 1].
    """

    _dimension: Real

    def skopt(self) -> Any:
        from ledger.proposals import scaled_dimensions

        return scaled_dimensions.Real()

    def to_skopt(self, value: float) -> float:
        low, high = self._scaled(self._dimension.low), self._scaled(self._dimension.high)
        # If no float is between the bounds, the logarithms of the bounds may be equal.
        share = (self._scaled(value) - low) / (high - low) if low < high else 0.0
        return min(max(share, 0.0), 1.0)

    def to_skopt_column(self, numbers: Array) -> Array:
        dimension, scaled = self._dimension, numbers
        is_value = (numbers >= dimension.low) & (numbers <= dimension.high)
        low, high = self._scaled(dimension.low), self._scaled(dimension.high)
        if self._is_log:
            # The logarithm of numpy can differ from the logarithm of Python in the last bit.
            scaled = np.array([math.log(number) for number in np.where(is_value, numbers, 1.0).tolist()])
        shares = np.clip((scaled - low) / (high - low), 0.0, 1.0) if low < high else np.zeros(len(numbers))
        return np.where(is_value, shares, math.nan)

    def from_skopt(self, value: Any) -> float:
        dimension, share = self._dimension, float(value)
        # At the ends of the range, the method returns the exact bounds, because the formula below has rounding errors.
        if share <= 0 or share >= 1:
            return dimension.low if share <= 0 else dimension.high
        low, high = self._scaled(dimension.low), self._scaled(dimension.high)
        scaled = low + share * (high - low)
        return min(max(math.exp(scaled) if self._is_log else scaled, dimension.low), dimension.high)

    def quantiles(self, shares: Array) -> Array:
        return shares

    @property
    def _is_log(self) -> bool:
        return self._dimension.prior == "log-uniform"

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._is_log else value


class IntegerConverter(DimensionConverter):
    """An object that converts the values of an integer dimension without a grid to values of a skopt dimension, and
    back.

    skopt receives the values unchanged.
    """

    _dimension: Integer

    def skopt(self) -> Any:
        from ledger.proposals import scaled_dimensions

        return scaled_dimensions.Integer(self._dimension.low, self._dimension.high, self._dimension.prior)

    def to_skopt(self, value: int) -> int:
        return value

    def to_skopt_column(self, numbers: Array) -> Array:
        is_value = (numbers >= self._dimension.low) & (numbers <= self._dimension.high)
        return np.where(is_value & (numbers == np.floor(numbers)), numbers, math.nan)

    def from_skopt(self, value: Any) -> int:
        return int(value)

    def quantiles(self, shares: Array) -> NDArray[Any]:
        # The method uses Python integers, because the range may be too large for the 64-bit integers of numpy.
        dimension = self._dimension
        if dimension.prior == "log-uniform":
            low, high = math.log(dimension.low), math.log(dimension.high)
            values = (round(math.exp(low + share * (high - low))) for share in shares.tolist())
        else:
            values = (dimension.low + int(share * dimension.size()) for share in shares.tolist())
        return np.asarray([min(max(value, dimension.low), dimension.high) for value in values])


class OrdinalConverter(DimensionConverter):
    """An object that converts the values of an ordinal dimension to values of a skopt dimension, and back.

    In an ordinal dimension, the distance between two neighbouring values is always the same. The values of the
    dimension are the numbers of a grid, or ordered choices. Instead of a value, skopt receives the index of the value.
    In the prior, all values have equal probabilities.
    """

    def skopt(self) -> Any:
        from ledger.proposals import scaled_dimensions

        return scaled_dimensions.Integer(0, self._size - 1)

    def to_skopt(self, value: Any) -> int:
        return int(self._dimension.index(value))

    def to_skopt_column(self, numbers: Array) -> Array:
        if isinstance(self._dimension, Categorical):
            return numbers
        distinct, places = np.unique(numbers, return_inverse=True)
        return np.array([self._index(number) for number in distinct.tolist()])[places]

    def _index(self, number: float) -> float:
        try:
            return self.to_skopt(self._dimension.normalise(number))
        except ValueError:
            return math.nan

    def from_skopt(self, value: Any) -> Any:
        return self._dimension.value(int(value))

    def quantiles(self, shares: Array) -> NDArray[Any]:
        return np.asarray(np.minimum((shares * self._size).astype(np.int64), self._size - 1))

    @property
    def _size(self) -> int:
        return int(self._dimension.size())


class CategoricalConverter(OrdinalConverter):
    """An object that converts the choices of an unordered categorical dimension to values of a skopt dimension, and
    back.

    Instead of a choice, skopt receives the index of the choice.
    """

    is_categorical = True

    def skopt(self) -> Any:
        from ledger.proposals import scaled_dimensions

        return scaled_dimensions.Categorical(self._size)

    def grid(self, size: int) -> NDArray[Any]:  # noqa: ARG002
        return np.arange(self._size)


# `KINDS` maps each class of dimensions to a subclass of `DimensionConverter`. If a dimension is ordinal, the ledger
# uses `OrdinalConverter` instead of the subclass in `KINDS`.
KINDS: dict[type[Dimension], type[DimensionConverter]] = {
    Real: RealConverter,
    Integer: IntegerConverter,
    Categorical: CategoricalConverter,
}


def dimension_converter(dimension: Dimension) -> DimensionConverter:
    """Return the `DimensionConverter` for a dimension of a search space. The dimension must have more than one value.

    Examples
    --------
    >>> size = Categorical("size", ("small", "medium", "large"), ordered=True)
    >>> dimension_converter(size).to_skopt("large"), dimension_converter(size).is_categorical
    (2, False)
    """
    return OrdinalConverter(dimension) if dimension.is_ordinal else KINDS[type(dimension)](dimension)


class SpaceConverter:
    """An object that converts points of a study's search space to points of skopt, and points of skopt to points of the
    study.

    Parameters
    ----------
    space : Space

    Attributes
    ----------
    varying : list of DimensionConverter
        The dimensions with more than one value. A point of skopt is a list with one value for each dimension, in the
        order of `varying`.

    Examples
    --------
    >>> space = Space.from_toml(
    ...     {
    ...         "C": {"type": "real", "low": 0.25, "high": 4.0, "prior": "log-uniform"},
    ...         "kernel": {"type": "categorical", "choices": ["rbf", "linear"]},
    ...     }
    ... )
    >>> searched = SpaceConverter(space)
    >>> searched.point({"C": 1.0, "kernel": "linear"})
    [0.5, 1]
    >>> searched.params([0.5, 1])
    {'C': 1.0, 'kernel': 'linear'}
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        sizes = [dimension.size() for dimension in space.dimensions]
        self.varying = [
            dimension_converter(dimension) for dimension, size in zip(space.dimensions, sizes, strict=True) if size != 1
        ]
        self._constant = {
            dimension.name: dimension.value(0)
            for dimension, size in zip(space.dimensions, sizes, strict=True)
            if size == 1
        }

    @property
    def is_categorical(self) -> bool:
        """True if all dimensions in `varying` are categorical and have no order.

        If all dimensions are categorical, the GP of skopt has no gradients.
        """
        return all(dimension.is_categorical for dimension in self.varying)

    @cached_property
    def dimensions(self) -> list[Any]:
        """A skopt dimension for each dimension in `varying`. The skopt dimensions scale numbers to [0, 1], and encode
        choices one-hot.
        """
        return [dimension.skopt() for dimension in self.varying]

    def random(self, size: int, seed: int) -> list[dict[str, Any]]:
        """Sample points from the priors of the parameters.

        Parameters
        ----------
        size : int
            The number of points, at least 1.
        seed : int
            The seed, in [0, 2**32).

        Returns
        -------
        list of dict
            The parameters of each point, as plain Python types. Two points may be equal.
        """
        if not self.varying:
            return [self.params([])] * size
        random = np.random.RandomState(seed)
        columns = [dimension.quantiles(random.random_sample(size)) for dimension in self.varying]
        return [self.params(point) for point in zip(*columns, strict=True)]

    def params(self, point: Sequence[Any]) -> dict[str, Any]:
        """Convert a point of skopt into parameters of the study. The values have plain Python types."""
        given = {
            dimension.name: dimension.from_skopt(value) for dimension, value in zip(self.varying, point, strict=True)
        }
        return self._space.normalise({**given, **self._constant})

    def point(self, params: Mapping[str, Any]) -> list[Any]:
        """Convert parameters of the study into a point of skopt. `params` must be a result of `Space.normalise`."""
        return [dimension.to_skopt(params[dimension.name]) for dimension in self.varying]
