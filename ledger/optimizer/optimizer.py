"""A drop-in `skopt.Optimizer` whose proposals cost a fraction of its time."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import skopt
import skopt.learning
import skopt.utils
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.multioutput import MultiOutputRegressor
from threadpoolctl import ThreadpoolController

from ledger.optimizer import acquisition
from ledger.optimizer.columns import SAME, Columns, are_among
from ledger.optimizer.forest import ForestScreen, RegrownScreen
from ledger.optimizer.gaussian_process import GaussianProcessRegressor, Posterior, Screen, standardise

Array = NDArray[np.float64]

# Points that a batch is chosen from, where a gradient then refines them; skopt's 10,000 where none does.
SCREENED = 2_000
# A share of them lies around the best points so far.
AROUND_BEST, BEST, SPREAD = 0.2, 5, 0.1
# Steps of L-BFGS-B, as in skopt, and passes over the dimensions that have choices.
STEPS, PASSES = 20, 3
# Relative gain of a step below which a point is good enough: that of the surrogate matters far more.
TOLERANCE = 1e-6
# With up to so many points a kernel is fitted from every start; then whenever they pass a power of sqrt(2).
ALWAYS_RESTARTED = 32
# Points of a batch stay so far apart, in one of a GP's columns: what a lie of a noisy function does not see to.
APART = 1e-3
# How many threads share a sum changes its rounding, and so the points.
_BLAS = ThreadpoolController().select(user_api="blas")
STRATEGIES: dict[str, Any] = {"cl_min": np.min, "cl_mean": np.mean, "cl_max": np.max}


class Optimizer(skopt.Optimizer):  # type: ignore[misc]
    """`skopt.Optimizer` with the same arguments, attributes and results; what differs is how points are found.

    - A GP's kernel is fitted from the one before; from skopt's three starts, too, up to 32 points, and then whenever
      their number passes a power of sqrt(2) (see `GaussianProcessRegressor`).
    - A GP of more than 500 points has its kernel fitted to a sample of 500, and one of more than 1,500 points knows
      only 1,500 of them: a quarter the best, a quarter the latest, the rest a sample. `tell` then warns, and the
      model's `subset_` says which.
    - A batch keeps the fitted model: each constant liar (Ginsbourger, Le Riche and Carraro 2010) adds one row to the
      Cholesky factor of a GP, and one sample to the leaves of a random forest. Extra trees are grown again for each,
      as in skopt: with lies in their leaves, batches of 4 ended twice as far from the optimum of Hartmann's function
      of 6 dimensions.
    - The candidates of a batch are drawn once, for a GP a fifth of them around the best points so far; of a space of
      fewer points they are all that there are. The best ones are refined together by L-BFGS-B in the real dimensions,
      and by exchange of one choice at a time in the others: a point is scored where it will be evaluated.
    - EI and PI ask for any improvement unless there is an `xi`. skopt then asks for 0.01, and where that is improbable
      its EI is flat, and its points are random ones.
    - A GP's kernel is fitted with a weak prior (see `GaussianProcessRegressor`), which tells noise from shape by fewer
      points: without, searches ended further from the optimum where there are many choices or dimensions.
    - No point is one of the history or of its batch, unless `avoid_duplicates` is false or none is left. A GP's
      points of a batch are at least 0.001 of a dimension's range apart.
    - A model is asked for points by `ask`, not by `tell`, which so costs one fit.
    - With "EIps" and "PIps" the best loss is the lowest of the losses; skopt compares them with the logarithms of the
      times, too. A GP's dimensions are scaled to [0, 1] with these as well.
    - Models are fitted and asked on one thread of BLAS, so that equal seeds give equal points whatever the machine's
      load; losses that a forest is to learn are up to 1e150, since it squares them.
    - "MES" averages over quantiles of the optimum, where skopt draws them from numpy's global generator.

    GPs of other kernels than skopt's own, other regressors, and "PVRS" are as in skopt. "GBRT" and "dummy" are refused,
    since skopt's do not run with this scikit-learn.

    Raises
    ------
    ValueError
        As skopt does, and for "GBRT" and "dummy"; from `tell` for a value that is not finite, before anything is
        recorded.
    """

    base_estimator_: Any
    cache_: dict[tuple[int, str], list[Any]]
    models: list[Any]
    Xi: list[Any]
    yi: list[Any]

    def __init__(
        self,
        dimensions: Any,
        base_estimator: Any = "gp",
        n_random_starts: Any = None,
        n_initial_points: int = 10,
        initial_point_generator: Any = "random",
        n_jobs: int = 1,
        acq_func: str = "gp_hedge",
        acq_optimizer: str = "auto",
        random_state: Any = None,
        model_queue_size: int | None = None,
        space_constraint: Any = None,
        acq_func_kwargs: Any = None,
        acq_optimizer_kwargs: Any = None,
        avoid_duplicates: bool = True,
    ) -> None:
        if _is_refused(base_estimator):
            raise ValueError(f"base_estimator {base_estimator} does not run with this scikit-learn: use GP, RF or ET")
        if _is_gp(base_estimator):
            # skopt forgets to where losses come with times
            dimensions = skopt.utils.normalize_dimensions(dimensions)
        if acq_optimizer == "auto" and acq_func in ("EIps", "PIps") and _has_no_gradient(base_estimator):
            # skopt asks for gradients of forests when losses come with times
            acq_optimizer = "sampling"
        super().__init__(
            dimensions,
            base_estimator=base_estimator,
            n_random_starts=n_random_starts,
            n_initial_points=n_initial_points,
            initial_point_generator=initial_point_generator,
            n_jobs=n_jobs,
            acq_func=acq_func,
            acq_optimizer=acq_optimizer,
            random_state=random_state,
            model_queue_size=model_queue_size,
            space_constraint=space_constraint,
            acq_func_kwargs=acq_func_kwargs,
            acq_optimizer_kwargs=acq_optimizer_kwargs,
            avoid_duplicates=avoid_duplicates,
        )
        self.base_estimator_ = _faster(self.base_estimator_)
        self._is_fast = acq_func != "PVRS" and _is_fast(self.base_estimator_)
        if self._is_fast and self.acq_optimizer == "lbfgs" and "n_points" not in self.acq_optimizer_kwargs:
            self.n_points = SCREENED
        self._columns = Columns(self.space)
        self._every: Array | None = None
        self._transformed: list[Array] = []
        self._theta: Array | None = None
        self._fitted_to = 0

    def start_from(self, theta: Sequence[float] | Array, points: int) -> None:
        """Begin the next fit of a GP's kernel from one that was fitted before.

        Parameters
        ----------
        theta : sequence of float
            `theta_` of that fit.
        points : int
            How many points it was fitted to.
        """
        self._theta, self._fitted_to = np.array(theta, dtype=float), points

    def tell(self, x: Any, y: Any, fit: bool = True) -> Any:
        """Record values; see skopt. A value that is not finite is refused before anything is recorded."""
        values = np.asarray(y, dtype=object).ravel()
        if any(isinstance(one, (int, float, np.number)) and not np.isfinite(one) for one in values):
            raise ValueError(f"expected finite values, got {y!r}")
        return super().tell(x, y, fit=fit)

    def _tell(self, x: Any, y: Any, fit: bool = True) -> Any:
        if not self._is_fast:
            return super()._tell(x, y, fit=fit)
        result = super()._tell(x, y, fit=False)
        if fit and self._n_initial_points <= 0:
            self._fit()
        return result

    def ask(self, n_points: int | None = None, strategy: str = "cl_min", under_way: Sequence[Any] = ()) -> Any:
        """Return the next point, or a list of `n_points`; see skopt.

        Parameters
        ----------
        n_points : int, optional
        strategy : str
            What a point without a value is believed to be worth.
        under_way : sequence of points
            Asked for before and still without a value: lies are told of them first, and none is asked for again. Only
            with `n_points`, and once there is a model.
        """
        if n_points is None or not self._is_fast:
            return super().ask(n_points, strategy)
        if not (isinstance(n_points, int) and n_points > 0):
            raise ValueError(f"n_points should be int > 0, got {n_points}")
        if strategy not in STRATEGIES:
            raise ValueError(f"Expected parallel_strategy to be one of {list(STRATEGIES)}, got {strategy}")
        if under_way:
            return self._select(n_points, strategy, self.rng, under_way)
        if (n_points, strategy) not in self.cache_:
            random = np.random.RandomState(self.rng.randint(0, np.iinfo(np.int32).max))
            if self._n_initial_points > 0:
                found = self._select_initial(n_points, strategy, random)
            else:
                found = self._select(n_points, strategy, random)
            self.cache_ = {(n_points, strategy): found}
        return self.cache_[(n_points, strategy)]

    def copy(self, random_state: Any = None) -> "Optimizer":
        """Return a copy that was told the same."""
        twin = Optimizer(
            dimensions=self.space.dimensions,
            base_estimator=self.base_estimator_,
            n_initial_points=self.n_initial_points_,
            initial_point_generator=self._initial_point_generator,
            acq_func=self.acq_func,
            acq_optimizer=self.acq_optimizer,
            acq_func_kwargs=self.acq_func_kwargs,
            acq_optimizer_kwargs=self.acq_optimizer_kwargs,
            space_constraint=self.space.constraint,
            random_state=random_state,
            model_queue_size=self.max_model_queue_size,
            avoid_duplicates=self.avoid_duplicates,
        )
        twin._initial_samples = self._initial_samples
        twin._every = self._every
        if hasattr(self, "gains_"):
            twin.gains_ = np.copy(self.gains_)
        if self._theta is not None:
            twin.start_from(self._theta, self._fitted_to)
        if self.Xi:
            twin._tell(self.Xi, self.yi)
        return twin

    def update_next(self) -> None:
        """Let the next `ask` find other points, as after a change of a parameter."""
        if not self._is_fast:
            super().update_next()
        self.cache_ = {}
        self.__dict__.pop("_next_x", None)

    def _ask(self) -> Any:
        if not self._is_fast:
            return super()._ask()
        if self._n_initial_points > 0:
            point = super()._ask()
            if self.avoid_duplicates and self._initial_samples is None and self.Xi:
                rows = self._rows()
                if are_among(self._columns.transform([point]), rows)[0]:
                    return self._columns.point(self._unused(rows, self.rng))
            return point
        if not hasattr(self, "_next_x"):
            (self._next_x,) = self._select(1, "cl_min", self.rng)
        return self._next_x

    def _select_initial(self, n_points: int, strategy: str, random: np.random.RandomState) -> list[Any]:
        """Ask a copy for the initial points that are left, and tell it lies; then its model for the others."""
        liar = self.copy(random_state=random)
        found = []
        for _ in range(min(n_points, self._n_initial_points)):
            found.append(liar._ask())
            liar._tell(found[-1], liar._lie(strategy), fit=False)
        if len(found) < n_points:
            liar._fit()
            found += liar._select(n_points - len(found), strategy, random)
        return found

    def _lie(self, strategy: str) -> Any:
        """Return the value that points without one are told with. It is the same after any number of lies."""
        of = STRATEGIES[strategy]
        if self.acq_func.endswith("ps"):
            values = np.array(self.yi or [[0.0, np.log(np.finfo(float).max)]], dtype=float)
            return [float(of(column)) for column in values.T]
        return float(of(self.yi)) if self.yi else 0.0

    def _rows(self) -> Array:
        """Return all points in the columns; what was told before is not transformed again."""
        known = len(self._transformed)
        if known < len(self.Xi):
            self._transformed += list(self._columns.transform(self.Xi[known:]))
        return np.array(self._transformed)

    @_BLAS.wrap(limits=1)  # type: ignore[untyped-decorator]
    def _fit(self) -> None:
        rows = self._rows()
        model = clone(self.base_estimator_)
        if isinstance(model, GaussianProcessRegressor):
            restarts = len(rows) <= ALWAYS_RESTARTED or _step(len(rows)) > _step(self._fitted_to)
            model.set_params(start=self._theta, restarts=restarts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows, np.array(self.yi, dtype=float))
        if isinstance(model, GaussianProcessRegressor):
            self.start_from(model.theta_, len(rows))
        subset = getattr(model, "subset_", None)
        if subset is not None:
            text = f"the GP knows {len(subset)} of {len(rows)} points: the best, the latest and a sample of the others"
            warnings.warn(text, stacklevel=6)
        if self.acq_func == "gp_hedge" and hasattr(self, "next_xs_"):
            self.gains_ -= model.predict(np.vstack(self.next_xs_))
            del self.next_xs_
        if self.max_model_queue_size is not None and len(self.models) >= self.max_model_queue_size:
            self.models.pop(0)
        self.models.append(model)
        self.__dict__.pop("_next_x", None)

    @_BLAS.wrap(limits=1)  # type: ignore[untyped-decorator]
    def _select(
        self, n_points: int, strategy: str, random: np.random.RandomState, under_way: Sequence[Any] = ()
    ) -> list[Any]:
        """Choose points that the last model, told lies of them, finds best one after another."""
        if not self.models:
            raise RuntimeError("Random evaluations exhausted and no model has been fit.")
        rows = self._rows()
        values = np.array(self.yi, dtype=float).reshape(len(rows), -1)
        batch = _Batch(self, self.models[-1], self._candidates(rows, values[:, 0], random), rows, values)
        lie = np.atleast_1d(self._lie(strategy))
        if under_way:
            for row in self._columns.transform(list(under_way)):
                batch.add(row, lie)
        gains = np.copy(self.gains_) if self.acq_func == "gp_hedge" else None
        found = []
        for number in range(n_points):
            choices = [batch.choose(name) for name in self.cand_acq_funcs_]
            if number == 0:
                self.next_xs_ = choices
            chosen = choices[0]
            if gains is not None:
                weights = np.exp(self.eta * (gains - gains.max()))
                chosen = choices[int(np.argmax(random.multinomial(1, weights / weights.sum())))]
            if self.avoid_duplicates and are_among(chosen[None, :], batch.used)[0]:
                chosen = self._unused(batch.used, random)
            found.append(self._columns.point(chosen))
            if number + 1 < n_points:
                batch.add(chosen, lie)
                if gains is not None:
                    gains -= batch.means(np.vstack(choices))
        return found

    def _candidates(self, rows: Array, losses: Array, random: np.random.RandomState) -> Array:
        """Draw candidates from the priors and, for a model with gradients, around the best points."""
        if self._columns.size <= self.n_points:
            if self._every is None:
                self._every = self._columns.every()
            return self._every
        if self.acq_optimizer != "lbfgs" or not len(self._columns.free):
            return self._columns.draw(self.n_points, random)
        near = int(AROUND_BEST * self.n_points)
        drawn = self._columns.draw(self.n_points, random)
        best = np.argsort(losses, kind="stable")[:BEST]
        centres = rows[best[np.arange(near) % len(best)]]
        moved = centres.copy()
        free = self._columns.free
        moved[:, free] += random.normal(0.0, SPREAD, (near, len(free))) * random.uniform(0.0, 1.0, (near, 1))
        # a third of them keeps the other dimensions of the draw instead of those of the best
        others = np.setdiff1d(np.arange(rows.shape[1]), free)
        moved[: near // 3, others] = drawn[: near // 3, others]
        drawn[:near] = self._columns.snap(moved)
        return drawn

    def _unused(self, used: Array, random: np.random.RandomState) -> Array:
        """Draw a point that was not used; any, where there is hardly one."""
        drawn = self._columns.draw(self.n_points, random)
        unused = drawn[~are_among(drawn, used)]
        if not len(unused) and self._columns.size <= self.n_points:
            every = self._columns.every()
            unused = every[~are_among(every, used)]
        if not len(unused):
            warnings.warn("every point of the space was tried before: going on with one of these", stacklevel=5)
        return np.asarray((unused if len(unused) else drawn)[0])


class _Batch:
    """The candidates of a batch, and what the model makes of them as it is told one lie after another."""

    def __init__(self, optimizer: Optimizer, model: Any, candidates: Array, rows: Array, values: Array) -> None:
        self._columns, self.used, self._told = optimizer._columns, rows, len(rows)
        self._starts, self._avoids = optimizer.n_restarts_optimizer, optimizer.avoid_duplicates
        self._candidates = candidates
        self._excluded = are_among(candidates, rows) & self._avoids
        # there is nothing to refine where the candidates are all points
        self._is_whole = self._columns.size <= optimizer.n_points
        self._gradients = optimizer.acq_optimizer == "lbfgs" and not self._is_whole
        # what is improbable of losses of any size is not rounded away where they are standardised
        scaled, self._mean, self._scale = standardise(values[:, 0])
        self._best = float(scaled.min())
        asked = optimizer.acq_func_kwargs or {}
        self._xi, self._kappa = asked.get("xi", acquisition.XI), asked.get("kappa", acquisition.KAPPA)
        models = model.estimators_ if isinstance(model, MultiOutputRegressor) else [model]
        # of the losses, and where they come with times, of their logarithms
        self._screens = [_screen(one, candidates, rows, values[:, index]) for index, one in enumerate(models)]

    def choose(self, name: str) -> Array:
        """Return the row that an acquisition function finds best, refined where the model has gradients."""
        predicted = [screen.predict() for screen in self._screens]
        values = self._values(name, predicted)
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
        return np.asarray(max((again[0], exchanged), key=lambda one: float(self._at(name, one[None, :])[0])))

    def add(self, row: Array, lie: Array) -> None:
        """Tell the model a lie of a point."""
        self.used = np.vstack([self.used, row])
        if self._avoids:
            self._excluded |= np.abs(self._candidates - row).max(axis=1) <= (APART if self._gradients else SAME)
        for screen, value in zip(self._screens, lie, strict=True):
            screen.add(row, float(value))

    def means(self, rows: Array) -> Array:
        """Predict the losses at rows."""
        return self._screens[0].mean_at(rows)

    @property
    def _posteriors(self) -> list[Posterior]:
        return [screen.posterior for screen in self._screens if isinstance(screen, Screen)]

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
        return used | are_among(rows, self.used[self._told :], APART) if self._gradients else used

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
            found = self._utility(name, mean, deviation)
            value = found.value
            of_mean, of_deviation = found.derivatives()
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


def _screen(model: Any, candidates: Array, rows: Array, values: Array) -> Screen | ForestScreen:
    if isinstance(model, GaussianProcessRegressor):
        return Screen(model.posterior_, candidates)
    if isinstance(model, skopt.learning.ExtraTreesRegressor):
        return RegrownScreen(model, candidates, rows, values)
    return ForestScreen(model, candidates)


def _is_refused(estimator: Any) -> bool:
    if isinstance(estimator, str):
        return estimator.upper() in ("GBRT", "DUMMY")
    return estimator is None or isinstance(estimator, skopt.learning.GradientBoostingQuantileRegressor)


def _is_gp(estimator: Any) -> bool:
    if isinstance(estimator, str):
        return estimator.upper() == "GP"
    return isinstance(getattr(estimator, "estimator", estimator), skopt.learning.GaussianProcessRegressor)


def _faster(estimator: Any) -> Any:
    if isinstance(estimator, MultiOutputRegressor):
        return clone(estimator).set_params(estimator=_faster(estimator.estimator))
    if type(estimator) is skopt.learning.GaussianProcessRegressor:
        return GaussianProcessRegressor(**estimator.get_params(deep=False), hyperprior=True)
    return estimator


def _is_fast(estimator: Any) -> bool:
    if isinstance(estimator, MultiOutputRegressor):
        return _is_fast(estimator.estimator)
    if isinstance(estimator, GaussianProcessRegressor):
        return bool(estimator.is_fast)
    forests = (skopt.learning.RandomForestRegressor, skopt.learning.ExtraTreesRegressor)
    return isinstance(estimator, forests) and bool(estimator.criterion == "squared_error")


def _has_no_gradient(estimator: Any) -> bool:
    return isinstance(estimator, str) and estimator.upper() in ("RF", "ET")


def _step(points: int) -> int:
    """Return how many powers of sqrt(2) a number of points has passed."""
    return int(2 * np.log2(max(points, 1)))
