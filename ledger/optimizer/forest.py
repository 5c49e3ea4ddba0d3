"""Forests that learn one more value: in the leaves that they have, or by being grown again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

Array = NDArray[np.float64]


class ForestScreen:
    """Points whose prediction by a forest is kept up to date while values are added to it one by one.

    A value is added to the leaves that it falls into: their mean and variance become those of one more sample (Welford
    1962), and no leaf is split. What is predicted is what skopt's forests predict: the mean of the trees' means, and
    the deviation of the mixture of their leaves (Hutter et al. 2014, *Algorithm runtime prediction*, section 4.3.2).

    Parameters
    ----------
    forest : RandomForestRegressor or ExtraTreesRegressor
        skopt's, fitted by squared error.
    points : array of shape (n, dimensions)
    """

    def __init__(self, forest: Any, points: Array) -> None:
        self._forest, self.points = forest, points
        trees = [estimator.tree_ for estimator in forest.estimators_]
        # the leaves of all trees, one after another
        self._offsets = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        self._means = np.concatenate([tree.value[:, 0, 0] for tree in trees])
        self._variances = np.concatenate([tree.impurity for tree in trees])
        self._sizes = np.concatenate([tree.weighted_n_node_samples for tree in trees])
        self._leaves = self._leaves_of(points)

    def mean_at(self, points: Array) -> Array:
        """Return the mean at other points."""
        return np.asarray(self._means[self._leaves_of(points)].mean(axis=1))

    def predict(self) -> tuple[Array, Array]:
        """Return mean and standard deviation at the points."""
        means = self._means[self._leaves]
        variances = np.maximum(self._variances, self._forest.min_variance)[self._leaves]
        mean = means.mean(axis=1)
        return mean, np.sqrt(np.maximum((variances + means**2).mean(axis=1) - mean**2, 0.0))

    def add(self, point: Array, value: float) -> None:
        """Add a value to the leaves that its point falls into."""
        leaves = self._leaves_of(point[None, :])[0]
        sizes = self._sizes[leaves]
        before = value - self._means[leaves]
        self._means[leaves] += before / (sizes + 1)
        after = value - self._means[leaves]
        self._variances[leaves] = (sizes * self._variances[leaves] + before * after) / (sizes + 1)
        self._sizes[leaves] = sizes + 1

    def _leaves_of(self, points: Array) -> NDArray[np.intp]:
        # as the trees store them, so that none converts them again
        single = np.asarray(points, dtype=np.float32)
        found = [estimator.tree_.apply(single) for estimator in self._forest.estimators_]
        return np.asarray(np.stack(found, axis=1) + self._offsets)


class RegrownScreen(ForestScreen):
    """The same with a forest that is grown again where it is asked after a value was added.

    Extra trees need that: with lies in their leaves, batches find worse points.

    Parameters
    ----------
    forest : ExtraTreesRegressor
    points : array of shape (n, dimensions)
    known : array of shape (m, dimensions)
        What it was fitted to, with the values.
    values : array of shape (m,)
    """

    def __init__(self, forest: Any, points: Array, known: Array, values: Array) -> None:
        super().__init__(forest, points)
        self._known, self._values = known, values
        self._is_behind = False

    def mean_at(self, points: Array) -> Array:
        """Return the mean at other points."""
        self._catch_up()
        return super().mean_at(points)

    def predict(self) -> tuple[Array, Array]:
        """Return mean and standard deviation at the points."""
        self._catch_up()
        return super().predict()

    def add(self, point: Array, value: float) -> None:
        """Add a value to those that the forest is fitted to."""
        self._known, self._values = np.vstack([self._known, point]), np.append(self._values, value)
        self._is_behind = True

    def _catch_up(self) -> None:
        if self._is_behind:
            super().__init__(clone(self._forest).fit(self._known, self._values), self.points)
            self._is_behind = False
