"""A drop-in replacement for `skopt.Optimizer` that proposes points much faster."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import skopt
import skopt.utils
from numpy.typing import NDArray
from sklearn.base import clone
from threadpoolctl import ThreadpoolController

from ledger.optimizer import acquisition
from ledger.optimizer.batch import BatchSelector
from ledger.optimizer.columns import KnownRows, TransformedSpace
from ledger.optimizer.estimators import faster, is_fast, is_forest, is_gp, is_refused
from ledger.optimizer.gaussian_process import GaussianProcessRegressor, root_two_step

Array = NDArray[np.float64]

# By default, `ask` samples `CANDIDATES` candidates for "lbfgs", and 10,000 candidates for "sampling".
CANDIDATES = 2_000
# `AROUND_BEST` is the share of the candidates that `ask` samples near the best points. `BEST` is the number of best
# points. `SPREAD` is the standard deviation of the random steps from the best points.
AROUND_BEST, BEST, SPREAD = 0.2, 5, 0.1
# If a GP has at most `ALWAYS_RESTARTED` observations, each fit of the kernel tries all start values.
ALWAYS_RESTARTED = 32
# The number of BLAS threads changes how sums are rounded, and therefore also changes the proposed points.
_BLAS = ThreadpoolController().select(user_api="blas")
# `STRATEGIES` maps each strategy of the constant liar to the function that computes the constant liar's value.
# "believer" uses this value only while no model exists.
STRATEGIES: dict[str, Any] = {"cl_min": np.min, "cl_mean": np.mean, "cl_max": np.max, "believer": np.mean}


class Optimizer(skopt.Optimizer):  # type: ignore[misc]
    """An optimizer that minimises a loss by Bayesian optimisation. The main methods are `ask` and `tell`.

    The class and `skopt.Optimizer` have the same arguments, the same attributes and the same types of results. The
    section "Notes" describes how this class and skopt choose points differently.

    Parameters
    ----------
    dimensions : list
        The search space, with one entry for each dimension. An entry is a tuple ``(low, high)`` or
        ``(low, high, prior)``, a list of categories, or an instance of `skopt.space.Real`, `Integer` or `Categorical`.
        A tuple of integers is an integer dimension, and a tuple of floats is a real dimension.
    base_estimator : str or regressor
        The surrogate. "GP" is a Gaussian process, "RF" is a random forest, and "ET" is extra trees. For "GP", "RF" and
        "ET", this class has faster code than skopt. The surrogate can also be a regressor whose method `predict` has
        the argument `return_std`.
    n_random_starts : int, optional
        A parameter that is deprecated in skopt. Use `n_initial_points` instead.
    n_initial_points : int
        The number of points that must have a value before the surrogate proposes points. The optimizer counts every
        point that `tell` receives, even if `ask` did not return the point.
    initial_point_generator : str or skopt.sampler.InitialPointGenerator
        The method that samples the initial points, one of "random", "sobol", "halton", "hammersly", "lhs" and "grid".
    n_jobs : int
        The number of parallel jobs that fit a forest. The value -1 means one job for each core.
    acq_func : str
        The acquisition function. "EI" is expected improvement, "PI" is probability of improvement, "LCB" is lower
        confidence bound, and "MES" is max-value entropy search. "gp_hedge" chooses EI, LCB or PI at random. "gp_hedge"
        prefers acquisition functions with larger gains. "EIps" is EI per second, and "PIps" is PI per second. For
        "EIps" and "PIps", each value is a pair of a loss and an evaluation time in seconds.
    acq_optimizer : str
        The method that maximises the acquisition function. "sampling" chooses the best candidate. "lbfgs" also uses
        gradients to refine the best candidates. Only a Gaussian process has gradients. "auto" means "lbfgs" if both the
        surrogate and the acquisition function have gradients. Otherwise, "auto" means "sampling".
    random_state : int, RandomState or None
        The source of random numbers. With equal seeds, two optimizers propose equal points.
    model_queue_size : int or None
        The number of fitted models that the list `models` keeps. None means all models.
    space_constraint : callable, optional
        A function that returns whether a given point is allowed.
    acq_func_kwargs : dict, optional
        The options of the acquisition function. ``xi`` is the minimum improvement for EI and PI, in the unit of the
        losses (0 by default). ``kappa`` is the weight of the standard deviation in LCB (1.96 by default). If ``kappa``
        is "inf", LCB uses only the standard deviation. ``eta`` is the weight of the gains in "gp_hedge" (1 by default).
    acq_optimizer_kwargs : dict, optional
        ``n_points`` is the number of candidates (2,000 with "lbfgs", otherwise 10,000). ``n_restarts_optimizer`` is the
        number of candidates that `ask` refines with gradients (5 by default). Only skopt's own code uses ``n_jobs``.
    avoid_duplicates : bool
        Whether `ask` replaces a point that already has a value or is already in the batch.

    Attributes
    ----------
    Xi : list
        The points that have values, in the order in which `tell` received them.
    yi : list
        The values of `Xi`. For "EIps" or "PIps", a value is a pair of a loss and the logarithm of the time in seconds.
    models : list
        The fitted surrogates, from the oldest to the latest.
    space : skopt.space.Space
        The search space.
    base_estimator_ : regressor
        The unfitted surrogate. Each fit uses a clone of `base_estimator_`.
    rng : numpy.random.RandomState
        The generator of the optimizer's random numbers.
    n_points : int
        The number of candidates that `ask` samples.
    gains_ : array of shape (3,)
        The gains of EI, LCB and PI. Only "gp_hedge" uses gains.

    Raises
    ------
    ValueError
        An argument has a value that is not allowed. For example, the surrogates "GBRT" and "dummy" are not allowed.
    TypeError
        `model_queue_size` is not an integer.

    See Also
    --------
    ledger.proposals.propose : Computes a study's next points from the study's observations.

    Notes
    -----
    `Optimizer` differs from `skopt.Optimizer` in the following ways.

    - The fit of a GP's kernel starts from the kernel of the previous fit. If the GP has at most 32 points, the fit of
      the kernel also tries skopt's three start values. With more than 32 points, the fit tries skopt's start values
      only when the number of points reaches the next power of sqrt(2).
    - If a GP has more than 500 points, the GP's kernel is fitted to 500 random points. If a GP has more than 1,500
      points, the GP uses a subset of 1,500 points. A quarter of the subset consists of the best points, and another
      quarter consists of the latest points. The rest of the subset is random. `tell` warns if the GP uses a subset. The
      model's attribute `subset_` contains the indices of the subset.
    - A GP or a random forest is fitted only once for each batch. For each point of the batch, the assumed value [1]_
      adds one row to the GP's Cholesky factor, or one observation to the forest's leaves. Like skopt, the optimizer
      fits an extra-trees model again for each point of a batch. Searches on the 6-dimensional Hartmann function used
      batches of 4 points. In these searches, only one fit for each batch doubled the final distance to the optimum.
    - The candidates are sampled only once for each batch. With "lbfgs", a fifth of the candidates are sampled around
      the best points. If the space has fewer points than candidates, all points are candidates. In all real dimensions,
      and in all integer dimensions with more than 32 values, L-BFGS-B refines the best candidates at the same time. In
      categorical and small integer dimensions, `ask` changes one value of a candidate at a time. `ask` rounds each
      refined candidate to valid values, and then computes the acquisition function again.
    - By default, EI and PI include every improvement of the loss. In skopt, they include only improvements of
      more than 0.01 by default. If an improvement of 0.01 is improbable at all points, skopt proposes random points.
    - A GP's kernel has a weak prior. The docstring of `GaussianProcessRegressor` describes this prior. With the weak
      prior, a GP needs fewer points to distinguish noise from the shape of the objective.
    - Unlike skopt, `ask` also avoids duplicates among the initial points and duplicates within a batch. Any two points
      of a GP's batch differ in at least one dimension by more than 0.001 of the dimension's range.
    - `tell` fits the model, and only `ask` chooses the points. In skopt, `tell` also chooses the next point.
    - With "EIps" and "PIps", the best loss is the minimum of the losses. In skopt, the best loss for "EIps" and "PIps"
      is the minimum of all losses and all logarithms of evaluation times. GP dimensions are scaled to [0, 1].
    - Models run on one thread of BLAS, so equal seeds give equal points on any number of cores.
    - A forest squares the losses, so losses must not exceed 1e150.
    - "MES" uses quantiles of the optimum's distribution. skopt samples optima with numpy's global random generator.
    - If a value is not finite, `tell` raises an error. A call of `tell` that raises an error records nothing.

    skopt's own code runs for custom GP kernels, for regressors other than GPs and forests, and for `acq_func` "PVRS".

    References
    ----------
    .. [1] Ginsbourger, Le Riche and Carraro 2010, *Kriging is well-suited to parallelize optimization*.

    Examples
    --------
    >>> optimizer = Optimizer([(-2.0, 2.0)], n_initial_points=4, acq_func="EI", random_state=1)
    >>> for _ in range(5):
    ...     points = optimizer.ask(n_points=4)
    ...     result = optimizer.tell(points, [(x - 0.5) ** 2 for (x,) in points])
    >>> print(f"{len(optimizer.Xi)} points, the best at {result.x[0]:.2f}")
    20 points, the best at 0.50
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
        if is_refused(base_estimator):
            raise ValueError(f"base_estimator {base_estimator} does not run with this scikit-learn: use GP, RF or ET")
        if is_gp(base_estimator):
            # For "EIps" and "PIps", skopt does not normalise the dimensions.
            dimensions = skopt.utils.normalize_dimensions(dimensions)
        if acq_optimizer == "auto" and acq_func in ("EIps", "PIps") and is_forest(base_estimator):
            # For "EIps" and "PIps", skopt replaces "auto" by "lbfgs". However, "lbfgs" needs gradients, and a forest
            # has no gradients.
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
        self.base_estimator_ = faster(self.base_estimator_)
        self._is_fast = acq_func != "PVRS" and is_fast(self.base_estimator_)
        if self._is_fast and self.acq_optimizer == "lbfgs" and "n_points" not in self.acq_optimizer_kwargs:
            self.n_points = CANDIDATES
        self._columns = TransformedSpace(self.space)
        self._every: Array | None = None
        # The rows of all observed points: first the rows that `tell_rows` received, and then the rows of `Xi`.
        self._known = np.empty((0, len(self._columns.bounds)))
        self._given_values = np.empty(0)
        self._theta: Array | None = None
        self._fitted_to = 0

    def start_from(self, theta: Sequence[float] | Array, observations: int) -> None:
        """Start the next fit of a GP's kernel from an earlier kernel.

        Parameters
        ----------
        theta : sequence of float
            The attribute `theta_` of the model with the earlier kernel.
        observations : int
            The number of points that the fit of the earlier kernel used.

        Examples
        --------
        The optimizer `second` continues from the kernel of the optimizer `first`:

        >>> points, losses = [[0.0], [0.3], [0.6], [1.0]], [0.2, 0.0, 0.1, 0.5]
        >>> first, second = (Optimizer([(0.0, 1.0)], n_initial_points=1, random_state=1) for _ in range(2))
        >>> result = first.tell(points, losses)
        >>> second.start_from(first.models[-1].theta_, observations=4)
        >>> result = second.tell(points, losses)
        """
        self._theta, self._fitted_to = np.array(theta, dtype=float), observations

    def tell(self, x: Any, y: Any, fit: bool = True) -> Any:
        """Record the values of one or more points, and fit the surrogate if all initial points have values.

        Parameters
        ----------
        x : list
            A point, or a list of points.
        y : float or list
            The value of the point, or a list of values. With "EIps" and "PIps", a value is a pair of a loss and an
            evaluation time in seconds.
        fit : bool
            Whether `tell` fits the surrogate.

        Returns
        -------
        scipy.optimize.OptimizeResult
            `x` is the best point, and `fun` is the value of `x`. `x_iters` contains all points, and `func_vals`
            contains all values. `models` and `space` are the attributes `models` and `space` of the optimizer.

        Raises
        ------
        ValueError
            A value is not finite, a point is not in the space, or the numbers of points and values differ. If `tell`
            raises an error, `tell` records nothing.

        Examples
        --------
        >>> optimizer = Optimizer([(0.0, 1.0)], n_initial_points=2, random_state=1)
        >>> optimizer.tell([[0.2], [0.7]], [0.5, 0.1]).x
        [0.7]
        >>> optimizer.tell([0.5], float("nan"))
        Traceback (most recent call last):
        ...
        ValueError: expected finite values, got nan
        """
        values = np.asarray(y, dtype=object).ravel()
        if any(isinstance(value, (int, float, np.number)) and not np.isfinite(value) for value in values):
            raise ValueError(f"expected finite values, got {y!r}")
        return super().tell(x, y, fit=fit)

    def tell_rows(self, rows: Array, values: Array, fit: bool = True) -> None:
        """Record the values of many points. If `fit` is true and all initial points have values, fit the surrogate.

        The method is much faster than `tell`, because the method does not check and transform the points. The
        attributes `Xi` and `yi` do not contain these points.

        Parameters
        ----------
        rows : array of shape (n, columns)
            The points in the transformed space.
        values : array of shape (n,) or (n, 2)
            The finite values. With "EIps" and "PIps", a value is a pair of a loss and the logarithm of a time.

        Raises
        ------
        ValueError
            The optimizer already has an observation, or the optimizer runs skopt's own code.

        Examples
        --------
        >>> optimizer = Optimizer([(0.0, 1.0)], n_initial_points=2, random_state=1)
        >>> optimizer.tell_rows(np.array([[0.2], [0.7]]), np.array([0.5, 0.1]))
        >>> optimizer.observed().tolist()
        [0.5, 0.1]
        """
        if self.Xi or len(self._known) or not self._is_fast:
            raise ValueError("tell_rows needs an optimizer with the faster code and without observations")
        self._known, self._given_values = rows, values
        self._n_initial_points -= len(rows)
        self.cache_ = {}
        if fit and self._n_initial_points <= 0:
            self._fit()

    def observed(self) -> Array:
        """Return the values of all observed points, in the order in which the optimizer received them."""
        given, values = self._given_values, np.array(self.yi, dtype=float)
        return (np.concatenate([given, values]) if len(given) else values) if self.Xi else given

    def rows(self) -> Array:
        """Return the rows of all observed points in the transformed space. The caller must not change the array."""
        untransformed = len(self._known) - len(self._given_values)
        if untransformed < len(self.Xi):
            self._known = np.vstack([self._known, self._columns.transform(self.Xi[untransformed:])])
        return self._known

    def _tell(self, x: Any, y: Any, fit: bool = True) -> Any:
        if not self._is_fast:
            return super()._tell(x, y, fit=fit)
        result = super()._tell(x, y, fit=False)
        if fit and self._n_initial_points <= 0:
            self._fit()
        return result

    def ask(self, n_points: int | None = None, strategy: str = "cl_min", in_flight: Sequence[Any] = ()) -> Any:
        """Return the next point, or a batch of points.

        If `in_flight` is empty, consecutive calls of `ask` with the same arguments return the same points.

        Parameters
        ----------
        n_points : int, optional
            The number of points of a batch. If `n_points` is None, `ask` returns one point instead of a list of points.
        strategy : str
            The assumed value of each point in flight and of each chosen point. "cl_min", "cl_mean" and "cl_max" are the
            lowest, mean and highest observed value (constant liar [1]_). "believer" is the value that the model
            predicts, and EI and PI then count only improvements on all observed and assumed values (kriging believer).
        in_flight : sequence of points
            Points that `ask` has returned and that have no value yet. `ask` does not return these points again. If
            `in_flight` is not empty, the caller must pass `n_points`, and a model must already be fitted.

        Returns
        -------
        list
            A point, or a list of points.

        Raises
        ------
        ValueError
            `n_points` is not a positive integer, or the strategy is unknown. skopt's own code does not know "believer".
        RuntimeError
            The initial points have values, but no model was fitted.

        Examples
        --------
        >>> optimizer = Optimizer([(0.0, 1.0), ["a", "b"]], n_initial_points=3, random_state=1)
        >>> batch = optimizer.ask(n_points=3)
        >>> result = optimizer.tell(batch, [0.2, 0.4, 0.1])
        >>> (point,) = optimizer.ask(n_points=1)
        >>> (other,) = optimizer.ask(n_points=1, in_flight=[point])
        >>> point == other
        False
        """
        if n_points is None or not self._is_fast:
            return super().ask(n_points, strategy)
        if not (isinstance(n_points, int) and n_points > 0):
            raise ValueError(f"n_points should be int > 0, got {n_points}")
        if strategy not in STRATEGIES:
            raise ValueError(f"Expected parallel_strategy to be one of {list(STRATEGIES)}, got {strategy}")
        if in_flight:
            return self._select(n_points, strategy, self.rng, in_flight)
        if (n_points, strategy) not in self.cache_:
            random = np.random.RandomState(self.rng.randint(0, np.iinfo(np.int32).max))
            if self._n_initial_points > 0:
                points = self._select_initial(n_points, strategy, random)
            else:
                points = self._select(n_points, strategy, random)
            self.cache_ = {(n_points, strategy): points}
        return self.cache_[(n_points, strategy)]

    def copy(self, random_state: Any = None) -> "Optimizer":
        """Return a new optimizer with the points and the values of this optimizer.

        Parameters
        ----------
        random_state : int, RandomState or None
            The source of the copy's random numbers.

        Returns
        -------
        Optimizer

        Examples
        --------
        >>> optimizer = Optimizer([(0.0, 1.0)], n_initial_points=2, random_state=1)
        >>> result = optimizer.tell([[0.2], [0.7]], [0.5, 0.1])
        >>> optimizer.copy(random_state=3).Xi
        [[0.2], [0.7]]
        """
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
        if len(self._given_values):
            twin.tell_rows(self._known[: len(self._given_values)], self._given_values, fit=not self.Xi)
        if self.Xi:
            twin._tell(self.Xi, self.yi)
        return twin

    def update_next(self) -> None:
        """Ensure that the next `ask` chooses points again, for example after a change of `acq_func_kwargs`.

        Examples
        --------
        >>> optimizer = Optimizer([(0.0, 1.0)], n_initial_points=3, acq_func="LCB", random_state=1)
        >>> result = optimizer.tell([[0.1], [0.5], [0.9]], [0.3, 0.1, 0.4])
        >>> point = optimizer.ask()
        >>> optimizer.acq_func_kwargs = {"kappa": 100.0}
        >>> optimizer.ask() == point
        True
        >>> optimizer.update_next()
        >>> optimizer.ask() == point
        False
        """
        if not self._is_fast:
            super().update_next()
        self.cache_ = {}
        self.__dict__.pop("_next_x", None)

    def _ask(self) -> Any:
        if not self._is_fast:
            return super()._ask()
        if self._n_initial_points > 0:
            point = super()._ask()
            if self.avoid_duplicates and self._initial_samples is None:
                known = KnownRows(self._columns.whole(self.rows()))
                if known.are_near(self._columns.transform([point]))[0]:
                    return self._columns.point(self._unused(known.are_near, self.rng))
            return point
        if not hasattr(self, "_next_x"):
            (self._next_x,) = self._select(1, "cl_min", self.rng)
        return self._next_x

    def _select_initial(self, n_points: int, strategy: str, random: np.random.RandomState) -> list[Any]:
        """Return initial points. If too few initial points remain, a copy of the optimizer proposes the others."""
        liar = self.copy(random_state=random)
        points = []
        for _ in range(min(n_points, self._n_initial_points)):
            points.append(liar._ask())
            liar._tell(points[-1], liar._lie(strategy), fit=False)
        if len(points) < n_points:
            liar._fit()
            points += liar._select(n_points - len(points), strategy, random)
        return points

    def _lie(self, strategy: str) -> Any:
        """Return the constant liar's value. The constant liar's value depends only on observed values."""
        of = STRATEGIES[strategy]
        values = self.observed()[self._columns.are_whole(self.rows())]
        if self.acq_func.endswith("ps"):
            values = values if len(values) else np.array([[0.0, np.log(np.finfo(float).max)]])
            return [float(of(column)) for column in values.T]
        return float(of(values)) if len(values) else 0.0

    @_BLAS.wrap(limits=1)  # type: ignore[untyped-decorator]
    def _fit(self) -> None:
        rows = self.rows()
        model = clone(self.base_estimator_)
        if isinstance(model, GaussianProcessRegressor):
            restarts = len(rows) <= ALWAYS_RESTARTED or root_two_step(len(rows)) > root_two_step(self._fitted_to)
            model.set_params(start=self._theta, restarts=restarts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows, self.observed())
        if isinstance(model, GaussianProcessRegressor):
            self.start_from(model.theta_, len(rows))
        subset = getattr(model, "subset_", None)
        if subset is not None:
            text = "the best points, the latest points and a random choice of the other points"
            warnings.warn(f"the GP is fitted to only {len(subset)} of {len(rows)} points: {text}", stacklevel=6)
        if self.acq_func == "gp_hedge" and hasattr(self, "next_xs_"):
            self.gains_ -= model.predict(np.vstack(self.next_xs_))
            del self.next_xs_
        if self.max_model_queue_size is not None and len(self.models) >= self.max_model_queue_size:
            self.models.pop(0)
        self.models.append(model)
        self.__dict__.pop("_next_x", None)

    @_BLAS.wrap(limits=1)  # type: ignore[untyped-decorator]
    def _select(
        self, n_points: int, strategy: str, random: np.random.RandomState, in_flight: Sequence[Any] = ()
    ) -> list[Any]:
        """Choose points one by one. Update the latest model with the assumed value of each chosen point."""
        if not self.models:
            raise RuntimeError("No random points remain, and no model has been fitted.")
        batch = self._batch(self.rows(), random)
        lie = None if strategy == "believer" else np.atleast_1d(self._lie(strategy))
        if in_flight:
            for row in self._columns.transform(list(in_flight)):
                batch.add(row, lie)
        gains = np.copy(self.gains_) if self.acq_func == "gp_hedge" else None
        points = []
        for number in range(n_points):
            choices = [batch.choose(name) for name in self.cand_acq_funcs_]
            if number == 0:
                self.next_xs_ = choices
            chosen = choices[0]
            if gains is not None:
                weights = np.exp(self.eta * (gains - gains.max()))
                chosen = choices[int(np.argmax(random.multinomial(1, weights / weights.sum())))]
            if self.avoid_duplicates and batch.are_used(chosen[None, :])[0]:
                chosen = self._unused(batch.are_used, random)
            points.append(self._columns.point(chosen))
            if number + 1 < n_points:
                batch.add(chosen, lie)
                if gains is not None:
                    gains -= batch.means(np.vstack(choices))
        return points

    def _batch(self, rows: Array, random: np.random.RandomState) -> BatchSelector:
        options, values = self.acq_func_kwargs or {}, self.observed().reshape(len(rows), -1)
        return BatchSelector(
            self._columns,
            self.models[-1],
            self._candidates(rows, values[:, 0], random),
            rows,
            values,
            # If all points of the space are candidates, gradients cannot find a better point.
            has_gradients=self.acq_optimizer == "lbfgs" and self._columns.size > self.n_points,
            starts=self.n_restarts_optimizer,
            avoids_duplicates=self.avoid_duplicates,
            xi=options.get("xi", acquisition.XI),
            kappa=options.get("kappa", acquisition.KAPPA),
        )

    def _candidates(self, rows: Array, losses: Array, random: np.random.RandomState) -> Array:
        """Sample candidates from the priors. If `acq_optimizer` is "lbfgs", also sample near the best points."""
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
        # Columns of categorical and small integer dimensions have no gradient. In columns without a gradient, the first
        # third of the candidates in `moved` gets random values from the priors. In columns without a gradient, the last
        # two thirds of the candidates keep the values of the best points.
        others = np.setdiff1d(np.arange(rows.shape[1]), free)
        moved[: near // 3, others] = drawn[: near // 3, others]
        drawn[:near] = self._columns.snap(moved)
        return drawn

    def _unused(self, are_used: Callable[[Array], NDArray[np.bool_]], random: np.random.RandomState) -> Array:
        """Sample an unused point. If the method finds no unused point, return a used point."""
        drawn = self._columns.draw(self.n_points, random)
        unused = drawn[~are_used(drawn)]
        if not len(unused) and self._columns.size <= self.n_points:
            every = self._columns.every()
            unused = every[~are_used(every)]
        if not len(unused):
            warnings.warn("no untried point was found, so the optimizer proposes a tried point again", stacklevel=5)
        return np.asarray((unused if len(unused) else drawn)[0])
