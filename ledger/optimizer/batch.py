"""Chooses the points of a batch from candidates. The choice of points depends on a fitted model's predictions."""

from typing import Any, Protocol

import numpy as np
import skopt.learning
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.multioutput import MultiOutputRegressor

from ledger.optimizer import acquisition
from ledger.optimizer.columns import SAME, KnownRows, TransformedSpace, are_among
from ledger.optimizer.forest import ExtraTreesPredictions, ForestPredictions
from ledger.optimizer.gaussian_process import GaussianProcessRegressor, standardise
from ledger.optimizer.posterior import GaussianProcessPredictions, Posterior

Array = NDArray[np.float64]

# L-BFGS-B makes at most `STEPS` steps. In skopt, L-BFGS-B also makes at most 20 steps. After L-BFGS-B, `_exchanged`
# makes at most `PASSES` steps. Each step of `_exchanged` changes one categorical value of a point.
STEPS, PASSES = 20, 3
# L-BFGS-B stops when the relative gain of a step is below `TOLERANCE`. A smaller `TOLERANCE` would not lead to better
# points, because the surrogate's error is far larger than `TOLERANCE`.
TOLERANCE = 1e-6
# If the surrogate is a Gaussian process, any two points of a batch differ by more than `APART` in at least one column.
# If the Gaussian process has noise, the assumed values alone do not prevent almost equal points in a batch.
APART = 1e-3


class CandidatePredictions(Protocol):
    """The interface of objects that contain the predictions of a fitted model at m candidate points.

    The method `add` adds an observation to the model and updates the predictions.
    """

    def predict(self) -> tuple[Array, Array]:
        """Return the predicted means and standard deviations at the m candidates, as two arrays of shape (m,)."""
        ...

    def mean_at(self, points: Array) -> Array:
        """Return the predicted mean at each point in `points`."""
        ...

    def add(self, point: Array, value: float) -> None:
        """Add an observation."""
        ...


def predictions_of(model: Any, candidates: Array, rows: Array, values: Array) -> CandidatePredictions:
    """Return the predictions of a fitted model at the candidates of a batch.

    Parameters
    ----------
    model : GaussianProcessRegressor, RandomForestRegressor or ExtraTreesRegressor
        The fitted model.
    candidates : array of shape (m, columns)
        The candidates for the points of the batch.
    rows : array of shape (n, columns)
        The points to which the model was fitted.
    values : array of shape (n,)
        The observed values at the points in `rows`.
    """
    if isinstance(model, GaussianProcessRegressor):
        return GaussianProcessPredictions(model.posterior_, candidates)
    if isinstance(model, skopt.learning.ExtraTreesRegressor):
        return ExtraTreesPredictions(model, candidates, rows, values)
    return ForestPredictions(model, candidates)


