"""The study's space as skopt searches it.

skopt is given reals as [0, 1] and categories by their index, and a choice of one not at all. So its traps do not bind:
values that a log and its inverse carry past a bound, choices that numpy converts, points that count as equal because
they are less than 1e-8 apart, forests that clip a log-uniform integer to bounds of another scale.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import skopt.space
from numpy.typing import NDArray
from skopt.utils import normalize_dimensions

from ledger.study.space import Categorical, Dimension, Integer, Real, Space


class SearchedSpace:
    """Converts between a study's parameters and skopt's points.

    Parameters
    ----------
    space : Space
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._varying = [dimension for dimension in space.dimensions if dimension.size() != 1]
        self._constant = {
            one.name: one.choices[0] for one in space.dimensions if isinstance(one, Categorical) and one.size() == 1
        }

    def dimensions(self) -> list[Any]:
        """Return new skopt dimensions, all scaled to [0, 1] or one-hot, for any estimator."""
        return list(normalize_dimensions(self._dimensions()).dimensions)

    def _dimensions(self) -> list[Any]:
        return [_skopt(dimension) for dimension in self._varying]

    @property
    def is_categorical(self) -> bool:
        """Whether skopt's GP uses its kernel for categories, which has no gradients."""
        return all(isinstance(dimension, Categorical) for dimension in self._varying)

    @property
    def varying(self) -> Sequence[Dimension]:
        """The dimensions with more than one value, in order: those of skopt's points."""
        return self._varying

    def values(self, index: int, shares: NDArray[np.float64]) -> NDArray[Any]:
        """Return skopt's values, of the dimension at `index` of `varying`, at quantiles in [0, 1] of its prior."""
        dimension = self._varying[index]
        if isinstance(dimension, Real):
            return shares
        if isinstance(dimension, Integer) and dimension.prior == "log-uniform":
            low, high = math.log(dimension.low), math.log(dimension.high)
            rounded = np.rint(np.exp(low + shares * (high - low)))
            return np.asarray(np.clip(rounded, dimension.low, dimension.high).astype(int))
        first = dimension.low if isinstance(dimension, Integer) else 0
        size = dimension.size()
        return np.asarray(first + np.minimum((shares * size).astype(int), size - 1))

    def parameter(self, index: int, value: Any) -> Any:
        """Return the parameter, in its plain Python type, at a value of skopt's."""
        return _from_skopt(self._varying[index], value)

    def random(self, size: int, seed: int) -> list[dict[str, Any]]:
        """Draw `size` points, at least 1, from the priors; some may be equal."""
        if not self._varying:
            return [self.params([])] * size
        # not yet scaled to [0, 1]: there the ends of an integer are drawn half as often as the rest
        sampled = skopt.space.Space(self._dimensions()).rvs(size, random_state=np.random.RandomState(seed))
        return [self.params(point) for point in sampled]

    def params(self, point: Sequence[Any]) -> dict[str, Any]:
        """Return the parameters, in plain Python types, at a point of skopt's."""
        given = {one.name: _from_skopt(one, value) for one, value in zip(self._varying, point, strict=True)}
        return self._space.normalise({**given, **self._constant})

    def point(self, params: Mapping[str, Any]) -> list[Any]:
        """Return the point of skopt's at `params`."""
        return [_to_skopt(dimension, params[dimension.name]) for dimension in self._varying]


def _skopt(dimension: Real | Integer | Categorical) -> Any:
    if isinstance(dimension, Real):
        return skopt.space.Real(0.0, 1.0)
    if isinstance(dimension, Integer):
        return skopt.space.Integer(dimension.low, dimension.high, dimension.prior)
    return skopt.space.Categorical(range(len(dimension.choices)))


def _from_skopt(dimension: Real | Integer | Categorical, value: Any) -> Any:
    if isinstance(dimension, Integer):
        return int(value)
    if isinstance(dimension, Categorical):
        return dimension.choices[int(value)]
    share = float(value)
    if share <= 0 or share >= 1:
        return dimension.low if share <= 0 else dimension.high
    low, high = _scaled(dimension, dimension.low), _scaled(dimension, dimension.high)
    scaled = low + share * (high - low)
    return min(max(math.exp(scaled) if dimension.prior == "log-uniform" else scaled, dimension.low), dimension.high)


def _to_skopt(dimension: Real | Integer | Categorical, value: Any) -> Any:
    if isinstance(dimension, Integer):
        return value
    if isinstance(dimension, Categorical):
        return dimension.choices.index(value)
    low, high = _scaled(dimension, dimension.low), _scaled(dimension, dimension.high)
    # the logarithms of neighbouring floats may be equal
    share = (_scaled(dimension, value) - low) / (high - low) if low < high else 0.0
    return min(max(share, 0.0), 1.0)


def _scaled(dimension: Real, value: float) -> float:
    return math.log(value) if dimension.prior == "log-uniform" else value
