"""The columns of skopt's transformed space: which points there are points of the search space, and how to draw them."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skopt.space import Categorical, Integer, Real, Space

Array = NDArray[np.float64]

# Integers of more values than this are searched like reals, and rounded.
EXCHANGED = 32
# Points closer than this are one, as in skopt.
SAME = 1e-8


class Columns:
    """The transformed space of an optimizer.

    Parameters
    ----------
    space : skopt.space.Space
        With transformers set.

    Attributes
    ----------
    bounds : array of shape (columns, 2)
    free : array of int
        Columns that a gradient is followed in.
    choices : list of (slice, array)
        For each of the other dimensions its columns, and their values, a row a choice.
    size : float
        How many points there are.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self.size = math.prod(_size(one) for one in space.dimensions)
        self.choices: list[tuple[slice, Array]] = []
        self._rounded: list[tuple[slice, Any]] = []
        free: list[int] = []
        bounds: list[tuple[float, float]] = []
        for dimension in space.dimensions:
            columns = slice(len(bounds), len(bounds) + dimension.transformed_size)
            if dimension.transformed_size == 1:
                bounds.append(dimension.transformed_bounds)
            else:
                bounds += dimension.transformed_bounds
            if isinstance(dimension, Categorical):
                self.choices.append((columns, _rows(dimension, list(dimension.categories))))
            elif isinstance(dimension, Integer) and dimension.high - dimension.low < EXCHANGED:
                self.choices.append((columns, _rows(dimension, list(range(dimension.low, dimension.high + 1)))))
            else:
                free.append(columns.start)
                if isinstance(dimension, Integer):
                    self._rounded.append((columns, dimension))
        self.bounds = np.array(bounds, dtype=float)
        self.free = np.array(free, dtype=int)

    def draw(self, size: int, random: np.random.RandomState) -> Array:
        """Draw points of shape (size, columns) from the dimensions' priors."""
        if self._space.constraint is not None:
            return self.transform(self._space.rvs(n_samples=size, random_state=random))
        return np.hstack([_rows(one, _values(one, size, random)) for one in self._space.dimensions])

    def every(self) -> Array:
        """Return every point of a finite space, of shape (points, columns)."""
        values = [
            one.categories if isinstance(one, Categorical) else range(one.low, one.high + 1)
            for one in self._space.dimensions
        ]
        points = [list(point) for point in itertools.product(*values)]
        if self._space.constraint is not None:
            points = [point for point in points if self._space.constraint(point)]
        return self.transform(points)

    def transform(self, points: list[Any]) -> Array:
        """Return points of the search space in the columns, of shape (points, columns)."""
        return np.asarray(self._space.transform(points), dtype=float)

    def rows(self, values: Sequence[Any]) -> Array:
        """Return points in the columns, of shape (points, columns), from an array of values a dimension."""
        return np.hstack([_rows(one, given) for one, given in zip(self._space.dimensions, values, strict=True)])

    def point(self, row: Array) -> list[Any]:
        """Return the point of the search space at a row of the columns."""
        return list(self._space.inverse_transform(row[None, :])[0])

    def snap(self, rows: Array) -> Array:
        """Return the rows, in place, where they will be evaluated: within the bounds, and integers rounded."""
        np.clip(rows, self.bounds[:, 0], self.bounds[:, 1], out=rows)
        for columns, dimension in self._rounded:
            rows[:, columns] = _rows(dimension, dimension.inverse_transform(rows[:, columns.start]))
        return rows

    def neighbours(self, row: Array) -> Array:
        """Return the rows that differ from one in one dimension that has choices, of shape (n, columns)."""
        found = [row[None, :][:0]]
        for columns, rows in self.choices:
            others = rows[np.abs(rows - row[columns]).max(axis=1) > SAME]
            changed = np.repeat(row[None, :], len(others), axis=0)
            changed[:, columns] = others
            found.append(changed)
        return np.vstack(found)


def are_among(rows: Array, others: Array, apart: float = SAME) -> NDArray[np.bool_]:
    """Say of each row whether it is one of the others, or nowhere farther from one than `apart`."""
    if not len(rows) or not len(others):
        return np.zeros(len(rows), dtype=bool)
    distances, _ = cKDTree(others).query(rows, p=np.inf, distance_upper_bound=apart)
    return np.asarray(np.isfinite(distances))


def _size(dimension: Any) -> float:
    if isinstance(dimension, Real):
        return math.inf
    return len(dimension.categories) if isinstance(dimension, Categorical) else dimension.high - dimension.low + 1


def _values(dimension: Any, size: int, random: np.random.RandomState) -> Any:
    if isinstance(dimension, Integer) and dimension.prior == "uniform":
        # skopt draws the ends half as often as the rest
        return random.randint(dimension.low, dimension.high + 1, size)
    return dimension.rvs(n_samples=size, random_state=random)


def _rows(dimension: Any, values: Any) -> Array:
    return np.asarray(dimension.transform(values), dtype=float).reshape(-1, dimension.transformed_size)
