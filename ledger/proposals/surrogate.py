"""What a study's surrogate believes of the loss: how it depends on each parameter, and on which it does most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.base import clone

from ledger import seeds
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.optimizer.optimizer import Optimizer
from ledger.proposals.propose import Observation, Past, alone, scaled_losses
from ledger.proposals.searched import SearchedSpace
from ledger.study.space import Categorical
from ledger.study.spec import StudySpec

Array = NDArray[np.float64]

# Values of a parameter that its partial dependence is computed at, each over so many points of the others.
GRID, AVERAGED = 40, 256
# Points of either sample that variances are estimated from.
SAMPLED = 2048
# A standard deviation of the mean, in the range of the losses, up to which it counts as flat.
FLAT = 1e-9


@dataclass(frozen=True)
class Dependence:
    """How the loss depends on one parameter, averaged over all others.

    Attributes
    ----------
    values : list
        Of the parameter, in its type and in order.
    mean, deviation : array of shape (values,)
        What the surrogate expects of the average, and its standard deviation; losses.
    """

    values: list[Any]
    mean: Array
    deviation: Array


@dataclass(frozen=True)
class Importance:
    """Which share of the variance of the surrogate's mean a parameter explains.

    Attributes
    ----------
    first : float
        Alone: its first-order Sobol index, in [0, 1].
    total : float
        Together with its interactions: its total index, in [0, 1].
    """

    first: float
    total: float


class Surrogate:
    """A study's surrogate, told what the ledger records, with the kernel that was recorded last.

    A GP's kernel is not fitted again; it knows as many of the trials as it does when it proposes. A forest is grown as
    for the next iteration. Failed trials count as the worst loss, as in proposals.

    Parameters
    ----------
    study : StudySpec
    past : Past
        As `recall` returns it, with the surrogate recorded last and at least one loss.
    iteration : int
        The number of the next one.
    """

    def __init__(self, study: StudySpec, past: Past, iteration: int) -> None:
        assert past.surrogate is not None
        self._names, self._searched = study.space.names, SearchedSpace(study.space)
        self._seed = seeds.derive(study.seed, "iteration", iteration, 0)
        history = [Observation(study.space.normalise(one.params), one.loss, one.seconds) for one in past.history]
        losses = [one.loss for one in history if one.loss is not None]
        self._best, self._span = min(losses), (max(losses) - min(losses)) or 1.0
        with alone(self._seed):
            optimizer = Optimizer(
                self._searched.dimensions(),
                study.optimizer.base_estimator,
                n_initial_points=1,
                acq_func="EI",
                random_state=self._seed,
            )
            self._columns = optimizer._columns
            model = clone(optimizer.base_estimator_)
            if isinstance(model, GaussianProcessRegressor):
                model.set_params(optimizer=None, start=past.surrogate["theta"])
            rows = self._columns.transform([self._searched.point(one.params) for one in history])
            self._model = model.fit(rows, np.array(scaled_losses(history)))
        self.estimator = study.optimizer.base_estimator
        self.points = len(history)
        subset = getattr(self._model, "subset_", None)
        # of how many it knows
        self.known = self.points if subset is None else len(subset)

    def dependences(self) -> dict[str, Dependence]:
        """Return the partial dependence (Friedman 2001, section 8.2) on each parameter that has more than one value.

        The average is over points drawn from the priors of the other parameters. A GP's deviation is that of its
        posterior of the average, covariances and all (Moosbauer et al. 2021, *Explaining hyperparameter optimization
        via partial dependence plots*, section 4); a forest's is that between its trees.
        """
        varying = self._searched.varying
        drawn = qmc.Sobol(len(varying), rng=self._seed).random(AVERAGED) if varying else np.empty((0, 0))
        found = {}
        for index, dimension in enumerate(varying):
            size = len(dimension.choices) if isinstance(dimension, Categorical) else GRID
            # the middle of each category's share, and both ends of a range
            shares = (np.arange(size) + 0.5) / size if isinstance(dimension, Categorical) else np.linspace(0, 1, size)
            grid = np.unique(self._searched.values(index, shares))
            points = [self._searched.values(other, drawn[:, other]) for other in range(len(varying))]
            groups = []
            for value in grid:
                points[index] = np.full(AVERAGED, value)
                groups.append(self._columns.rows(points))
            mean, deviation = self._of_averages(np.array(groups))
            values = [self._searched.parameter(index, value) for value in grid]
            found[dimension.name] = Dependence(values, self._best + self._span * mean, self._span * deviation)
        return found

    def importances(self) -> dict[str, Importance]:
        """Return the Sobol indices of the surrogate's mean over the space, parameters drawn from their priors.

        First-order ones are estimated as in Saltelli et al. 2010 (*Variance based sensitivity analysis of model
        output*, table 2, b), total ones as in Jansen 1999, from scrambled Sobol sequences. Exchanging a whole parameter
        between two samples asks for no order among its values, so categories are well-defined. All are 0 where the
        mean is flat.
        """
        varying = self._searched.varying
        found = {name: Importance(0.0, 0.0) for name in self._names}
        if not varying:
            return found
        drawn = qmc.Sobol(2 * len(varying), rng=self._seed).random(SAMPLED)
        first = [self._searched.values(index, drawn[:, index]) for index in range(len(varying))]
        second = [self._searched.values(index, drawn[:, len(varying) + index]) for index in range(len(varying))]
        of_first, of_second = self._means(self._columns.rows(first)), self._means(self._columns.rows(second))
        variance = float(np.concatenate([of_first, of_second]).var())
        if variance <= FLAT**2:
            return found
        # less the mean, which changes no variance and lessens the error of products
        centre = float(np.concatenate([of_first, of_second]).mean())
        for index, dimension in enumerate(varying):
            mixed = [*first[:index], second[index], *first[index + 1 :]]
            of_mixed = self._means(self._columns.rows(mixed))
            by_itself = float(((of_second - centre) * (of_mixed - of_first)).mean()) / variance
            total = float(((of_first - of_mixed) ** 2).mean()) / 2 / variance
            found[dimension.name] = Importance(min(max(by_itself, 0.0), 1.0), min(max(total, 0.0), 1.0))
        return found

    def _means(self, rows: Array) -> Array:
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.means(rows)
        return np.asarray(self._model.predict(rows))

    def _of_averages(self, groups: Array) -> tuple[Array, Array]:
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.of_averages(groups)
        rows = np.vstack(list(groups))
        trees = np.array([tree.predict(rows) for tree in self._model.estimators_])
        averages = trees.reshape(len(trees), len(groups), -1).mean(axis=2)
        return averages.mean(axis=0), averages.std(axis=0)
