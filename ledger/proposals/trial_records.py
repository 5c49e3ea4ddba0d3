"""The trials of a study as the records of a numpy array, and the choice of the trials that a proposal uses.

A record needs 8 bytes for each parameter, and about 30 other bytes. numpy chooses among a million records in a fraction
of a second. The losses at the rungs of a study with early stopping take longer: a few seconds for a million trials.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
# An array of records. The function `record_type` describes the fields.
Records = NDArray[np.void]

# `NONE` stands for None in an array of trial numbers or of rungs.
NONE = -1

# The largest number of losses at other rungs than the highest rung of a stopped trial. It keeps a proposal in a study
# with early stopping below twice the time of a proposal without early stopping (benchmarks/pruned.py).
MOST_OTHER_LOSSES = 250


class TrialLike(Protocol):
    """A protocol for objects that represent a trial. The protocol lists the attributes that a record is made from."""

    @property
    def number(self) -> int: ...
    @property
    def iteration(self) -> int: ...
    @property
    def round(self) -> int: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def state(self) -> str: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def pruned_loss(self) -> float | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def retry_of(self) -> int | None: ...


def record_type(dimensions: int = 0, *, timed: bool = True) -> np.dtype[np.void]:
    """Return the type of the records.

    `loss` is the loss of a complete trial, the last loss of a pruned trial, and otherwise NaN. `retry_of` is `NONE` if
    the trial is not a retry.

    Parameters
    ----------
    dimensions : int
        The number of numbers in the field `point`, which contains the encoded point of the trial.
    timed : bool
        Whether the records have the field `seconds`. The training time is NaN if it is unknown.
    """
    fields: list[Any] = [
        ("iteration", "i4"),
        ("round", "i4"),
        ("retry_of", "i4"),
        ("is_pruned", "?"),
        ("is_cancelled", "?"),
        ("loss", "f8"),
        ("point", "f8", (dimensions,)),
    ]
    return np.dtype([*fields, ("seconds", "f8")] if timed else fields)


def records_of(trials: Sequence[TrialLike], kind: np.dtype[np.void]) -> Records:
    """Return the records of trials, with empty points."""
    records = np.zeros(len(trials), kind)
    records["iteration"] = [trial.iteration for trial in trials]
    records["round"] = [trial.round for trial in trials]
    records["retry_of"] = [NONE if trial.retry_of is None else trial.retry_of for trial in trials]
    records["is_pruned"] = [trial.state == "pruned" for trial in trials]
    records["is_cancelled"] = [trial.state == "cancelled" for trial in trials]
    records["loss"] = [_number(trial.pruned_loss if trial.state == "pruned" else trial.loss) for trial in trials]
    if "seconds" in (kind.names or ()):
        records["seconds"] = [_number(trial.seconds) for trial in trials]
    return records


def _number(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass(frozen=True)
class UsedTrials:
    """The trials that a proposal uses, as indices of the records.

    Attributes
    ----------
    count : int
        The number of observed trials.
    observed : array of int
        The trial of each observation. If `shares` is not None, a trial can have several observations.
    rungs : array of int
        The rung at which the trial of each observation waited, or `NONE` if the trial had ended.
    losses : array of float
        The loss of each observation, or NaN.
    shares : array of float or None
        The share of a whole training after which the loss of each observation was observed, in (0, 1]. None if all
        shares are 1.
    excluded, in_flight : array of int
        The trials whose points the optimizer must not propose again, and the trials in flight.
    """

    count: int
    observed: Indices
    rungs: Indices
    losses: Array
    shares: Array | None
    excluded: Indices
    in_flight: Indices


def used_trials(
    records: Records,
    numbers: Indices | None,
    iteration: int,
    round: int,
    seen: Sequence[int] | Indices | None,
    rung_losses: Mapping[int, Mapping[int, float]],
    seen_rungs: Sequence[int | None] | Indices | None,
    whole: int | None,
) -> UsedTrials:
    """Choose the trials that a proposal uses. The docstring of `proposal_input` describes the choice and the arguments.

    Parameters
    ----------
    records : array of records
    numbers : array of int or None
        The number of the trial of each record. None if the number is the index of the record.
    """
    of_earlier = records["iteration"] < iteration
    rungs: Indices
    if seen is None:
        ended = np.flatnonzero(of_earlier)
        rungs = np.full(len(ended), NONE)
        in_flight = ended[:0]
    else:
        ended, rungs = _latest(np.asarray(seen, dtype=np.int64), as_rungs(seen_rungs, len(seen)))
        of_earlier[ended] = False
        in_flight = np.flatnonzero(of_earlier)
    retried = records["retry_of"][ended]
    if (retried != NONE).any():
        counts = ~np.isin(ended if numbers is None else numbers[ended], retried)
        ended, rungs = ended[counts], rungs[counts]
    # If a user cancels a trial after its pause, the trial is still an observation. The manager made the proposal before
    # the cancellation.
    is_observed = (rungs != NONE) | ~records["is_cancelled"][ended]
    of_earlier_rounds = np.flatnonzero((records["iteration"] == iteration) & (records["round"] < round))
    excluded = np.concatenate([ended[~is_observed], of_earlier_rounds])
    observed, rungs = ended[is_observed], rungs[is_observed]
    of_observed = observed if numbers is None else numbers[observed]
    given = records["loss"][observed], records["is_pruned"][observed], of_observed, rungs, rung_losses
    count = len(observed)
    if whole is None or not rung_losses:
        return UsedTrials(count, observed, rungs, _losses(*given), None, excluded, in_flight)
    places, losses, shares = _losses_at_rungs(*given, whole)
    known = shares if (shares < 1).any() else None
    return UsedTrials(count, observed[places], rungs[places], losses, known, excluded, in_flight)


def as_rungs(rungs: Sequence[int | None] | Indices | None, size: int) -> Indices:
    """Return rungs as an array, with `NONE` instead of None. If `rungs` is None, no trial waited at a rung."""
    if rungs is None:
        return np.full(size, NONE)
    if isinstance(rungs, np.ndarray):
        return rungs
    return np.array([NONE if rung is None else rung for rung in rungs], dtype=np.int64)


def _latest(seen: Indices, rungs: Indices) -> tuple[Indices, Indices]:
    """Keep only the last occurrence of each trial in `seen`."""
    _, from_end = np.unique(seen[::-1], return_index=True)
    kept = np.sort(len(seen) - 1 - from_end)
    return seen[kept], rungs[kept]


def _losses(
    recorded: Array,
    is_pruned: NDArray[np.bool_],
    numbers: Indices,
    rungs: Indices,
    rung_losses: Mapping[int, Mapping[int, float]],
) -> Array:
    """Return the losses that the optimizer receives. For each pruned or paused trial, the function estimates the final
    loss. A trial without a finite loss has the loss NaN.
    """
    waits = rungs != NONE
    losses = np.where(is_pruned | waits, math.nan, recorded)
    stopped = np.flatnonzero(waits | (is_pruned & ~np.isnan(recorded)))
    if not len(stopped):
        return losses
    complete = np.flatnonzero(~np.isnan(losses))
    best = float(losses[complete].min()) if len(complete) else -math.inf
    gains: dict[int, list[float]] = {}
    for number, final in zip(numbers[complete].tolist(), losses[complete].tolist(), strict=True):
        for rung, loss in rung_losses.get(number, {}).items():
            gains.setdefault(rung, []).append(loss - final)
    medians = {rung: statistics.median(gained) for rung, gained in gains.items()}
    for index in stopped.tolist():
        at_rungs, rung, last = rung_losses.get(int(numbers[index]), {}), int(rungs[index]), float(recorded[index])
        if waits[index]:
            if rung not in at_rungs:
                continue
            last = at_rungs[rung]
        else:
            # If the rule of early stopping stops a trial at a rung, the trial reaches no later rung.
            rung = max(at_rungs, default=NONE)
        estimate = last - medians.get(rung, 0.0)
        # The difference of two very large losses is infinite.
        losses[index] = max(estimate if math.isfinite(estimate) else last, best)
    return losses


def _losses_at_rungs(
    recorded: Array,
    is_pruned: NDArray[np.bool_],
    numbers: Indices,
    rungs: Indices,
    rung_losses: Mapping[int, Mapping[int, float]],
    whole: int,
) -> tuple[Indices, Array, Array]:
    """Return the place of the trial, the loss and the share of a whole training of each observation.

    A trial that is neither pruned nor paused has an observation with the share 1. A failed trial, and a trial whose
    loss was NaN when it paused, have only this observation. A pruned or paused trial has an observation of its highest
    rung. If a pruned trial has no loss at a rung, its last loss is an estimate of the final loss, and is at least the
    lowest loss of a complete trial.

    The losses at other rungs show how the loss depends on the share. `_shown_rungs` chooses the trials whose losses at
    other rungs are observations, too.
    """
    waits = rungs != NONE
    has_final = ~(is_pruned | waits)
    has_failed = np.isnan(recorded) & ~waits
    complete = recorded[has_final & ~has_failed]
    best = float(complete.min()) if len(complete) else -math.inf
    given = zip(numbers.tolist(), rungs.tolist(), has_failed.tolist(), strict=True)
    known = [{} if failed else _until(rung_losses.get(number, {}), until) for number, until, failed in given]
    reached = [_sparse(at_rungs) for at_rungs in known]
    sizes = np.array([len(each) for each in reached], dtype=np.int64)
    is_stopped = ~has_final & (sizes > 0)
    shown = _shown_rungs(sizes, is_stopped)
    places: list[int] = []
    losses: list[float] = []
    shares: list[float] = []
    for place, (at_rungs, all_rungs) in enumerate(zip(known, reached, strict=True)):
        highest = all_rungs[len(all_rungs) - shown[place] :]
        places += [place] * len(highest)
        losses += [at_rungs[rung] for rung in highest]
        shares += [rung / whole for rung in highest]
        if not is_stopped[place]:
            places.append(place)
            losses.append(math.nan if waits[place] else float(recorded[place]))
            shares.append(1.0)
            if is_pruned[place] and not has_failed[place]:
                losses[-1] = max(losses[-1], best)
    return np.array(places, dtype=np.int64), np.array(losses, dtype=float), np.array(shares, dtype=float)


def _shown_rungs(sizes: Indices, is_stopped: NDArray[np.bool_]) -> Indices:
    """Return at how many of its highest rungs each trial has an observation.

    A stopped trial has an observation at its highest rung. The other observations are at most as many as the stopped
    trials, and at most `MOST_OTHER_LOSSES`. Complete trials come first, and later trials before earlier trials.

    Parameters
    ----------
    sizes : array of int
        The number of rungs with a loss of each trial.
    is_stopped : array of bool
        Whether a pruned or paused trial has a loss at a rung.
    """
    others = sizes - is_stopped
    order = np.concatenate([np.flatnonzero(~is_stopped)[::-1], np.flatnonzero(is_stopped)[::-1]])
    most = min(int(np.count_nonzero(is_stopped)), MOST_OTHER_LOSSES)
    left = most - (np.cumsum(others[order]) - others[order])
    shown = is_stopped.astype(np.int64)
    shown[order] += np.clip(left, 0, others[order])
    return shown


def _until(at_rungs: Mapping[int, float], rung: int) -> Mapping[int, float]:
    """Return the losses until a trial paused at a rung. If the loss at this rung was NaN, the result is empty."""
    if rung == NONE:
        return at_rungs
    return {step: loss for step, loss in at_rungs.items() if step <= rung} if rung in at_rungs else {}


def _sparse(rungs: Iterable[int]) -> list[int]:
    """Return the highest rung, and each lower rung that is at most half of the next returned rung, in ascending order.

    The rule "median" can have very many rungs. Nearby rungs have similar losses, but each makes a proposal slower.
    """
    kept: list[int] = []
    for rung in sorted(rungs, reverse=True):
        if not kept or 2 * rung <= kept[-1]:
            kept.append(rung)
    return kept[::-1]
