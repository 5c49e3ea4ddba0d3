"""A study's surrogate: how the loss depends on each parameter, and which parameters matter most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.base import clone

from ledger import seeds
from ledger.optimizer import Optimizer
from ledger.optimizer.columns import Columns
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.proposals.environment import one_thread
from ledger.proposals.losses import scaled_losses
from ledger.proposals.observations import ProposalInput
from ledger.proposals.searched_space import SearchedSpace
from ledger.study.spec import StudySpec

Array = NDArray[np.float64]

# Values of a parameter that its partial dependence is computed at, each over so many points of the others.
GRID, AVERAGED = 40, 256
# Points of each of the two samples that variances are estimated from.
SAMPLED = 2048
# A standard deviation of the mean, in the range of the losses, up to which it counts as flat.
FLAT = 1e-9


@dataclass(frozen=True)
class Dependence:
    """How the loss depends on one parameter, averaged over all others.

    Attributes
    ----------
    values : list
        Values of the parameter, in its type and in order.
    mean, deviation : array of shape (values,)
        What the surrogate expects of the average, and its standard deviation; in the unit of the losses.

    Examples
    --------
    >>> import numpy as np
    >>> curve = Dependence(["rbf", "linear"], mean=np.array([0.3, 0.1]), deviation=np.array([0.02, 0.05]))
    >>> curve.values[int(curve.mean.argmin())]
    'linear'
    """

    values: list[Any]
    mean: Array
    deviation: Array


@dataclass(frozen=True)
class Importance:
    """The share of the variance of the surrogate's mean that a parameter explains.

    Attributes
    ----------
    first : float
        Alone: its first-order Sobol index, in [0, 1].
    total : float
        With its interactions: its total Sobol index, in [0, 1].

    Examples
    --------
    >>> importance = Importance(first=0.5, total=0.75)
    >>> importance.total - importance.first
    0.25
    """

    first: float
    total: float


class Surrogate:
    """A study's surrogate after all observations, with the kernel that was recorded last.

    A GP's kernel is not fitted again; it knows as many observations as it does when it proposes. A forest is grown as
    for the next iteration. Failed trials count as the worst loss, as in proposals.

    Parameters
    ----------
    study : StudySpec
    given : ProposalInput
        With a surrogate, and with at least one loss.
    iteration : int
        The number of the next iteration.

    Attributes
    ----------
    estimator : str
        The study's `base_estimator`.
    observations, known : int
        How many observations it was given, and how many of them it knows.

    Examples
    --------
    >>> from ledger.proposals import Observation, propose
    >>> from ledger.study.file import assemble
    >>> study = assemble({"model": "svm", "seed": 7})
    >>> points = propose(study, iteration=0, round=0, size=12, given=ProposalInput()).points
    >>> observations = [Observation(point, abs(point["C"] - 1.0), 1.0) for point in points]
    >>> recorded = propose(study, 1, 0, 1, ProposalInput(observations)).surrogate
    >>> surrogate = Surrogate(study, ProposalInput(observations, surrogate=recorded), iteration=2)
    >>> importances = surrogate.importances()
    >>> importances["C"].total > importances["gamma"].total
    True
    """

    def __init__(self, study: StudySpec, given: ProposalInput, iteration: int) -> None:
        assert given.surrogate is not None
        self._names, self._searched = study.space.names, SearchedSpace(study.space)
        self._seed = seeds.derive(study.seed, "iteration", iteration, 0)
        losses = [each.loss for each in given.observations]
        known = [loss for loss in losses if loss is not None]
        self._best, self._span = min(known), (max(known) - min(known)) or 1.0
        points = [self._searched.point(study.space.normalise(each.params)) for each in given.observations]
        with one_thread():
            optimizer = Optimizer(
                self._searched.dimensions(),
                study.optimizer.base_estimator,
                n_initial_points=1,
                acq_func="EI",
                random_state=self._seed,
            )
            self._columns = Columns(optimizer.space)
            model = clone(optimizer.base_estimator_)
            if isinstance(model, GaussianProcessRegressor):
                model.set_params(optimizer=None, start=given.surrogate["theta"])
            self._model = model.fit(self._columns.transform(points), np.array(scaled_losses(losses)))
        self.estimator = study.optimizer.base_estimator
        self.observations = len(points)
        subset = getattr(self._model, "subset_", None)
        self.known = self.observations if subset is None else len(subset)

    def dependences(self) -> dict[str, Dependence]:
        """Return the partial dependence (Friedman 2001, section 8.2) on each parameter that has more than one value.

        The average is over points drawn from the priors of the other parameters. A GP's deviation is that of its
        posterior of the average, with the covariances between the points (Moosbauer et al. 2021, *Explaining
        hyperparameter optimization via partial dependence plots*, section 4). A forest's is that between its trees.

        Returns
        -------
        dict
            From the parameters' names to `Dependence`.
        """
        varying = self._searched.varying
        drawn = qmc.Sobol(len(varying), rng=self._seed).random(AVERAGED) if varying else np.empty((0, 0))
        dependences = {}
        for index, dimension in enumerate(varying):
            grid = dimension.grid(GRID)
            points = [other.quantiles(drawn[:, column]) for column, other in enumerate(varying)]
            groups = []
            for value in grid:
                points[index] = np.full(AVERAGED, value)
                groups.append(self._columns.rows(points))
            mean, deviation = self._averages(np.array(groups))
            values = [dimension.from_skopt(value) for value in grid]
            dependences[dimension.name] = Dependence(values, self._best + self._span * mean, self._span * deviation)
        return dependences

    def importances(self) -> dict[str, Importance]:
        """Return the Sobol indices of the surrogate's mean over the space, with parameters drawn from their priors.

        First-order indices are estimated as in Saltelli et al. 2010 (*Variance based sensitivity analysis of model
        output*, table 2, b), total ones as in Jansen 1999, from scrambled Sobol sequences. A whole parameter is
        exchanged between two samples. That needs no order among its values, so it is defined for categories, too.

        Returns
        -------
        dict
            From every parameter's name to `Importance`; all are 0 where the mean is flat.
        """
        varying = self._searched.varying
        importances = {name: Importance(0.0, 0.0) for name in self._names}
        if not varying:
            return importances
        drawn = qmc.Sobol(2 * len(varying), rng=self._seed).random(SAMPLED)
        first = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying)]
        second = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying, len(varying))]
        of_first, of_second = self._means(self._columns.rows(first)), self._means(self._columns.rows(second))
        variance = float(np.concatenate([of_first, of_second]).var())
        if variance <= FLAT**2:
            return importances
        # subtracting the mean changes no variance, and lessens the error of products
        centre = float(np.concatenate([of_first, of_second]).mean())
        for index, dimension in enumerate(varying):
            mixed = [*first[:index], second[index], *first[index + 1 :]]
            of_mixed = self._means(self._columns.rows(mixed))
            # f(B) (f(A with B's column) - f(A)), and (f(A) - f(A with B's column))^2 / 2
            alone = float(((of_second - centre) * (of_mixed - of_first)).mean()) / variance
            total = float(((of_first - of_mixed) ** 2).mean()) / 2 / variance
            importances[dimension.name] = Importance(min(max(alone, 0.0), 1.0), min(max(total, 0.0), 1.0))
        return importances

    def _means(self, rows: Array) -> Array:
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.means(rows)
        return np.asarray(self._model.predict(rows))

    def _averages(self, groups: Array) -> tuple[Array, Array]:
        """Return mean and deviation, of shape (groups,), of averages over groups of shape (groups, n, columns)."""
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.predict_averages(groups)
        rows = np.vstack(list(groups))
        trees = np.array([tree.predict(rows) for tree in self._model.estimators_])
        averages = trees.reshape(len(trees), len(groups), -1).mean(axis=2)  # (trees, groups)
        return averages.mean(axis=0), averages.std(axis=0)
