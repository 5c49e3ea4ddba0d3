"""The surrogate of a study. The surrogate estimates the importance and the effect of each parameter."""

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
from ledger.proposals.encoding import PointEncoder, encoded
from ledger.proposals.environment import one_thread
from ledger.proposals.loss_transform import YeoJohnson, is_transformable, recorded_exponent
from ledger.proposals.losses import scaled_losses
from ledger.proposals.observations import ProposalInput
from ledger.proposals.propose import has_length_scales
from ledger.proposals.scaled_dimensions import Fidelity
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.spec import StudySpec

Array = NDArray[np.float64]

# For a numeric parameter, the code computes the partial dependence at no more than `GRID` values of the parameter. For
# each value of the parameter, the code predicts the results of `AVERAGED` points, and computes the mean of the
# predictions. In the `AVERAGED` points, all parameters except the numeric parameter have sampled values.
GRID, AVERAGED = 40, 256
# The code estimates the Sobol indices from two sets of points. Each set contains `SAMPLED` points.
SAMPLED = 2048
# The code computes the joint dependence on two parameters at no more than `JOINT_GRID` values of each parameter. For
# each pair of parameter values, the code predicts the results of `JOINT_AVERAGED` points, and computes the mean of the
# predictions.
JOINT_GRID, JOINT_AVERAGED = 20, 32
# The surrogate's mean is flat if its standard deviation over the search space is at most `FLAT` times the range of the
# losses.
FLAT = 1e-9


