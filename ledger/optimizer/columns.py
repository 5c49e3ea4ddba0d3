"""The columns of skopt's transformed space. In the transformed space, each point of the search space is a row.

If a categorical dimension is one-hot encoded and has more than two categories, the dimension has one column for each
category. If a dimension is not one-hot encoded, or has at most two categories, the dimension has one column.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skopt.space import Categorical, Integer, Real, Space

Array = NDArray[np.float64]

# In an integer dimension with more than `EXCHANGED` values, the optimizer uses a gradient and rounds the result.
EXCHANGED = 32
# Like skopt, this module regards two rows as the same point if the rows differ by at most `SAME` in every column.
SAME = 1e-8


class Fidelity(Real):  # type: ignore[misc]
    """A dimension for the share of a whole training after which a value was observed, in [0, 1].

    The optimizer models the values after each share, but proposes only whole trainings, whose share is 1. A search
    space has at most one such dimension.
    """

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, transform="normalize", name="fidelity")

    def rvs(self, n_samples: int = 1, random_state: Any = None) -> Any:  # noqa: ARG002
        return np.ones(n_samples)


class DimensionEncoding(ABC):
    """The encoding of one dimension of the search space as numbers, in one or more columns of the transformed space.

    Parameters
    ----------
    dimension : skopt.space.Dimension
        The dimension, whose transformer must already be set.
    start : int
        The index of the dimension's first column.

    Attributes
    ----------
    columns : slice
    size : float
        The number of values of the dimension. A real dimension has infinitely many values.
    choices : array of shape (values, columns) or None
        Array with one row for each value of the dimension. The attribute is None if the optimizer uses a gradient in
        the dimension instead of trying each value.
    """

    size: float
    choices: Array | None = None

    def __init__(self, dimension: Any, start: int) -> None:
        self.dimension = dimension
        self.columns = slice(start, start + dimension.transformed_size)

    @abstractmethod
    def values(self) -> Sequence[Any]:
        """Return every value of a finite dimension."""

    def draw(self, size: int, random: np.random.RandomState) -> Any:
        """Sample `size` values from the dimension's prior."""
        return self.dimension.rvs(n_samples=size, random_state=random)

    def rows(self, values: Any) -> Array:
        """Return an array of shape (values, columns), with one row for each value in `values`."""
        return np.asarray(self.dimension.transform(values), dtype=float).reshape(-1, self.dimension.transformed_size)

    def snap(self, rows: Array) -> None:  # noqa: B027, most kinds have nothing to round
        """Round the columns of the dimension to valid values. The method changes `rows` in place."""


class RealEncoding(DimensionEncoding):
    """The encoding of a real dimension as one column of the transformed space. The optimizer uses a gradient in this
    column.
    """

    size = math.inf

    def values(self) -> Sequence[Any]:
        raise TypeError(f"the values of {self.dimension} cannot be counted")


class FidelityEncoding(DimensionEncoding):
    """The encoding of the dimension `Fidelity` as one column. The column has the value 1 in each proposed row."""

    size = 1
    choices = np.ones((1, 1))

    def values(self) -> Sequence[Any]:
        return [1.0]

    def snap(self, rows: Array) -> None:
        rows[:, self.columns] = 1.0


class IntegerEncoding(DimensionEncoding):
    """The encoding of an integer dimension as one column of the transformed space.

    If the dimension has at most `EXCHANGED` values, the optimizer tries each value. If the dimension has more than
    `EXCHANGED` values, the optimizer uses a gradient and rounds the result.
    """

    def __init__(self, dimension: Any, start: int) -> None:
        super().__init__(dimension, start)
        self.size = dimension.high - dimension.low + 1
        if self.size <= EXCHANGED:
            self.choices = self.rows(list(self.values()))

    def values(self) -> Sequence[Any]:
        return range(self.dimension.low, self.dimension.high + 1)

    def draw(self, size: int, random: np.random.RandomState) -> Any:
        if self.dimension.prior == "uniform":
            # skopt samples the lowest and the highest value of an integer dimension half as often as any other value.
            return random.randint(self.dimension.low, self.dimension.high + 1, size)
        return super().draw(size, random)

    def snap(self, rows: Array) -> None:
        if self.choices is None:
            rows[:, self.columns] = self.rows(self.dimension.inverse_transform(rows[:, self.columns.start]))


