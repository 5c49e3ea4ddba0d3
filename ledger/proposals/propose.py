"""Which points to try next: a pure function of the study and of what its ledger records."""

import json
import math
import platform
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import sklearn
import skopt
from sklearn.base import clone
from threadpoolctl import threadpool_info, threadpool_limits

from ledger import seeds
from ledger.optimizer.optimizer import Optimizer
from ledger.proposals.searched import SearchedSpace
from ledger.study.space import Space
from ledger.study.spec import StudySpec

# skopt's MES compares every candidate with 1,000 sampled optima: at skopt's 10,000 candidates, 2 s a point
MES_CANDIDATES = 1_000
# Random points drawn, beyond one a candidate, for unused ones, before a finite space is gone through.
DRAWS = 100
# skopt takes logarithms of times
SHORTEST, LONGEST = 1e-6, 1e9


@dataclass(frozen=True)
class Observation:
    """What the ledger records of a trial that has ended: its loss, None if it failed, and its seconds."""

    params: Mapping[str, Any]
    loss: float | None
    seconds: float | None


@dataclass(frozen=True)
class Past:
    """What the ledger records before a round of an iteration is proposed, and all that its points depend on.

    Attributes
    ----------
    history : sequence of Observation
        The trials that have ended; in trial order, or in steady mode in the order in which their ends were seen.
    taken : sequence of mapping
        Parameters used in the study that are not in the history and say nothing of the loss.
    under_way : sequence of mapping
        Parameters of the trials, in trial order, whose loss is still to come; only in steady mode.
    surrogate : mapping or None
        The last recorded `Proposal.surrogate`: its kernel is where the next fit begins.
    """

    history: Sequence[Observation] = ()
    taken: Sequence[Mapping[str, Any]] = ()
    under_way: Sequence[Mapping[str, Any]] = ()
    surrogate: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Proposal:
    """Points to try.

    Attributes
    ----------
    points : list of dict
        In plain Python types; fewer than asked for where the space has no more unused ones.
    surrogate : dict or None
        The model fitted to the history, as JSON: `estimator`, and for a GP `kernel`, `theta` (natural logarithms of
        the kernel's hyper-parameters), `log_marginal_likelihood`, `points` (how many it was given) and, where it knows
        only some of them, `known` (how many). None for random points.
    tell_seconds, ask_seconds : float
        What fitting the history and choosing the points took.
    """

    points: list[dict[str, Any]]
    surrogate: dict[str, Any] | None
    tell_seconds: float
    ask_seconds: float

    def __str__(self) -> str:
        if self.surrogate is None:
            made = "initial points"
        elif "known" in self.surrogate:
            made = f"model points, by {self.surrogate['known']} of {self.surrogate['points']} trials,"
        else:
            made = "model points"
        return f"{len(self.points)} {made} proposed in {self.tell_seconds + self.ask_seconds:.2f} s"


def propose(study: StudySpec, iteration: int, round: int, size: int, past: Past) -> Proposal:
    """Propose the points of one round of an iteration.

    Random points until the history has the study's initial points; then those of a fresh optimizer, seeded from
    (seed, iteration, round) and told the whole history at once, by the constant liar ``cl_min`` (Ginsbourger, Le Riche
    and Carraro 2010). It is the study's proposer: `ledger.optimizer.Optimizer`, which begins the fit of a kernel from
    the one recorded before, or, for a study from before there was that one, `skopt.Optimizer`. Computed on one thread.
    Global random state and warning filters are left as they were.

    Parameters
    ----------
    study : StudySpec
    iteration, round : int
        From 0.
    size : int
        How many points, at least 1. No point repeats one of the past, or another point.
    past : Past
    """
    started = time.perf_counter()
    space = study.space
    history = [Observation(space.normalise(one.params), _finite(one.loss), one.seconds) for one in past.history]
    under_way = [space.normalise(params) for params in past.under_way]
    used = {_key(params) for params in (*(one.params for one in history), *under_way)}
    used |= {_key(space.normalise(params)) for params in past.taken}
    points_of_space = space.size()
    if points_of_space is not None:
        size = min(size, points_of_space - len(used))
    if size == 0:
        return Proposal([], None, 0.0, 0.0)
    searched = SearchedSpace(space)
    seed = seeds.derive(study.seed, "iteration", iteration, round)
    told, surrogate = started, None
    if len(history) < study.resolved.initial_points or all(one.loss is None for one in history):
        candidates = searched.random(size, seed)
    else:
        with alone(seed):
            optimizer = _optimizer(study, searched, seed, past.surrogate)
            losses = scaled_losses(history)
            values = _with_times(losses, history) if study.optimizer.acq_func.endswith("ps") else losses
            optimizer.tell([searched.point(one.params) for one in history], values)
            told = time.perf_counter()
            surrogate = _surrogate(study, optimizer.models[-1], len(history))
            lies = {"under_way": [searched.point(params) for params in under_way]} if under_way else {}
            candidates = [searched.params(point) for point in optimizer.ask(size, "cl_min", **lies)]
    points = list(_unused(space, searched, candidates, used, seeds.derive(seed, "unused")))
    return Proposal(points, surrogate, told - started, time.perf_counter() - told)


