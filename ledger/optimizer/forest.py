"""Subclasses of skopt's forests, and the predictions of the forests. The subclasses have a faster fit. Each added
observation updates the predictions.

In a random forest, each added observation changes only the leaves. A model of extra trees is fitted again after each
added observation.
"""

from typing import Any

import numpy as np
import skopt.learning
from numpy.typing import NDArray
from sklearn.base import clone

Array = NDArray[np.float64]


class _FastForestMixin:
    """A mix-in class for forests with a faster fit. The class creates each unfitted tree without scikit-learn's
    function `clone`.

    `clone` takes up to half of the time of a fit, because `clone` inspects the signature of the tree's class several
    times. The trees get the same parameters and the same random states as the trees of scikit-learn.
    """

    estimator_: Any
    estimator_params: tuple[str, ...]
    estimators_: list[Any]

    def _make_estimator(self, append: bool = True, random_state: Any = None) -> Any:
        tree = object.__new__(type(self.estimator_))
        vars(tree).update(vars(self.estimator_))
        vars(tree).update({name: getattr(self, name) for name in self.estimator_params})
        if random_state is not None:
            tree.random_state = random_state.randint(np.iinfo(np.int32).max)
        if append:
            self.estimators_.append(tree)
        return tree


class RandomForestRegressor(_FastForestMixin, skopt.learning.RandomForestRegressor):  # type: ignore[misc]
    """A subclass of skopt's random forest, with a faster fit."""


class ExtraTreesRegressor(_FastForestMixin, skopt.learning.ExtraTreesRegressor):  # type: ignore[misc]
    """A subclass of skopt's extra-trees regressor, with a faster fit."""


def faster_forest(estimator: Any) -> Any:
    """Convert a forest of skopt into an unfitted forest with the same parameters and a faster fit.

    If the regressor is not a forest of skopt, the function returns the regressor unchanged.
    """
    faster = {
        skopt.learning.RandomForestRegressor: RandomForestRegressor,
        skopt.learning.ExtraTreesRegressor: ExtraTreesRegressor,
    }.get(type(estimator))
    return estimator if faster is None else faster(**estimator.get_params(deep=False))


class ForestPredictions:
    """The predictions of a forest at m candidate points. Each added observation updates the predictions.

    An added observation updates the mean and the variance of one leaf of each tree (Welford 1962). An added observation
    never splits a leaf. The formulas of the predictions are the same as in skopt's forests. The predicted mean is the
    average of the trees' means. The predicted deviation is the standard deviation of the mixture of the trees' leaves
    (Hutter and others 2014, *Algorithm runtime prediction*, section 4.3.2).

    Parameters
    ----------
    forest : RandomForestRegressor or ExtraTreesRegressor
        A forest of skopt that was fitted with the criterion "squared_error".
    candidates : array of shape (m, dimensions)
        The candidates.
    """

    def __init__(self, forest: Any, candidates: Array) -> None:
        self._forest, self._candidates = forest, candidates
        trees = [estimator.tree_ for estimator in forest.estimators_]
        # The arrays `_means`, `_variances` and `_sizes` have an element for each node of each tree. Each of the three
        # arrays contains the nodes of the first tree, then the nodes of the second tree, and so on.
        self._offsets = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        self._means = np.concatenate([tree.value[:, 0, 0] for tree in trees])
        self._variances = np.concatenate([tree.impurity for tree in trees])
        self._sizes = np.concatenate([tree.weighted_n_node_samples for tree in trees])
        self._leaves = self._leaves_of(candidates)  # (m, trees)

    def predict(self) -> tuple[Array, Array]:
        """Return the mean and the standard deviation at the m candidates, as two arrays of shape (m,)."""
        means = self._means[self._leaves]  # (m, trees)
        variances = np.maximum(self._variances, self._forest.min_variance)[self._leaves]
        mean = means.mean(axis=1)
        # The variance of a mixture is E[v + m^2] - E[m]^2, where m and v are the means and the variances of the parts.
        return mean, np.sqrt(np.maximum((variances + means**2).mean(axis=1) - mean**2, 0.0))

    def mean_at(self, points: Array) -> Array:
        """Return the predicted mean at each point in `points`."""
        return np.asarray(self._means[self._leaves_of(points)].mean(axis=1))

    def add(self, point: Array, value: float) -> None:
        """Add an observation."""
        # A leaf has n observations with the mean m and the variance v. One more observation y changes the mean to m' =
        # m + (y - m) / (n + 1). The observation y changes the variance to (n v + (y - m) (y - m')) / (n + 1), where m'
        # is the new mean.
        leaves = self._leaves_of(point[None, :])[0]  # (trees,)
        sizes = self._sizes[leaves]
        before = value - self._means[leaves]
        self._means[leaves] += before / (sizes + 1)
        after = value - self._means[leaves]
        self._variances[leaves] = (sizes * self._variances[leaves] + before * after) / (sizes + 1)
        self._sizes[leaves] = sizes + 1

    def _leaves_of(self, points: Array) -> NDArray[np.intp]:
        # The code converts the points to single precision only once, and all trees use the converted points. Without
        # the common conversion, each tree would convert the points again.
        single = np.asarray(points, dtype=np.float32)
        leaves = [estimator.tree_.apply(single) for estimator in self._forest.estimators_]
        return np.asarray(np.stack(leaves, axis=1) + self._offsets)


class ExtraTreesPredictions(ForestPredictions):
    """The predictions of an extra-trees regressor at m candidate points. After an added observation, the next
    prediction fits the trees again.

    Without a new fit, the assumed values would change only the leaves, and not the structure of the trees.
    Without a new fit, the optimizer would propose worse batches.

    Parameters
    ----------
    forest : ExtraTreesRegressor
        The fitted extra trees.
    candidates : array of shape (m, dimensions)
        The candidates.
    points : array of shape (n, dimensions)
        The points to which the forest was fitted.
    values : array of shape (n,)
        The values at `points`.
    """

    def __init__(self, forest: Any, candidates: Array, points: Array, values: Array) -> None:
        super().__init__(forest, candidates)
        self._points, self._values = points, values
        self._is_behind = False

    def predict(self) -> tuple[Array, Array]:
        """Return the mean and the standard deviation at the m candidates, as two arrays of shape (m,)."""
        self._catch_up()
        return super().predict()

    def mean_at(self, points: Array) -> Array:
        """Return the predicted mean at each point in `points`."""
        self._catch_up()
        return super().mean_at(points)

    def add(self, point: Array, value: float) -> None:
        """Add an observation to the data to which the forest is fitted."""
        self._points, self._values = np.vstack([self._points, point]), np.append(self._values, value)
        self._is_behind = True

    def _catch_up(self) -> None:
        if self._is_behind:
            super().__init__(clone(self._forest).fit(self._points, self._values), self._candidates)
            self._is_behind = False
