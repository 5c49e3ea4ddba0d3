"""A pure function that computes a study's next points from the study's settings and observations."""

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ledger import seeds
from ledger.proposals.defaults import untried_defaults
from ledger.proposals.encoding import EncodedInput, PointEncoder, encoded
from ledger.proposals.environment import one_thread
from ledger.proposals.losses import scaled_losses
from ledger.proposals.observations import ProposalInput
from ledger.proposals.skopt_space import SpaceConverter
from ledger.study.space import Space
from ledger.study.spec import StudySpec

if TYPE_CHECKING:
    from ledger.optimizer import Optimizer
    from ledger.proposals.loss_transform import Array, YeoJohnson

# The acquisition function "MES" computes the distribution of the minimum over all candidates. With skopt's default of
# 10,000 candidates, "MES" would be slow.
MES_CANDIDATES = 1_000
# If a candidate is a duplicate of an earlier point, `_unused` replaces the candidate by a random point. `_others`
# samples one random point for each candidate, and `DRAWS` additional random points. If every random point is a
# duplicate and the space is finite, `_unused` searches all points of the space for a new point.
DRAWS = 100
# `_with_times` clips training times to the range from `SHORTEST` to `LONGEST` seconds, because a surrogate is fitted
# to the logarithms of the training times.
SHORTEST, LONGEST = 1e-6, 1e9
# The parameters of a kernel that are no length scales: the amplitude and the noise.
OTHER_PARAMETERS = 2
# A GP models the transformed losses if the transform increases the log-likelihood by more than `EVIDENCE`. A smaller
# increase can be due to chance, because the transform has one parameter.
EVIDENCE = 2.0
# With at most `ALWAYS_COMPARED` observations, each proposal fits a GP to the losses and a GP to the transformed losses.
# With more observations, a proposal fits both GPs only if the number of observations has reached the next power of
# sqrt(2). Otherwise, the proposal makes the same choice as the last recorded proposal. Both fits start from the last
# recorded kernel, so the comparison slightly favours the last choice.
ALWAYS_COMPARED = 128


@dataclass(frozen=True)
class Proposal:
    """The result of the function `propose`: proposed points, a description of the surrogate, and the duration of the
    computation.

    Attributes
    ----------
    points : list of dict
        The parameters of each point. The values have plain Python types. If the space has too few unused points, the
        list is shorter than the requested batch.
    surrogate : dict or None
        A description of the surrogate, as values that JSON can represent. `surrogate` is None if the points are random.
        The description always has the key `estimator`. Only the description of a GP has keys other than `estimator`.
        `kernel` is a text that describes the kernel, and `theta` is a list of the natural logarithms of the kernel's
        parameters. `log_marginal_likelihood` is the logarithm of the kernel's marginal likelihood, for the standardised
        losses or transformed losses. `observations` is
        the number of observations that the GP received. If the GP uses only a part of the observations, `known` is the
        number of observations that the GP uses. `transform` is a dict that describes the transform of the losses. The
        dict contains the `name` of the transform, which is "none" or "yeo-johnson", and the `gain`, which is the
        increase of the log-likelihood by the transform. For "yeo-johnson", the dict also contains the `exponent`. With
        fewer than 8 different losses, and with "EIps" and "PIps", `transform` is missing.
    tell_seconds, ask_seconds : float
        `tell_seconds` is the duration of the fit of the surrogate. `ask_seconds` is the time that the optimizer needed
        to choose the points. Both durations are in seconds.

    Examples
    --------
    >>> print(Proposal([{"C": 1.0}], surrogate=None, tell_seconds=0.0, ask_seconds=0.25))
    1 initial points proposed in 0.25 s
    """

    points: list[dict[str, Any]]
    surrogate: dict[str, Any] | None
    tell_seconds: float
    ask_seconds: float

    def __str__(self) -> str:
        if self.surrogate is None:
            made = "initial points"
        elif "known" in self.surrogate:
            made = (
                f"surrogate points (the surrogate is fitted to {self.surrogate['known']} of"
                f" {self.surrogate['observations']} observations)"
            )
        else:
            made = "surrogate points"
        return f"{len(self.points)} {made} proposed in {self.tell_seconds + self.ask_seconds:.2f} s"


def load_optimizer() -> "type[Optimizer]":
    """Import and return the class `Optimizer`. The import needs about one second of processor time.

    A proposal of random points needs no optimizer. Therefore only this function imports `ledger.optimizer`.
    """
    from ledger.optimizer import Optimizer

    return Optimizer


