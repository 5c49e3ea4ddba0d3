"""The points of one batch, chosen one after another from candidates by a model's predictions."""

from typing import Any, Protocol

import numpy as np
import skopt.learning
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.multioutput import MultiOutputRegressor

from ledger.optimizer import acquisition
from ledger.optimizer.columns import SAME, Columns, are_among
from ledger.optimizer.forest import ForestPredictions, RegrownForestPredictions
from ledger.optimizer.gaussian_process import GaussianProcessRegressor, standardise
from ledger.optimizer.posterior import GaussianPredictions, Posterior

Array = NDArray[np.float64]

# Steps of L-BFGS-B, as in skopt, and passes over the dimensions that have choices.
STEPS, PASSES = 20, 3
# Relative gain of a step below which the search stops: the surrogate's error is far larger.
TOLERANCE = 1e-6
# Distance that the points of a batch keep in some column of a GP: with noise, the constant liar does not ensure it.
APART = 1e-3


class Predictions(Protocol):
    """A model's predictions at the m candidates of a batch, updated for one more observation at a time."""

    def predict(self) -> tuple[Array, Array]:
        """Return mean and standard deviation at the candidates, of shape (m,)."""
        ...

    def mean_at(self, points: Array) -> Array:
        """Return the mean at other points."""
        ...

    def add(self, point: Array, value: float) -> None:
        """Add an observation."""
        ...


def predictions_of(model: Any, candidates: Array, rows: Array, values: Array) -> Predictions:
    """Return the predictions of a fitted model at candidates.

    Parameters
    ----------
    model : GaussianProcessRegressor, RandomForestRegressor or ExtraTreesRegressor
    candidates : array of shape (m, columns)
    rows : array of shape (n, columns)
        The points that it was fitted to.
    values : array of shape (n,)
        The values there.
    """
    if isinstance(model, GaussianProcessRegressor):
        return GaussianPredictions(model.posterior_, candidates)
    if isinstance(model, skopt.learning.ExtraTreesRegressor):
        return RegrownForestPredictions(model, candidates, rows, values)
    return ForestPredictions(model, candidates)


class Batch:
    """The choice of a batch's points, after each of which the model is given the constant liar's value.

    Parameters
    ----------
    columns : Columns
    model : regressor
        Fitted; a `MultiOutputRegressor` where losses come with times.
    candidates : array of shape (m, columns)
    rows : array of shape (n, columns)
        The points that have values.
    values : array of shape (n, outputs)
        The losses, and where they come with times the logarithms of these.
    has_gradients : bool
        Whether the best candidates are refined; for Gaussian processes.
    starts : int
        How many of the best candidates are refined.
    avoids_duplicates : bool
        Whether points that have values, and earlier ones of the batch, are left out.
    xi, kappa : float
        Of the acquisition functions; see `acquisition.utility`. `xi` is in the losses' unit.

    Attributes
    ----------
    used : array of shape (k, columns)
        The points that have values, those in flight and those of the batch.
    """

    def __init__(
        self,
        columns: Columns,
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
        self._columns, self.used, self._observed = columns, rows, len(rows)
        self._gradients, self._starts, self._avoids = has_gradients, starts, avoids_duplicates
        self._candidates = candidates
        self._excluded = are_among(candidates, rows) & self._avoids  # (m,)
        # standardised, so that an improvement of losses of any size is not rounded away
        scaled, self._mean, self._scale = standardise(values[:, 0])
        self._best = float(scaled.min())
        self._xi, self._kappa = xi, kappa
        models = model.estimators_ if isinstance(model, MultiOutputRegressor) else [model]
        # one for each output
        self._predictions = [
            predictions_of(of_output, candidates, rows, values[:, output]) for output, of_output in enumerate(models)
        ]

    def choose(self, name: str) -> Array:
        """Return the row, of shape (columns,), that maximises an acquisition function, refined where possible."""
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

    def add(self, row: Array, lie: Array) -> None:
        """Give the model the constant liar's values, of shape (outputs,), at a point."""
        self.used = np.vstack([self.used, row])
        if self._avoids:
            self._excluded |= np.abs(self._candidates - row).max(axis=1) <= (APART if self._gradients else SAME)
        for predictions, value in zip(self._predictions, lie, strict=True):
            predictions.add(row, float(value))

    def means(self, rows: Array) -> Array:
        """Return the predicted losses at rows."""
        return self._predictions[0].mean_at(rows)

    @property
    def _posteriors(self) -> list[Posterior]:
        return [each.posterior for each in self._predictions if isinstance(each, GaussianPredictions)]

    def _scaled(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        return (mean - self._mean) / self._scale, deviation / self._scale

    def _utility(self, name: str, mean: Array, deviation: Array) -> acquisition.Utility:
        scaled, xi = self._scaled(mean, deviation), self._xi / self._scale
        return acquisition.utility(name.removesuffix("ps"), *scaled, self._best, xi, self._kappa)

    def _values(self, name: str, predicted: list[tuple[Array, Array]]) -> Array:
        (mean, deviation), *times = predicted
        if name == "MES":
            return acquisition.mes(*self._scaled(mean, deviation))
        value = self._utility(name, mean, deviation).value
        # of an improvement a second: the expected time is that of a logarithmic normal distribution, as in skopt
        for log_time, spread in times:
            value = value - log_time + 0.5 * spread**2
        return value

    def _at(self, name: str, rows: Array) -> Array:
        values = self._values(name, [posterior.predict(rows) for posterior in self._posteriors])
        return np.where(self._are_used(rows), -np.inf, values) if self._avoids else values

    def _are_used(self, rows: Array) -> NDArray[np.bool_]:
        used = are_among(rows, self.used)
        return used | are_among(rows, self.used[self._observed :], APART) if self._gradients else used

    def _refined(self, name: str, rows: Array) -> Array:
        """Follow the gradient from all rows at once: their sum is separable, and one evaluation serves them all."""
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
        """Change one choice at a time for as long as that is better."""
        for _ in range(PASSES if self._columns.choices else 0):
            rows = self._columns.neighbours(row)
            values = self._at(name, rows)
            if not len(values) or values.max() <= value:
                break
            row, value = rows[int(np.argmax(values))], float(values.max())
        return row