def environment() -> dict[str, Any]:
    """Return, as JSON, the versions that a proposal depends on, and the BLAS libraries with their kernels."""
    blas = {
        f"{one['internal_api']} {one['version']} {one.get('architecture', '')}".rstrip()
        for one in threadpool_info()
        if one["user_api"] == "blas"
    }
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "scikit-optimize": skopt.__version__,
        "blas": sorted(blas),
    }


def _finite(loss: float | None) -> float | None:
    # skopt raises on a NaN after it kept it, and then at every ask
    return loss if loss is not None and math.isfinite(loss) else None


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """One thread, no warnings, and a numpy global generator of its own: skopt's MES draws from that one."""
    state = np.random.get_state()
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # that a kernel's bound is reached or that a point was tried before tells a user nothing to act on
        warnings.simplefilter("ignore")
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def _optimizer(study: StudySpec, searched: SearchedSpace, seed: int, surrogate: Mapping[str, Any] | None) -> Any:
    asked = study.optimizer
    # skopt's "auto" asks for gradients of forests and of the kernel for categories when losses come with times
    gradients = asked.base_estimator == "GP" and asked.acq_func != "MES" and not searched.is_categorical
    optimizer = Optimizer(
        searched.dimensions(),
        asked.base_estimator,
        n_initial_points=1,
        n_jobs=1,
        acq_func=asked.acq_func,
        acq_optimizer="lbfgs" if gradients else "sampling",
        random_state=seed,
        model_queue_size=1,
        acq_func_kwargs={key: value for key in ("kappa", "xi") if (value := getattr(asked, key)) is not None},
        acq_optimizer_kwargs={"n_points": MES_CANDIDATES} if asked.acq_func == "MES" else None,
        avoid_duplicates=True,
    )
    if surrogate is not None and "theta" in surrogate:
        optimizer.start_from(surrogate["theta"], surrogate["points"])
    return optimizer


def scaled_losses(history: Sequence[Observation]) -> list[float]:
    """Return the losses on a scale from 0, the best, to 1, the worst and that of failed trials.

    As they are, huge ones overflow in skopt, and MES never ends on equal ones that are large.
    """
    # halves, because the difference of two floats may be too large for a float
    halves = [one.loss / 2 for one in history if one.loss is not None]
    best, worst = min(halves), max(halves)
    span = (worst - best) or 1.0
    return [((worst if one.loss is None else one.loss / 2) - best) / span for one in history]


def _with_times(losses: Sequence[float], history: Sequence[Observation]) -> list[list[float]]:
    """Return pairs of a loss and its time, the longest known one for a failed trial that has none.

    The unit of time is of no account, so it is one in which the logarithm of every time is at least 1: skopt looks for
    the best loss among the losses and the logarithms together.
    """
    known = [_positive(one.seconds) for one in history if one.seconds is not None] or [1.0]
    times = [max(known) if one.seconds is None else _positive(one.seconds) for one in history]
    return [[loss, math.e * (seconds / min(times))] for loss, seconds in zip(losses, times, strict=True)]


def _positive(seconds: float) -> float:
    return min(max(seconds, SHORTEST), LONGEST)


def _surrogate(study: StudySpec, model: Any, points: int) -> dict[str, Any]:
    described: dict[str, Any] = {"estimator": study.optimizer.base_estimator}
    if study.optimizer.base_estimator != "GP":
        return described
    fitted = model.estimators_[0] if hasattr(model, "estimators_") else model
    # skopt sets the noise to zero for its predictions; the sum's second kernel is the noise
    kernel = clone(fitted.kernel_).set_params(k2__noise_level=fitted.noise_)
    described |= {
        "kernel": str(kernel),
        "theta": [float(value) for value in kernel.theta],
        "log_marginal_likelihood": float(fitted.log_marginal_likelihood_value_),
    }
    described["points"] = points
    if getattr(fitted, "subset_", None) is not None:
        described["known"] = len(fitted.subset_)
    return described


def _unused(
    space: Space, searched: SearchedSpace, candidates: Sequence[dict[str, Any]], used: set[str], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the candidates, each that was used replaced by a random one that was not, while there are any."""
    others = _others(space, searched, len(candidates) + DRAWS, seed)
    is_new = _remember(used)
    for candidate in candidates:
        point = candidate if is_new(candidate) else next(filter(is_new, others), None)
        if point is None:
            return
        yield point


def _others(space: Space, searched: SearchedSpace, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    yield from searched.random(draws, seed)
    size = space.size()
    if size is not None:
        start = random.Random(seed).randrange(size)  # noqa: S311, not for secrets
        for step in range(size):
            yield space.point((start + step) % size)


def _remember(used: set[str]) -> Callable[[dict[str, Any]], bool]:
    def is_new(params: dict[str, Any]) -> bool:
        key = _key(params)
        if key in used:
            return False
        used.add(key)
        return True

    return is_new


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params)
