"""A study's surrogate, which shows the importance of each parameter, and how the value depends on each parameter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.base import clone

from ledger import seeds
from ledger.optimizer import Optimizer
from ledger.optimizer.columns import TransformedSpace
from ledger.optimizer.gaussian_process import GaussianProcessRegressor
from ledger.proposals.environment import one_thread
from ledger.proposals.losses import scaled_losses
from ledger.proposals.observations import ProposalInput
from ledger.proposals.skopt_space import SkoptSpace
from ledger.study.spec import StudySpec

Array = NDArray[np.float64]

# The partial dependence on a numeric parameter is computed at up to `GRID` values of the parameter. For each value of a
# parameter, the code averages the predicted value over `AVERAGED` combinations of values of the other parameters.
GRID, AVERAGED = 40, 256
# The code estimates the Sobol indices from two sets of `SAMPLED` points each.
SAMPLED = 2048
# The joint dependence on two parameters is computed at up to `JOINT_GRID` values of each parameter. For each pair of
# values, the code averages the predicted value over `JOINT_AVERAGED` combinations of values of the other parameters.
JOINT_GRID, JOINT_AVERAGED = 20, 32
# The surrogate's mean counts as flat if the standard deviation of this mean over the search space is at most `FLAT`
# times the range of the losses.
FLAT = 1e-9


@dataclass(frozen=True)
class PartialDependence:
    """The dependence of a trial's predicted value on one parameter, averaged over the values of all other parameters.

    Attributes
    ----------
    values : list
        The values of the parameter at which the dependence was computed, in the parameter's Python type. Numbers are in
        ascending order, and choices are in the order of the study's space.
    mean, deviation : array of shape (values,)
        The predicted mean and standard deviation of the averaged value, for each value of the parameter. Both have the
        unit of the trials' values.

    Examples
    --------
    >>> import numpy as np
    >>> curve = PartialDependence(["rbf", "linear"], mean=np.array([0.3, 0.1]), deviation=np.array([0.02, 0.05]))
    >>> curve.values[int(curve.mean.argmin())]
    'linear'
    """

    values: list[Any]
    mean: Array
    deviation: Array


@dataclass(frozen=True)
class JointDependence:
    """The dependence of a trial's predicted value on two parameters, averaged over the values of all other parameters.

    Attributes
    ----------
    first, second : list
        The values of the two parameters at which the dependence was computed, as in `PartialDependence.values`.
    mean : array of shape (second, first)
        The predicted mean of the averaged value, in the unit of the trials' values.

    Examples
    --------
    >>> import numpy as np
    >>> joint = JointDependence(first=[1, 2, 3], second=[0.1, 0.2], mean=np.array([[0.5, 0.4, 0.6], [0.3, 0.2, 0.9]]))
    >>> joint.mean[1, 2]  # at first = 3 and second = 0.2
    np.float64(0.9)
    """

    first: list[Any]
    second: list[Any]
    mean: Array


@dataclass(frozen=True)
class ParameterImportance:
    """One parameter's share of the variance of the surrogate's mean, as two Sobol indices.

    Attributes
    ----------
    first : float
        The parameter's first-order Sobol index, in [0, 1]. A first-order index does not include interactions with other
        parameters.
    total : float
        The parameter's total Sobol index, in [0, 1]. A total index includes interactions with other parameters.

    Examples
    --------
    >>> importance = ParameterImportance(first=0.5, total=0.75)
    >>> importance.total - importance.first
    0.25
    """

    first: float
    total: float


class Surrogate:
    """A study's surrogate, fitted to the study's observations.

    A GP uses the kernel that the ledger recorded last, and does not fit the kernel again. The GP uses as many
    observations as the GP of the next proposal. A forest is fitted in the same way as the forest of the next proposal.
    As in a proposal, a failed trial counts as a trial with the worst loss.

    Parameters
    ----------
    study : StudySpec
    given : ProposalInput
        The study's observations and the surrogate that the ledger recorded last. At least one observation must have a
        loss.
    iteration : int
        The number of the next iteration.

    Attributes
    ----------
    estimator : str
        The study's `base_estimator`.
    observations, known : int
        The number of all observations, and the number of observations to which the surrogate is fitted.

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
        self._names, self._searched = study.space.names, SkoptSpace(study.space)
        self._seed = seeds.derive(study.seed, "iteration", iteration, 0)
        losses = [each.loss for each in given.observations]
        known = [loss for loss in losses if loss is not None]
        self._best, self._span = min(known), (max(known) - min(known)) or 1.0
        self._scale = study.objective.scale
        points = [self._searched.point(study.space.normalise(each.params)) for each in given.observations]
        with one_thread():
            optimizer = Optimizer(
                self._searched.dimensions(),
                study.optimizer.base_estimator,
                n_initial_points=1,
                acq_func="EI",
                random_state=self._seed,
            )
            self._columns = TransformedSpace(optimizer.space)
            model = clone(optimizer.base_estimator_)
            if isinstance(model, GaussianProcessRegressor):
                model.set_params(optimizer=None, start=given.surrogate["theta"])
            self._model = model.fit(self._columns.transform(points), np.array(scaled_losses(losses)))
        self.estimator = study.optimizer.base_estimator
        self.observations = len(points)
        subset = getattr(self._model, "subset_", None)
        self.known = self.observations if subset is None else len(subset)

    def dependences(self) -> dict[str, PartialDependence]:
        """Return the partial dependence (Friedman 2001, section 8.2) on each parameter that has more than one value.

        The value is averaged over points that are sampled from the priors of the other parameters. With a GP, the
        standard deviation of the averaged loss comes from the posterior, and includes the covariances between the
        points (Moosbauer and others 2021, *Explaining hyperparameter optimization via partial dependence plots*,
        section 4). With a forest, each tree predicts an averaged loss, and the standard deviation is computed over the
        predictions of the trees.

        Returns
        -------
        dict
            A dict from the name of each parameter to the `PartialDependence` on the parameter.
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
            dependences[dimension.name] = PartialDependence(values, self._values(mean), self._span * deviation)
        return dependences

    def joint_dependence(self, first: str, second: str) -> JointDependence:
        """Return the joint dependence on two different parameters, each of which has more than one value.

        The value is averaged over points that are sampled from the priors of the other parameters.

        Parameters
        ----------
        first, second : str
            The names of the parameters.
        """
        varying = self._searched.varying
        drawn = qmc.Sobol(len(varying), rng=self._seed).random(JOINT_AVERAGED)
        points = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying)]
        names = [dimension.name for dimension in varying]
        across, up = names.index(first), names.index(second)
        grids = [varying[index].grid(JOINT_GRID) for index in (across, up)]
        columns = [np.tile(values, len(grids[0])) for values in points]
        columns[across] = np.repeat(grids[0], JOINT_AVERAGED)
        means = []
        # The surrogate predicts one row of the grid at a time, because the kernel matrix of all rows could be very
        # large.
        for value in grids[1]:
            columns[up] = np.full(len(columns[across]), value)
            of_points = self._means(self._columns.rows(columns))
            means.append(of_points.reshape(len(grids[0]), JOINT_AVERAGED).mean(axis=1))
        of_first, of_second = (
            [varying[index].from_skopt(value) for value in grid]
            for index, grid in zip((across, up), grids, strict=True)
        )
        return JointDependence(of_first, of_second, self._values(np.array(means)))

    def importances(self) -> dict[str, ParameterImportance]:
        """Return the Sobol indices of the surrogate's mean.

        The code samples the parameters' values from the parameters' priors.

        First-order indices are estimated as in Saltelli and others 2010 (*Variance based sensitivity analysis of model
        output*, table 2, b), and total indices as in Jansen 1999. The method samples two sets of points as scrambled
        Sobol sequences. For each parameter, the method makes a third set of points, which takes the parameter's values
        from the second set, and the values of all other parameters from the first set. A Sobol index does not depend on
        the order of a parameter's values, so categorical parameters have Sobol indices, too.

        Returns
        -------
        dict
            A dict from the name of every parameter to the parameter's `ParameterImportance`. If the surrogate's mean is
            flat, every importance is 0.
        """
        varying = self._searched.varying
        importances = {name: ParameterImportance(0.0, 0.0) for name in self._names}
        if not varying:
            return importances
        drawn = qmc.Sobol(2 * len(varying), rng=self._seed).random(SAMPLED)
        first = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying)]
        second = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying, len(varying))]
        of_first, of_second = self._means(self._columns.rows(first)), self._means(self._columns.rows(second))
        variance = float(np.concatenate([of_first, of_second]).var())
        if variance <= FLAT**2:
            return importances
        # The subtraction of the mean `centre` from the values `of_second` reduces rounding errors, and does not change
        # the expected value of the first-order index.
        centre = float(np.concatenate([of_first, of_second]).mean())
        for index, dimension in enumerate(varying):
            mixed = [*first[:index], second[index], *first[index + 1 :]]
            of_mixed = self._means(self._columns.rows(mixed))
            # `of_first`, `of_second` and `of_mixed` are the surrogate's means at the points of `first`, `second` and
            # `mixed`. The first-order index is the average of `of_second * (of_mixed - of_first)`, divided by the
            # variance of the surrogate's mean. The total index is the average of `(of_first - of_mixed)**2 / 2`,
            # divided by the variance of the surrogate's mean.
            alone = float(((of_second - centre) * (of_mixed - of_first)).mean()) / variance
            total = float(((of_first - of_mixed) ** 2).mean()) / 2 / variance
            importances[dimension.name] = ParameterImportance(min(max(alone, 0.0), 1.0), min(max(total, 0.0), 1.0))
        return importances

    def _values(self, means: Array) -> Array:
        """Convert means of scaled losses to means of the trials' values."""
        losses = self._best + self._span * means
        return self._scale.loss_of_zero - losses if self._scale.is_maximised else losses

    def _means(self, rows: Array) -> Array:
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.means(rows)
        return np.asarray(self._model.predict(rows))

    def _averages(self, groups: Array) -> tuple[Array, Array]:
        """Return the mean and the standard deviation of the average loss over each group of points.

        The argument `groups` is an array of shape (groups, points, columns). Each returned array has the shape
        (groups,).
        """
        if isinstance(self._model, GaussianProcessRegressor):
            return self._model.posterior_.predict_averages(groups)
        rows = np.vstack(list(groups))
        trees = np.array([tree.predict(rows) for tree in self._model.estimators_])
        averages = trees.reshape(len(trees), len(groups), -1).mean(axis=2)  # (trees, groups)
        return averages.mean(axis=0), averages.std(axis=0)
