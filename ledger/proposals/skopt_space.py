"""A study's search space in the form that skopt searches.

skopt receives a real value as a share of the parameter's range, in [0, 1], and a choice as the index of the choice. For
a grid, and for ordered choices, skopt receives the index of the value as an integer. Therefore skopt proposes only
values of the grid, and each such parameter has one column. skopt does not receive parameters with only one value. The
conversion to shares and indices avoids three faults of skopt. In skopt, the rounding of a logarithm may move a real
value past a bound of the dimension. skopt also lets numpy convert choices to other types. skopt treats two points as
equal if these points are less than 1e-8 apart. The ledger scales integers to [0, 1]. Without the scaling, skopt with a
forest would clip the logarithm of a log-uniform integer to wrong bounds. The bounds would be those of the integer
instead of their logarithms.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ledger.study.dimensions import Categorical, Dimension, Integer, Real
from ledger.study.space import Space

Array = NDArray[np.float64]


class SkoptDimension(ABC):
    """A dimension of a study's search space, in the form that skopt searches.

    Parameters
    ----------
    dimension : Dimension
        A dimension with more than one value.

    Attributes
    ----------
    name : str
        The parameter's name.
    is_categorical : bool
        Whether the dimension is categorical. skopt encodes a categorical dimension one-hot.
    """

    is_categorical = False

    def __init__(self, dimension: Any) -> None:
        self._dimension = dimension
        self.name: str = dimension.name

    @abstractmethod
    def skopt(self) -> Any:
        """Return a new skopt dimension."""

    @abstractmethod
    def to_skopt(self, value: Any) -> Any:
        """Convert a parameter's value to the value that skopt receives."""

    @abstractmethod
    def from_skopt(self, value: Any) -> Any:
        """Convert a skopt value to the parameter's value, in the parameter's plain Python type."""

    @abstractmethod
    def quantiles(self, shares: Array) -> NDArray[Any]:
        """Return the skopt values at quantiles of the prior. `shares` are the quantiles' probabilities, in [0, 1]."""

    def grid(self, size: int) -> NDArray[Any]:
        """Return at most `size` skopt values in ascending order, from the lowest to the highest value.

        For a categorical dimension, the method returns the skopt value of every choice.
        """
        return np.unique(self.quantiles(np.linspace(0, 1, size)))


class SkoptReal(SkoptDimension):
    """A real dimension without a grid, in the form that skopt searches. Each value is a share of the dimension's range.

    With the log-uniform prior, the shares refer to the range of the logarithms.
    """

    _dimension: Real

    def skopt(self) -> Any:
        import skopt.space

        return skopt.space.Real(0.0, 1.0)

    def to_skopt(self, value: float) -> float:
        low, high = self._scaled(self._dimension.low), self._scaled(self._dimension.high)
        # If the bounds are neighbouring floats, the logarithms of the bounds may be equal.
        share = (self._scaled(value) - low) / (high - low) if low < high else 0.0
        return min(max(share, 0.0), 1.0)

    def from_skopt(self, value: Any) -> float:
        dimension, share = self._dimension, float(value)
        # At both ends of the range, the code returns the exact bound of the dimension, without a rounding error.
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


class SkoptInteger(SkoptDimension):
    """An integer dimension without a grid, in the form that skopt searches. The values are unchanged."""

    _dimension: Integer

    def skopt(self) -> Any:
        import skopt.space

        return skopt.space.Integer(self._dimension.low, self._dimension.high, self._dimension.prior)

    def to_skopt(self, value: int) -> int:
        return value

    def from_skopt(self, value: Any) -> int:
        return int(value)

    def quantiles(self, shares: Array) -> NDArray[Any]:
        # The code computes with Python integers instead of numpy integers, because the size of the range may exceed 64
        # bits.
        dimension = self._dimension
        if dimension.prior == "log-uniform":
            low, high = math.log(dimension.low), math.log(dimension.high)
            values = (round(math.exp(low + share * (high - low))) for share in shares.tolist())
        else:
            values = (dimension.low + int(share * dimension.size()) for share in shares.tolist())
        return np.asarray([min(max(value, dimension.low), dimension.high) for value in values])