def propose(study: StudySpec, iteration: int, round: int, size: int, given: ProposalInput | EncodedInput) -> Proposal:
    """Propose the points of one round of an iteration.

    The function `is_random` says when the points are random. If the points are not random, a new
    `ledger.optimizer.Optimizer` proposes the points. The optimizer's seed is derived from the study's seed, the
    iteration and the round. The optimizer receives all observations at once. For each trial in flight and for each
    chosen point of a batch, a GP assumes the loss that it predicts, and a forest assumes the lowest known loss
    (Ginsbourger, Le Riche and Carraro 2010). If no trial in `given` has the defaults of the space, the first point
    takes the defaults. The other parameters of the first point keep their values. If the surrogate is a GP, the fit of
    the kernel starts from the kernel that the ledger recorded last. The computation runs on one thread. The computation
    does not use numpy's global random generator, and does not seed the generator. Therefore, two equal studies with
    equal observations get equal points.

    Parameters
    ----------
    study : StudySpec
    iteration, round : int
        The numbers of the iteration and of the round, from 0.
    size : int
        The number of points, at least 1.
    given : ProposalInput or EncodedInput
        The trials and the surrogate from which the function computes the points. Equal trials result in equal points,
        with or without encoding. If the surrogate is a GP, the time for an `EncodedInput` hardly depends on the number
        of trials.

    Returns
    -------
    Proposal
        The proposed points. All points of the proposal are different, and `given` contains none of the points.

    Raises
    ------
    UsageError
        A trial in `given` has parameters outside the study's search space.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> study = assemble({"model": "svm", "seed": 7})
    >>> proposal = propose(study, iteration=0, round=0, size=2, given=ProposalInput())
    >>> [sorted(point) for point in proposal.points]
    [['C', 'gamma'], ['C', 'gamma']]
    """
    started = time.perf_counter()
    space, encoder = study.space, PointEncoder(study.space)
    known = given if isinstance(given, EncodedInput) else encoded(encoder, given)
    used = _UsedPoints(encoder, known)
    points_of_space = space.size()
    if points_of_space is not None:
        size = min(size, used.unused(points_of_space, size))
    if size == 0:
        return Proposal([], None, 0.0, 0.0)
    searched = encoder.converter
    seed = seeds.derive(study.seed, "iteration", iteration, round)
    told, surrogate = started, None
    if is_random(study, known):
        candidates = searched.random(size, seed)
    else:
        load_optimizer()
        started = time.perf_counter()
        # `one_thread` limits only libraries that are already loaded, so `load_optimizer` must run before `one_thread`.
        with one_thread():
            fitted = told_optimizer(study, searched, seed, known)
            told = time.perf_counter()
            surrogate = _surrogate(study, fitted, len(known.observed))
            in_flight = [fitted.whole(point) for point in encoder.skopt_points(known.table[known.in_flight])]
            # A forest predicts almost the same after an observation of the predicted loss, so its next point would be
            # close to the last point.
            strategy = "believer" if study.optimizer.base_estimator == "GP" else "cl_min"
            asked = fitted.optimizer.ask(size, strategy, in_flight)
            candidates = [searched.params(point[: len(searched.varying)]) for point in asked]
    candidates[0] = {**candidates[0], **untried_defaults(space, known)}
    points = list(_unused(space, searched, candidates, used, seeds.derive(seed, "unused")))
    return Proposal(points, surrogate, told - started, time.perf_counter() - told)


def is_random(study: StudySpec, known: EncodedInput) -> bool:
    """Return whether `propose` proposes random points. The points are random if the study has too few observed trials
    or no loss.
    """
    return known.trials < needed_trials(study, len(known.in_flight)) or bool(np.isnan(known.losses).all())