@dataclass(frozen=True)
class PartialDependence:
    """A curve that shows how the predicted value of a trial depends on one parameter.

    The predicted value is a mean over sampled values of all other parameters.

    Attributes
    ----------
    values : list
        The parameter's values at which the surrogate predicted a mean. Each value has the parameter's Python type.
        Numbers are in ascending order. The values of a categorical parameter have the order of the study's space.
    mean, deviation : array of shape (values,)
        For each element of `values`, `mean` contains the predicted value of a trial, and `deviation` contains the
        standard deviation of the prediction. Both arrays have the unit of the trials' values.

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
    """The partial dependence of a trial's predicted value on two parameters, at the points of a grid.

    At each grid point, the partial dependence is the mean of the predicted values over sampled values of all other
    parameters.

    Attributes
    ----------
    first, second : list
        `first` is the list of the first parameter's values, and `second` is the list of the second parameter's values.
        Numbers are in ascending order. The values of a categorical parameter have the order of the study's space.
    mean : array of shape (second, first)
        The element `mean[j, i]` is the predicted value of a trial with the parameters `second[j]` and `first[i]`. The
        array has the unit of the trials' values.

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
    """The importance of one parameter, as two Sobol indices of the surrogate's mean.

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
    """The surrogate of a study: a model that predicts the value of a trial from the parameters. The model is fitted to
    observations of the study.

    A GP uses the kernel and the transform of the losses that the ledger recorded last. The class does not fit the
    kernel again. The GP uses the same number of observations as the GP that computes the next proposal. If the
    surrogate is a forest, the class fits the forest in the same way as `propose` fits the forest for the next proposal.
    Each failed trial gets the worst loss of all observations. If the recorded GP models the losses at rungs, all
    predictions are predictions for whole trainings.

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
        `observations` is the number of all observations. `known` is the number of observations to which the surrogate
        is fitted.

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
        self._names, self._searched = study.space.names, SpaceConverter(study.space)
        self._seed = seeds.derive(study.seed, "iteration", iteration, 0)
        known = encoded(PointEncoder(study.space), given)
        columns = sum(each.transformed_size for each in self._searched.dimensions)
        self._has_shares = has_length_scales(given.surrogate, columns + 1)
        known = known.with_shares() if self._has_shares else known.of_whole_trainings()
        best, worst = float(np.nanmin(known.losses)), float(np.nanmax(known.losses))
        self._best, self._span = best, (worst - best) or 1.0
        self._scale = study.objective.scale
        with one_thread():
            optimizer = Optimizer(
                [*self._searched.dimensions, *([Fidelity()] if self._has_shares else [])],
                study.optimizer.base_estimator,
                n_initial_points=1,
                acq_func="EI",
                random_state=self._seed,
            )
            self._columns = TransformedSpace(optimizer.space)
            model = clone(optimizer.base_estimator_)
            if isinstance(model, GaussianProcessRegressor):
                model.set_params(optimizer=None, start=given.surrogate["theta"])
            scaled = scaled_losses(known.losses)
            exponent = recorded_exponent(given.surrogate) if is_transformable(scaled) else None
            self._transform = None if exponent is None else YeoJohnson(scaled, exponent)
            modelled = scaled if self._transform is None else self._transform.transform(scaled)
            self._model = model.fit(self._columns.rows(known.columns), modelled)
        self.estimator = study.optimizer.base_estimator
        self.observations = len(known.observed)
        subset = getattr(self._model, "subset_", None)
        self.known = self.observations if subset is None else len(subset)

    def dependences(self) -> dict[str, PartialDependence]:
        """Return the partial dependence of the predicted value on each parameter that has more than one value.

        Friedman 2001 (section 8.2) defines the partial dependence. The method samples the values of all other
        parameters from the priors of these parameters. The method computes the mean of the predicted values. With a GP,
        the method computes the standard deviation of the mean loss from the posterior. If the losses were transformed,
        the mean is a mean of medians, and the standard deviation is approximate. The standard deviation includes the
        covariances between the points (Moosbauer and others 2021, *Explaining hyperparameter optimization via partial
        dependence plots*, section 4). With a forest, each tree predicts a mean loss. The method computes the standard
        deviation of the trees' predictions.

        Returns
        -------
        dict
            A dict that maps the name of each parameter to a `PartialDependence`.
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
                groups.append(self._rows(points))
            mean, deviation = self._averages(np.array(groups))
            values = [dimension.from_skopt(value) for value in grid]
            dependences[dimension.name] = PartialDependence(values, self._values(mean), self._span * deviation)
        return dependences

    def joint_dependence(self, first: str, second: str) -> JointDependence:
        """Return the joint dependence of the predicted value on two different parameters. Each of the two parameters
        must have more than one value.

        The method samples the values of all other parameters from the priors of these parameters. The method computes
        the mean of the predicted values.

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
        # The loop predicts one row of the grid at a time, because the kernel matrix for all rows could be very large.
        for value in grids[1]:
            columns[up] = np.full(len(columns[across]), value)
            of_points = self._means(self._rows(columns))
            means.append(of_points.reshape(len(grids[0]), JOINT_AVERAGED).mean(axis=1))
        of_first, of_second = (
            [varying[index].from_skopt(value) for value in grid]
            for index, grid in zip((across, up), grids, strict=True)
        )
        return JointDependence(of_first, of_second, self._values(np.array(means)))

    def importances(self) -> dict[str, ParameterImportance]:
        """Return the Sobol indices of the surrogate's mean.

        The method samples the values of each parameter from the prior of the parameter.

        The method estimates the first-order indices by the formula in table 2 (b) of Saltelli and others 2010
        (*Variance based sensitivity analysis of model output*). The method estimates the total indices by the formula
        of Jansen 1999. The method samples two sets of points from a scrambled Sobol sequence. For each parameter, the
        method creates a third set of points. In the third set, the values of the parameter come from the second set,
        and the values of all other parameters come from the first set. A Sobol index does not depend on the order of a
        parameter's values. Therefore the method can also compute the Sobol indices of a categorical parameter.

        Returns
        -------
        dict
            A dict that maps the name of each parameter to a `ParameterImportance`. If the surrogate's mean is flat, the
            Sobol indices of each parameter are 0.
        """
        varying = self._searched.varying
        importances = {name: ParameterImportance(0.0, 0.0) for name in self._names}
        if not varying:
            return importances
        drawn = qmc.Sobol(2 * len(varying), rng=self._seed).random(SAMPLED)
        first = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying)]
        second = [dimension.quantiles(drawn[:, column]) for column, dimension in enumerate(varying, len(varying))]
        of_first, of_second = self._means(self._rows(first)), self._means(self._rows(second))
        variance = float(np.concatenate([of_first, of_second]).var())
        if variance <= FLAT**2:
            return importances
        # The code below subtracts `centre` from `of_second` to reduce rounding errors. The subtraction does not change
        # the expected value of the first-order index.
        centre = float(np.concatenate([of_first, of_second]).mean())
        for index, dimension in enumerate(varying):
            mixed = [*first[:index], second[index], *first[index + 1 :]]
            of_mixed = self._means(self._rows(mixed))
            # `of_first`, `of_second` and `of_mixed` are the surrogate's means at the points of `first`, `second` and
            # `mixed`. The first-order index is the average of `of_second * (of_mixed - of_first)`, divided by the
            # variance of the surrogate's mean. The total index is the average of `(of_first - of_mixed)**2 / 2`,
            # divided by the variance of the surrogate's mean.
            alone = float(((of_second - centre) * (of_mixed - of_first)).mean()) / variance
            total = float(((of_first - of_mixed) ** 2).mean()) / 2 / variance
            importances[dimension.name] = ParameterImportance(min(max(alone, 0.0), 1.0), min(max(total, 0.0), 1.0))
        return importances

    def _rows(self, points: list[Array]) -> Array:
        """Return the rows of whole trainings. The list has an array of values for each dimension."""
        return self._columns.rows([*points, np.ones(len(points[0]))] if self._has_shares else points)

    def _values(self, means: Array) -> Array:
        """Convert means of scaled losses into means of trial values."""
        losses = self._best + self._span * means
        return self._scale.loss_of_zero - losses if self._scale.is_maximised else losses

    def _means(self, rows: Array) -> Array:
        """Predict the scaled losses. If the losses were transformed, a prediction is the median of the loss."""
        if isinstance(self._model, GaussianProcessRegressor):
            means = self._model.posterior_.means(rows)
        else:
            means = np.asarray(self._model.predict(rows))
        return means if self._transform is None else self._transform.inverse(means)

    def _averages(self, groups: Array) -> tuple[Array, Array]:
        """Predict the average loss of each group of points. Return the predicted mean and the standard deviation of
        each group.

        If the losses were transformed, the standard deviation is approximate. The approximation replaces the inverse of
        the transform by its tangent at the prediction of each point (the delta method).

        The argument `groups` is an array of shape (groups, points, columns). Each returned array has the shape
        (groups,).
        """
        if isinstance(self._model, GaussianProcessRegressor):
            posterior = self._model.posterior_
            if self._transform is None:
                return posterior.predict_averages(groups)
            losses = self._means(np.vstack(list(groups))).reshape(groups.shape[:2])
            slopes = np.exp(-self._transform.log_derivatives(losses))
            _, deviation = posterior.predict_averages(groups, slopes / groups.shape[1])
            return losses.mean(axis=1), deviation
        rows = np.vstack(list(groups))
        trees = np.array([tree.predict(rows) for tree in self._model.estimators_])
        averages = trees.reshape(len(trees), len(groups), -1).mean(axis=2)  # (trees, groups)
        return averages.mean(axis=0), averages.std(axis=0)