class SkoptOrdinal(SkoptDimension):
    """A dimension whose values have equal distances, in the form that skopt searches.

    The values are the numbers of a grid, or ordered choices. Instead of a value, skopt receives the index of the value.
    All values are equally probable.
    """

    def skopt(self) -> Any:
        import skopt.space

        return skopt.space.Integer(0, self._size - 1)

    def to_skopt(self, value: Any) -> int:
        return int(self._dimension.index(value))

    def from_skopt(self, value: Any) -> Any:
        return self._dimension.value(int(value))

    def quantiles(self, shares: Array) -> NDArray[Any]:
        return np.asarray(np.minimum((shares * self._size).astype(np.int64), self._size - 1))

    @property
    def _size(self) -> int:
        return int(self._dimension.size())


class SkoptCategorical(SkoptOrdinal):
    """A categorical dimension without an order, in the form that skopt searches.

    Instead of a choice, skopt receives the index of the choice.
    """

    is_categorical = True

    def skopt(self) -> Any:
        import skopt.space

        return skopt.space.Categorical(range(self._size))

    def grid(self, size: int) -> NDArray[Any]:  # noqa: ARG002
        return np.arange(self._size)


# A mapping from each class of dimensions to a subclass of `SkoptDimension`. The mapping is only for dimensions that are
# not ordinal.
KINDS: dict[type[Dimension], type[SkoptDimension]] = {
    Real: SkoptReal,
    Integer: SkoptInteger,
    Categorical: SkoptCategorical,
}


def skopt_dimension(dimension: Dimension) -> SkoptDimension:
    """Return a dimension in the form that skopt searches. The dimension must have more than one value.

    Examples
    --------
    >>> size = Categorical("size", ("small", "medium", "large"), ordered=True)
    >>> skopt_dimension(size).to_skopt("large"), skopt_dimension(size).is_categorical
    (2, False)
    """
    return SkoptOrdinal(dimension) if dimension.is_ordinal else KINDS[type(dimension)](dimension)


class SkoptSpace:
    """A study's search space, in the form that skopt searches.

    Parameters
    ----------
    space : Space

    Attributes
    ----------
    varying : list of SkoptDimension
        The dimensions with more than one value. A skopt point has one value for each dimension in `varying`, in the
        order of `varying`.

    Examples
    --------
    >>> space = Space.from_toml(
    ...     {
    ...         "C": {"type": "real", "low": 0.25, "high": 4.0, "prior": "log-uniform"},
    ...         "kernel": {"type": "categorical", "choices": ["rbf", "linear"]},
    ...     }
    ... )
    >>> searched = SkoptSpace(space)
    >>> searched.point({"C": 1.0, "kernel": "linear"})
    [0.5, 1]
    >>> searched.params([0.5, 1])
    {'C': 1.0, 'kernel': 'linear'}
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        sizes = [dimension.size() for dimension in space.dimensions]
        self.varying = [
            skopt_dimension(dimension) for dimension, size in zip(space.dimensions, sizes, strict=True) if size != 1
        ]
        self._constant = {
            dimension.name: dimension.value(0)
            for dimension, size in zip(space.dimensions, sizes, strict=True)
            if size == 1
        }

    @property
    def is_categorical(self) -> bool:
        """Whether all dimensions in `varying` are categorical.

        In a space with only categorical dimensions, skopt's GP has no gradients.
        """
        return all(dimension.is_categorical for dimension in self.varying)

    def dimensions(self) -> list[Any]:
        """Return a new skopt dimension for each dimension in `varying`.

        A numeric dimension is scaled to [0, 1], and a categorical dimension is one-hot encoded.
        """
        from skopt.utils import normalize_dimensions

        return list(normalize_dimensions([dimension.skopt() for dimension in self.varying]).dimensions)

    def random(self, size: int, seed: int) -> list[dict[str, Any]]:
        """Sample points from the priors.

        Parameters
        ----------
        size : int
            The number of points, at least 1.
        seed : int
            The seed, in [0, 2**32).

        Returns
        -------
        list of dict
            The parameters of each point, in plain Python types. Some points may be equal.
        """
        if not self.varying:
            return [self.params([])] * size
        random = np.random.RandomState(seed)
        columns = [dimension.quantiles(random.random_sample(size)) for dimension in self.varying]
        return [self.params(point) for point in zip(*columns, strict=True)]

    def params(self, point: Sequence[Any]) -> dict[str, Any]:
        """Return the parameters that a skopt point represents, in plain Python types."""
        given = {
            dimension.name: dimension.from_skopt(value) for dimension, value in zip(self.varying, point, strict=True)
        }
        return self._space.normalise({**given, **self._constant})

    def point(self, params: Mapping[str, Any]) -> list[Any]:
        """Return the skopt point that represents `params`. The values in `params` must be normalised."""
        return [dimension.to_skopt(params[dimension.name]) for dimension in self.varying]