def needed_trials(study: StudySpec, in_flight: int) -> int:
    """Return how many trials must have ended or paused before the optimizer fits the first surrogate.

    In batch mode, the number is `initial_points`. In steady mode, trials in flight also count, but half of the initial
    points must have ended or paused.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> steady = assemble({"model": "svm", "trials": 40, "batch_size": 8, "mode": "steady"})
    >>> [needed_trials(steady, in_flight) for in_flight in (0, 3, 7)]
    [10, 7, 5]
    """
    initial = study.resolved.initial_points
    return max(initial - in_flight, -(-initial // 2))


@dataclass(frozen=True)
class ToldOptimizer:
    """An optimizer that has received all observations, and has fitted the surrogate.

    Attributes
    ----------
    optimizer : Optimizer
    transform : YeoJohnson or None
        The transform of the scaled losses. None if the optimizer has received the scaled losses themselves.
    gain : float or None
        The increase of the log-likelihood by the transform, from the last comparison of both GPs. None if the proposal
        did not consider the transform.
    """

    optimizer: "Optimizer"
    transform: "YeoJohnson | None" = None
    gain: float | None = None

    def whole(self, point: Sequence[Any]) -> list[Any]:
        """Return the point of the optimizer that belongs to a whole training with a point of `SpaceConverter`."""
        return [*point, 1.0][: self.optimizer.space.n_dims]


def told_optimizer(study: StudySpec, searched: SpaceConverter, seed: int, known: EncodedInput) -> ToldOptimizer:
    """Return an optimizer that has received all observations, and has fitted the surrogate. Before this call, the
    caller must call `load_optimizer`, and must limit the libraries to one thread.

    The function fits a GP to the scaled losses, and a second GP to the transformed losses. The function returns the
    optimizer with the second GP if the transform increases the log-likelihood by more than `EVIDENCE`. A forest, and
    the GPs of "EIps" and "PIps", are always fitted to the scaled losses.

    Parameters
    ----------
    study : StudySpec
    searched : SpaceConverter
        The search space of the study.
    seed : int
        The seed of the round.
    known : EncodedInput
        At least one observation has a loss.
    """
    from ledger.optimizer.columns import TransformedSpace
    from ledger.proposals.loss_transform import YeoJohnson, is_transformable

    surrogate, scaled = known.surrogate, scaled_losses(known.losses)
    rows: Array | None = None

    def told(values: "Array", xi: float | None = study.optimizer.xi) -> "Optimizer":
        nonlocal rows
        optimizer = _optimizer(study, searched, seed, surrogate, xi, has_shares=known.shares is not None)
        if rows is None:
            rows = TransformedSpace(optimizer.space).rows(known.columns)
        optimizer.tell_rows(rows, values)
        return optimizer

    def told_transformed() -> "Optimizer":
        # The setting `xi` is a share of the range of the losses. The lowest scaled loss is 0, and its transform is 0.
        xi = study.optimizer.xi
        return told(transform.transform(scaled), None if xi is None else -float(transform.transform([-xi])[0]))

    if study.optimizer.uses_times:
        assert known.seconds is not None
        return ToldOptimizer(told(_with_times(scaled, known.seconds)))
    if study.optimizer.base_estimator != "GP" or not is_transformable(scaled):
        return ToldOptimizer(told(scaled))
    transform = YeoJohnson(scaled)
    gain = _recorded_gain(surrogate, len(scaled))
    if gain is None:
        plain, transformed = told(scaled), told_transformed()
        derivatives = transform.log_derivatives(scaled)
        gain = _log_likelihood(transformed, derivatives) - _log_likelihood(plain, np.zeros(len(scaled)))
        optimizer = transformed if gain > EVIDENCE else plain
    else:
        optimizer = told_transformed() if gain > EVIDENCE else told(scaled)
    return ToldOptimizer(optimizer, transform if gain > EVIDENCE else None, gain)


def _recorded_gain(surrogate: Mapping[str, Any] | None, observations: int) -> float | None:
    """Return the recorded gain, or None if this proposal must compare both GPs."""
    from ledger.optimizer.gaussian_process import root_two_step
    from ledger.proposals.loss_transform import recorded_gain

    if surrogate is None or "observations" not in surrogate or observations <= ALWAYS_COMPARED:
        return None
    if root_two_step(observations) > root_two_step(surrogate["observations"]):
        return None
    return recorded_gain(surrogate)


def _log_likelihood(optimizer: "Optimizer", log_derivatives: "Array") -> float:
    """Return the log-likelihood of the scaled losses under the GP.

    The GP has a likelihood for the standardised values. The derivatives of the standardisation and of the transform
    convert this likelihood into a likelihood of the scaled losses.
    """
    model = optimizer.models[-1]
    known = log_derivatives if model.subset_ is None else log_derivatives[model.subset_]
    scale = len(known) * math.log(model.y_train_std_)
    return float(model.log_marginal_likelihood_value_) - scale + float(known.sum())


def _optimizer(
    study: StudySpec,
    searched: SpaceConverter,
    seed: int,
    surrogate: Mapping[str, Any] | None,
    xi: float | None,
    *,
    has_shares: bool,
) -> "Optimizer":
    from ledger.proposals.scaled_dimensions import Fidelity

    asked = study.optimizer
    # If all dimensions are categorical, the GP's kernel has no gradients. With the acquisition function "EIps" or
    # "PIps", `acq_optimizer="auto"` would use gradients even if all dimensions are categorical.
    gradients = asked.base_estimator == "GP" and asked.acq_func != "MES" and not searched.is_categorical
    optimizer = load_optimizer()(
        [*searched.dimensions, *([Fidelity()] if has_shares else [])],
        asked.base_estimator,
        n_initial_points=1,
        n_jobs=1,
        acq_func=asked.acq_func,
        acq_optimizer="lbfgs" if gradients else "sampling",
        random_state=seed,
        model_queue_size=1,
        acq_func_kwargs={name: value for name, value in (("kappa", asked.kappa), ("xi", xi)) if value is not None},
        acq_optimizer_kwargs={"n_points": MES_CANDIDATES} if asked.acq_func == "MES" else None,
        avoid_duplicates=True,
    )
    if surrogate is not None and has_length_scales(surrogate, optimizer.space.transformed_n_dims):
        optimizer.start_from(surrogate["theta"], surrogate["observations"])
    return optimizer


def has_length_scales(surrogate: Mapping[str, Any], columns: int) -> bool:
    """Return whether a recorded kernel has a length scale for each of the columns.

    If the optimizer knew no stopped trial, the recorded kernel has no length scale for the shares.
    """
    return len(surrogate.get("theta") or ()) == columns + OTHER_PARAMETERS


def _with_times(losses: "Array", seconds: "Array") -> "Array":
    """Return an array of pairs. Each pair contains the loss and the logarithm of the scaled training time of one
    observation.

    If the training time of a trial is unknown, the function uses the longest known training time. Only the ratios of
    the training times affect a proposal. Therefore, the function scales the training times so that the shortest
    training time becomes e, the base of the natural logarithm. The surrogate of the training times is fitted to the
    logarithms of the scaled times. Each logarithm of a scaled time is at least 1.
    """
    times = np.clip(seconds, SHORTEST, LONGEST)
    times = np.where(np.isnan(times), 1.0 if np.isnan(times).all() else np.nanmax(times), times)
    # The logarithm of numpy can differ from the logarithm of Python in the last bit.
    logarithms = [math.log(time) for time in (math.e * (times / times.min())).tolist()]
    return np.column_stack([losses, logarithms])


def _surrogate(study: StudySpec, told: ToldOptimizer, observations: int) -> dict[str, Any]:
    from sklearn.base import clone

    from ledger.proposals.loss_transform import record

    estimator, model = study.optimizer.base_estimator, told.optimizer.models[-1]
    if estimator != "GP":
        return {"estimator": estimator}
    # If the acquisition function is "EIps" or "PIps", the first estimator models the losses, and the second estimator
    # models the training times.
    fitted = model.estimators_[0] if hasattr(model, "estimators_") else model
    # skopt sets the noise of `kernel_` to zero before predictions. `kernel_` is a sum of two kernels, and the second
    # kernel (`k2`) is the noise.
    kernel = clone(fitted.kernel_).set_params(k2__noise_level=fitted.noise_)
    return {
        "estimator": estimator,
        "kernel": str(kernel),
        "theta": [float(value) for value in kernel.theta],
        "log_marginal_likelihood": float(fitted.log_marginal_likelihood_value_),
        "observations": observations,
        **({} if told.gain is None else {"transform": record(told.transform, told.gain)}),
        **({} if fitted.subset_ is None else {"known": len(fitted.subset_)}),
    }


def _unused(
    space: Space, searched: SpaceConverter, candidates: Sequence[dict[str, Any]], used: "_UsedPoints", seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the candidates.

    If a candidate is a duplicate of a used point, replace the candidate by an unused random point. Stop if all points
    of the space are used.
    """
    others = _others(space, searched, len(candidates) + DRAWS, seed)
    for candidate in candidates:
        point = candidate if used.add(candidate) else next(filter(used.add, others), None)
        if point is None:
            return
        yield point


def _others(space: Space, searched: SpaceConverter, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield random points first. If the space is finite, also yield every point of the space."""
    yield from searched.random(draws, seed)
    size = space.size()
    if size is not None:
        start = random.Random(seed).randrange(size)  # noqa: S311, not for secrets
        for step in range(size):
            yield space.point((start + step) % size)


class _UsedPoints:
    """The points that a proposal must not contain again. Two points are equal if their rows of numbers are equal."""

    def __init__(self, encoder: PointEncoder, known: EncodedInput) -> None:
        self._encoder, self._table = encoder, known.table
        self._is_used = np.zeros(len(known.table), dtype=bool)
        for indices in (known.observed, known.excluded, known.in_flight):
            self._is_used[indices] = True
        self._added: set[tuple[float, ...]] = set()

    def unused(self, size: int, wanted: int) -> int:
        """Return how many of the `size` points of a finite space are unused. If more than `wanted` points are unused,
        the result can be too small, but not smaller than `wanted`.
        """
        used = int(self._is_used.sum())
        if size - used < wanted:
            # Two trials of a study can have the same point.
            used = len(np.unique(self._table[self._is_used], axis=0))
        return size - used

    def add(self, params: Mapping[str, Any]) -> bool:
        """Add a point. Return False if the point is already in use."""
        (row,) = self._encoder.encode([params])
        key = tuple(row.tolist())
        if key in self._added or self._is_used[(self._table == row).all(axis=1)].any():
            return False
        self._added.add(key)
        return True