class CategoricalEncoding(DimensionEncoding):
    """The encoding of a categorical dimension as one or more columns of the transformed space.

    The optimizer tries each choice of the dimension.
    """

    def __init__(self, dimension: Any, start: int) -> None:
        super().__init__(dimension, start)
        self.size = len(dimension.categories)
        self.choices: Array = super().rows(list(self.values()))
        self._are_indices = tuple(self.values()) == tuple(range(len(self.choices)))

    def values(self) -> Sequence[Any]:
        return list(self.dimension.categories)

    def rows(self, values: Any) -> Array:
        if self._are_indices and isinstance(values, np.ndarray) and values.dtype.kind in "if":
            # For many values, the transformer of skopt is slow.
            return np.take(self.choices, values.astype(int), axis=0)
        return super().rows(values)


# A mapping from each dimension class of skopt to the matching subclass of `DimensionEncoding`.
KINDS: dict[type, type[DimensionEncoding]] = {
    Fidelity: FidelityEncoding,
    Real: RealEncoding,
    Integer: IntegerEncoding,
    Categorical: CategoricalEncoding,
}


def columns_of(dimension: Any, start: int) -> DimensionEncoding:
    """Return the encoding of a dimension. `start` is the index of the dimension's first column.

    A subclass of `Real`, `Integer` or `Categorical` has the same `DimensionEncoding` as its base class.
    """
    kind = next(KINDS[parent] for parent in type(dimension).__mro__ if parent in KINDS)
    return kind(dimension, start)