class BatchSelector:
    """An object that selects the points of a batch from candidate points.

    The method `add` adds a chosen point to the model, as an observation with an assumed value.

    Parameters
    ----------
    columns : Columns
        The transformed search space.
    model : regressor
        The fitted model. With "EIps" and "PIps", the model is a `MultiOutputRegressor`.
    candidates : array of shape (m, columns)
        The candidates for the points of the batch.
    rows : array of shape (n, columns)
        The n observed points.
    values : array of shape (n, outputs)
        The first column contains the losses. With "EIps" and "PIps", the second column contains the logarithms of the
        evaluation times.
    has_gradients : bool
        Whether `choose` uses gradients to refine the best candidates. Only a Gaussian process has gradients of its
        predictions.
    starts : int
        The number of best candidates that `choose` refines with gradients.
    avoids_duplicates : bool
        Whether each chosen point must differ from all points for which `are_used` returns True.
    xi, kappa : float
        The parameters `xi` and `kappa` of `acquisition.utility`. `xi` is in the unit of the losses.
    """

    def __init__(
        self,
        columns: TransformedSpace,
        model: Any,
        candidates: Array,
        rows: Array,
        values: Array,
        *,
        has_gradients: bool,
        starts: int,
        avoids_duplicates: bool,
        xi: float = acquisition.XI,
        kappa: float | str = acquisition.KAPPA,
    ) -> None:
        self._columns, self._known, self._added = columns, KnownRows(columns.whole(rows)), rows[:0]
        self._gradients, self._starts, self._avoids = has_gradients, starts, avoids_duplicates
        self._candidates = candidates
        self._excluded = self._known.are_near(candidates) & self._avoids  # (m,)
        # The losses are standardised, because rounding could otherwise hide an improvement of very large or very small
        # losses.
        scaled, self._mean, self._scale = standardise(values[:, 0])
        self._best = float(scaled[columns.are_whole(rows)].min())
        self._xi, self._kappa = xi, kappa
        models = model.estimators_ if isinstance(model, MultiOutputRegressor) else [model]
        # With "EIps" or "PIps", the model's outputs are the loss and the logarithm of the evaluation time.
        self._predictions = [
            predictions_of(of_output, candidates, rows, values[:, output]) for output, of_output in enumerate(models)
        ]

    def choose(self, name: str) -> Array:
        """Return a row that maximises the acquisition function with the name `name`.

        The shape of the row is (columns,). The method refines the best candidates if `has_gradients` is true and the
        acquisition function has derivatives.
        """
        values = self._values(name, [predictions.predict() for predictions in self._predictions])
        values = np.where(self._excluded, -np.inf, values)
        if not self._gradients or name.removesuffix("ps") not in acquisition.GRADIENTS:
            return np.asarray(self._candidates[int(np.argmax(values))])
        starts = np.argsort(-values, kind="stable")[: self._starts]
        rows, values = self._candidates[starts], values[starts]
        refined = self._refined(name, rows)
        rows = np.vstack([rows, refined])
        values = np.append(values, self._at(name, refined))
        row, value = rows[int(np.argmax(values))], float(values.max())
        exchanged = self._exchanged(name, row, value)
        if exchanged is row:
            return np.asarray(row)
        again = self._refined(name, exchanged[None, :])
        return np.asarray(max((again[0], exchanged), key=lambda each: float(self._at(name, each[None, :])[0])))

    def add(self, row: Array, lie: Array | None) -> None:
        """Add a point to the model.

        The array `lie`, of shape (outputs,), contains the assumed value for each output of the model. If `lie` is None,
        the assumed value is the value that the model predicts. A predicted loss can be lower than all observed losses,
        so it can be the loss to improve on.
        """
        if lie is None:
            lie = np.array([predictions.mean_at(row[None, :])[0] for predictions in self._predictions])
            self._best = min(self._best, float(lie[0] - self._mean) / self._scale)
        self._added = np.vstack([self._added, row])
        if self._avoids:
            self._excluded |= np.abs(self._candidates - row).max(axis=1) <= (APART if self._gradients else SAME)
        for predictions, value in zip(self._predictions, lie, strict=True):
            predictions.add(row, float(value))

    def are_used(self, rows: Array) -> NDArray[np.bool_]:
        """For each row, return whether the row is an observed point or one of the points that `add` has added."""
        return self._known.are_near(rows) | are_among(rows, self._added)

    def means(self, rows: Array) -> Array:
        """Return the predicted loss at each row."""
        return self._predictions[0].mean_at(rows)

    @property
    def _posteriors(self) -> list[Posterior]:
        return [each.posterior for each in self._predictions if isinstance(each, GaussianProcessPredictions)]

    def _scaled(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        return (mean - self._mean) / self._scale, deviation / self._scale

    def _utility(self, name: str, mean: Array, deviation: Array) -> acquisition.AcquisitionValues:
        scaled, xi = self._scaled(mean, deviation), self._xi / self._scale
        return acquisition.utility(name.removesuffix("ps"), *scaled, self._best, xi, self._kappa)

    def _values(self, name: str, predicted: list[tuple[Array, Array]]) -> Array:
        (mean, deviation), *times = predicted
        if name == "MES":
            return acquisition.mes(*self._scaled(mean, deviation))
        value = self._utility(name, mean, deviation).value
        # EIps is EI multiplied by the expected inverse of the evaluation time. PIps is PI multiplied by the same factor
        # as EIps. Like skopt, the code assumes that the evaluation time has a log-normal distribution.
        for log_time, spread in times:
            value = value - log_time + 0.5 * spread**2
        return value

    def _at(self, name: str, rows: Array) -> Array:
        values = self._values(name, [posterior.predict(rows) for posterior in self._posteriors])
        return np.where(self._are_excluded(rows), -np.inf, values) if self._avoids else values

    def _are_excluded(self, rows: Array) -> NDArray[np.bool_]:
        used = self.are_used(rows)
        return used | are_among(rows, self._added, APART) if self._gradients else used

    def _refined(self, name: str, rows: Array) -> Array:
        """Move all rows at the same time along the gradient of the acquisition function.

        L-BFGS-B maximises the sum of the acquisition function's values at the rows. Each term of the sum depends on
        only one row. Therefore the gradient of the sum consists of the gradients at the single rows.
        """
        free = self._columns.free
        if not len(free):
            return rows
        moved = rows.copy()

        def negative(flat: Array) -> tuple[float, Array]:
            moved[:, free] = flat.reshape(len(rows), -1)
            (mean, deviation, by_mean, by_deviation), *times = [
                posterior.predict_with_gradients(moved) for posterior in self._posteriors
            ]
            utility = self._utility(name, mean, deviation)
            value = utility.value
            of_mean, of_deviation = utility.derivatives()
            gradient = of_mean[:, None] * by_mean + of_deviation[:, None] * by_deviation
            gradient /= self._scale
            for log_time, spread, by_time, by_spread in times:
                value = value - log_time + 0.5 * spread**2
                gradient = gradient - by_time + spread[:, None] * by_spread
            return -float(value.sum()), -gradient[:, free].ravel()

        bounds = np.tile(self._columns.bounds[free], (len(rows), 1))
        start = np.clip(rows[:, free].ravel(), bounds[:, 0], bounds[:, 1])
        result = minimize(
            negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS, "ftol": TOLERANCE}
        )
        moved[:, free] = result.x.reshape(len(rows), -1)
        return self._columns.snap(moved)

    def _exchanged(self, name: str, row: Array, value: float) -> Array:
        """In each step, change one categorical value of a point. Stop after `PASSES` steps, or when no change increases
        the value of the acquisition function.
        """
        for _ in range(PASSES if self._columns.choices else 0):
            rows = self._columns.neighbours(row)
            values = self._at(name, rows)
            if not len(values) or values.max() <= value:
                break
            row, value = rows[int(np.argmax(values))], float(values.max())
        return row