class TransformedSpace:
    """A search space in skopt's transformed form, in which each point is a row of numbers.

    Parameters
    ----------
    space : skopt.space.Space
        The search space. The transformers of the space's dimensions must already be set.

    Attributes
    ----------
    bounds : array of shape (columns, 2)
        The lowest and the highest value of each column.
    free : array of int
        The indices of the columns in which the optimizer uses a gradient.
    choices : list of (slice, array)
        The list contains a pair (slice, array) for each dimension whose values the optimizer tries one by one. The
        slice selects the dimension's columns. The array, of shape (values, columns), has one row for each value of the
        dimension.
    size : float
        The number of points of the space. A space with a real dimension has infinitely many points.

    Examples
    --------
    >>> from skopt.space import Categorical, Real, Space
    >>> from skopt.utils import normalize_dimensions
    >>> columns = TransformedSpace(Space(normalize_dimensions([Real(0.0, 10.0), Categorical(["a", "b", "c"])])))
    >>> columns.transform([[5.0, "b"]])
    array([[0.5, 0. , 1. , 0. ]])
    >>> columns.free, columns.size
    (array([0]), inf)
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._dimensions: list[DimensionEncoding] = []
        bounds: list[tuple[float, float]] = []
        for dimension in space.dimensions:
            self._dimensions.append(columns_of(dimension, len(bounds)))
            if dimension.transformed_size == 1:
                bounds.append(dimension.transformed_bounds)
            else:
                bounds += dimension.transformed_bounds
        self.bounds = np.array(bounds, dtype=float)
        self.size = math.prod(dimension.size for dimension in self._dimensions)
        self.choices = [(each.columns, each.choices) for each in self._dimensions if each.choices is not None]
        self.free = np.array([each.columns.start for each in self._dimensions if each.choices is None], dtype=int)
        self._fidelity = [each.columns.start for each in self._dimensions if isinstance(each, FidelityEncoding)]

    def draw(self, size: int, random: np.random.RandomState) -> Array:
        """Sample rows from the priors of the dimensions.

        Parameters
        ----------
        size : int
            The number of points.
        random : numpy.random.RandomState

        Returns
        -------
        array of shape (size, columns)
        """
        if self._space.constraint is not None:
            return self.transform(self._space.rvs(n_samples=size, random_state=random))
        return np.hstack([dimension.rows(dimension.draw(size, random)) for dimension in self._dimensions])

    def every(self) -> Array:
        """Return an array with one row for each allowed point of a finite space."""
        points = [list(point) for point in itertools.product(*(dimension.values() for dimension in self._dimensions))]
        if self._space.constraint is not None:
            points = [point for point in points if self._space.constraint(point)]
        return self.transform(points)

    def transform(self, points: list[Any]) -> Array:
        """Return an array of shape (points, columns), with one row for each point in `points`."""
        return np.asarray(self._space.transform(points), dtype=float)

    def rows(self, values: Iterable[Any]) -> Array:
        """Return an array of shape (points, columns), with one row for each point.

        `values` contains one array for each dimension. Each array contains the values of one dimension at all points.
        """
        rows: Array | None = None
        for dimension, of_dimension in zip(self._dimensions, values, strict=True):
            part = dimension.rows(of_dimension)
            if rows is None:
                rows = np.empty((len(part), len(self.bounds)))
            rows[:, dimension.columns] = part
        assert rows is not None
        return rows

    def are_whole(self, rows: Array) -> NDArray[np.bool_]:
        """For each row, return whether the row belongs to a whole training. If no row does, return True for each row.

        Without the dimension `Fidelity`, all rows belong to whole trainings.
        """
        are_whole = np.asarray((rows[:, self._fidelity] == 1.0).all(axis=1))
        return are_whole if are_whole.any() else ~are_whole

    def whole(self, rows: Array) -> Array:
        """Return the rows of the whole trainings of the same points."""
        if not self._fidelity:
            return rows
        whole = rows.copy()
        whole[:, self._fidelity] = 1.0
        return whole

    def point(self, row: Array) -> list[Any]:
        """Transform a row of shape (columns,) to a point of the search space."""
        return list(self._space.inverse_transform(row[None, :])[0])

    def snap(self, rows: Array) -> Array:
        """Clip `rows` to the bounds of the columns, and round integer values. The method changes `rows` in place and
        returns `rows`.
        """
        np.clip(rows, self.bounds[:, 0], self.bounds[:, 1], out=rows)
        for dimension in self._dimensions:
            dimension.snap(rows)
        return rows

    def neighbours(self, row: Array) -> Array:
        """Return an array of shape (neighbours, columns), with one row for each neighbour of `row`.

        A neighbour differs from `row` in exactly one dimension. If the optimizer uses a gradient in a dimension, all
        neighbours have the value of `row` in this dimension.
        """
        neighbours = [row[None, :][:0]]
        for columns, choices in self.choices:
            others = choices[np.abs(choices - row[columns]).max(axis=1) > SAME]
            changed = np.repeat(row[None, :], len(others), axis=0)
            changed[:, columns] = others
            neighbours.append(changed)
        return np.vstack(neighbours)


def are_among(rows: Array, others: Array, apart: float = SAME) -> NDArray[np.bool_]:
    """For each row of `rows`, return whether at least one row of `others` is near this row.

    Two rows are near each other if the rows differ by at most `apart` in every column.

    Parameters
    ----------
    rows : array of shape (n, columns)
        The rows to test.
    others : array of shape (m, columns)
        The other rows of the comparison.
    apart : float
        The largest allowed difference in a column between two rows that are near each other.

    Returns
    -------
    array of bool, of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> are_among(np.array([[0.0, 0.5], [0.0, 0.6]]), np.array([[0.0, 0.5]]))
    array([ True, False])
    """
    return KnownRows(others).are_near(rows, apart)


class KnownRows:
    """Rows of the transformed space, with an index that finds the rows near other rows.

    The class builds the index only once, because the index of many rows takes much longer than a search.

    Parameters
    ----------
    rows : array of shape (n, columns)

    Attributes
    ----------
    rows : array of shape (n, columns)

    Examples
    --------
    >>> import numpy as np
    >>> known = KnownRows(np.array([[0.0, 0.5]]))
    >>> known.are_near(np.array([[0.0, 0.5], [0.0, 0.6]]))
    array([ True, False])
    """

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self._tree: cKDTree | None = None

    def are_near(self, rows: Array, apart: float = SAME) -> NDArray[np.bool_]:
        """For each row of `rows`, return whether at least one of the known rows is near this row.

        Two rows are near each other if the rows differ by at most `apart` in every column.
        """
        if not len(rows) or not len(self.rows):
            return np.zeros(len(rows), dtype=bool)
        if self._tree is None:
            # With these arguments, the index is built several times faster, and is smaller. The results are the same.
            self._tree = cKDTree(self.rows, leafsize=64, compact_nodes=False, balanced_tree=False)
        distances, _ = self._tree.query(rows, p=np.inf, distance_upper_bound=apart)
        return np.asarray(np.isfinite(distances))
