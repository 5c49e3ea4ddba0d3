"""The replay of a rule of early stopping on recorded learning curves. The replay counts the training steps that the
rule would have made unnecessary, and the trials that the rule would have stopped.

The module computes with plain numbers, and reads nothing from the database.
"""

import math
import statistics
from array import array
from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ledger.study.early_stopping import EarlyStopping
from ledger.study.reached_rungs import ReportedSteps, rung_places
from ledger.study.verdicts import compared_trials, cutoff_of_ordered, goes_on, promotion_cutoff, stops

# A stopped trial is a false stop if its final loss is among the best `BEST_SHARE` of the final losses.
BEST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class ReplayedTrial:
    """A trial that has ended, with the data that the replay of a rule needs.

    `loss` is the final loss, or None if the trial is not complete. If `is_pruned` is true, the study's own rule stopped
    the trial, so the learning curve of the trial ends early. `place` is the place of the trial in its iteration, from
    0. Only a rule with groups needs the place.
    """

    number: int
    iteration: int
    loss: float | None
    is_pruned: bool
    place: int = 0


@dataclass(frozen=True)
class AttemptCurve(ReportedSteps):
    """The reports of one attempt, ordered by step.

    `losses` contains infinity for each reported value that was NaN or infinite. `times` contains the time of each
    report, in seconds after a fixed moment.
    """

    losses: Sequence[float]
    times: Sequence[float]


class _Arrivals:
    """The trials that have reached one rung, in compact arrays with one element for each trial.

    For each trial, `steps` contains the step of the report with which the trial reached the rung.
    """

    def __init__(self) -> None:
        self.trials, self.steps = array("q"), array("q")
        self.losses, self.times = array("d"), array("d")

    def add(self, trial: int, loss: float, step: int, time: float) -> None:
        self.trials.append(trial)
        self.losses.append(loss)
        self.steps.append(step)
        self.times.append(time)


class LearningCurves:
    """The learning curves of a study. The object keeps only the losses at the rungs of the rules.

    The object needs 32 bytes for each pair of a trial and a rung. The number of reports does not influence the size of
    the object.

    Parameters
    ----------
    rungs : collection of int
        The rungs of all rules to replay. Each rung is a step.

    Attributes
    ----------
    last_steps : dict of int to int
        The highest reported step of each trial with reports. Each key is the number of a trial.

    Examples
    --------
    >>> curves = LearningCurves([1, 3])
    >>> steps, after_steps, losses, times = [1, 2, 4], [None, None, None], [0.5, 0.4, 0.3], [10.0, 20.0, 40.0]
    >>> curves.add(0, [AttemptCurve(steps, after_steps, losses, times)])
    >>> curves.last_steps
    {0: 4}
    """

    def __init__(self, rungs: Collection[int]) -> None:
        self._arrivals = {rung: _Arrivals() for rung in sorted(rungs)}
        self.last_steps: dict[int, int] = {}

    def add(self, trial: int, attempts: Sequence[AttemptCurve]) -> None:
        """Add the learning curve of a trial. The attempts are in the order of their numbers."""
        self.last_steps[trial] = max(attempt.steps[-1] for attempt in attempts)
        for rung, arrivals in self._arrivals.items():
            places = rung_places(attempts, rung)
            if places is not None:
                (attempt, place), (first, reaching) = places.loss, places.reaching
                loss, reached = attempts[attempt].losses[place], attempts[first]
                arrivals.add(trial, loss, reached.steps[reaching], reached.times[reaching])

    def at(self, rung: int) -> Iterable[tuple[int, float, int, float]]:
        """Return the number, the loss, the step and the time of each trial that has reached a rung."""
        of_rung = self._arrivals[rung]
        return zip(of_rung.trials, of_rung.losses, of_rung.steps, of_rung.times, strict=True)


@dataclass(frozen=True)
class ReplayedRung:
    """A rung of a replay, with the number of trials that reach the rung, and the number of trials that stop at the
    rung."""

    rung: int
    trials: int
    stopped: int


@dataclass(frozen=True)
class Replay:
    """The result of the replay of a rule on recorded learning curves.

    Attributes
    ----------
    rule : EarlyStopping
    rungs : sequence of ReplayedRung
        The rungs of the rule, in increasing order.
    trials : int
        The number of trials with reports.
    steps : int
        The sum of the highest reported steps of the trials with reports.
    saved : int
        The number of training steps that the rule would have made unnecessary. In each stopped trial, the steps after
        the report that reached the rung are unnecessary.
    stopped : int
        The number of trials that the rule stops.
    false_stops : sequence of int
        The numbers of the stopped trials whose final loss is among the best tenth of the final losses. The number of
        trials in the best tenth is rounded up to an integer. If two trials have equal losses, the trial with the lower
        number is better.
    unknown : int
        The number of stopped trials without a final loss. These trials may be false stops.
    unjudged : int
        The number of pruned trials that the replayed rule does not stop. The study's own rule ended the learning curves
        of these trials early. Therefore the replayed rule might have stopped the trials at a later step.
    best : int or None
        The trial with the lowest final loss.
    best_survivor : int or None
        The trial with the lowest final loss among the trials that the rule does not stop.
    """

    rule: EarlyStopping
    rungs: Sequence[ReplayedRung]
    trials: int
    steps: int
    saved: int
    stopped: int
    false_stops: Sequence[int]
    unknown: int
    unjudged: int
    best: int | None
    best_survivor: int | None


def replay(
    rule: EarlyStopping,
    curves: LearningCurves,
    trials: Mapping[int, ReplayedTrial],
    *,
    by_arrival: bool,
    batch_size: int,
) -> Replay:
    """Apply a rule to recorded learning curves.

    When the rule has stopped a trial, the later rungs ignore the trial. The replay has no audit, so the rule can stop
    any trial. The replay uses the recorded points. If the study had used the replayed rule, the results would have been
    different, so the optimizer could have proposed other points.

    Parameters
    ----------
    rule : EarlyStopping
        The rule. `curves` must contain the rungs of the rule.
    curves : LearningCurves
        The learning curves. `trials` must contain each trial that has a learning curve.
    trials : mapping of int to ReplayedTrial
        All ended trials of the study, by number.
    by_arrival : bool
        If true, a rung compares a trial with the trials that reached the rung earlier, as in steady mode. If false, a
        rung compares a trial with the trials of earlier iterations, and of earlier groups of the iteration, as in batch
        mode. For the rule "promotion", the value must be false, because the function replays this rule as in batch
        mode.
    batch_size : int
        The batch size with which the study was created. Only the rule "promotion" uses it (`compared_trials`).

    Returns
    -------
    Replay

    Examples
    --------
    >>> curves = LearningCurves([1])
    >>> for number, loss in enumerate([0.2, 0.3, 0.9]):
    ...     curves.add(number, [AttemptCurve([1, 2], [None, None], [loss, loss], [float(number), number + 0.5])])
    >>> ended = {number: ReplayedTrial(number, number, 0.1, is_pruned=False) for number in range(3)}
    >>> rule = EarlyStopping(rule="halving", eta=2, min_resource=1, max_resource=2)
    >>> found = replay(rule, curves, ended, by_arrival=False, batch_size=1)
    >>> found.rungs, found.steps, found.saved, found.false_stops
    ([ReplayedRung(rung=1, trials=3, stopped=1)], 6, 1, [])
    """
    stopped: dict[int, int] = {}
    rungs = []

    def group(trial: ReplayedTrial) -> tuple[int, int]:
        return trial.iteration, rule.group_of(trial.place)

    for rung in rule.rungs:
        reached = [
            ((time, number) if by_arrival else group(trials[number]), number, loss, step)
            for number, loss, step, time in curves.at(rung)
            if number not in stopped
        ]
        before = len(stopped)
        if rule.rule == "promotion":
            reached = [arrival for arrival in reached if rung in rule.rungs_of(trials[arrival[1]].iteration)]
        earlier: list[float] = []
        judged: list[tuple[int, float | None]] = []
        for _, together in groupby(sorted(reached), key=lambda arrival: arrival[0]):
            found = list(together)
            if rule.rule == "promotion":
                arrivals = {number: None if loss == math.inf else loss for _, number, loss, _ in found}
                first_out = promotion_cutoff(rule.eta, compared_trials(batch_size, arrivals.items(), judged))
                judged += arrivals.items()
                stopped |= {
                    number: step for _, number, loss, step in found if not goes_on(arrivals[number], number, first_out)
                }
                continue
            limit = cutoff_of_ordered(rule.rule, rule.eta, earlier)
            stopped |= {number: step for _, number, loss, step in found if stops(loss, limit)}
            for _, _, loss, _ in found:
                insort(earlier, loss)
        rungs.append(ReplayedRung(rung, len(reached), len(stopped) - before))
    ranked = ranking(trials.values())
    best = ranked[: math.ceil(len(ranked) * BEST_SHARE)]
    return Replay(
        rule=rule,
        rungs=rungs,
        trials=len(curves.last_steps),
        steps=sum(curves.last_steps.values()),
        saved=sum(curves.last_steps[number] - step for number, step in stopped.items()),
        stopped=len(stopped),
        false_stops=sorted(number for number in best if number in stopped),
        unknown=sum(trials[number].loss is None for number in stopped),
        unjudged=sum(trial.is_pruned and trial.number not in stopped for trial in trials.values()),
        best=ranked[0] if ranked else None,
        best_survivor=next((number for number in ranked if number not in stopped), None),
    )


def ranking(trials: Iterable[ReplayedTrial]) -> list[int]:
    """Return the numbers of the complete trials, in ascending order of the losses."""
    return [number for _, number in sorted((trial.loss, trial.number) for trial in trials if trial.loss is not None)]


@dataclass(frozen=True)
class Audit:
    """The result of a study's audit, which shows the errors of the study's own rule.

    Attributes
    ----------
    trials : int
        The number of audited trials that have reached a rung.
    stopped : int
        The number of audited trials that the rule would have stopped.
    better_than_median, better_than_best : int
        `better_than_median` is the number of `stopped` trials whose final loss is lower than the median loss of the
        survivors. `better_than_best` is the number of `stopped` trials whose final loss is lower than the lowest loss
        of the survivors. The survivors are the complete trials that no verdict stops.
    """

    trials: int
    stopped: int
    better_than_median: int
    better_than_best: int


def audit(trials: Mapping[int, ReplayedTrial], audited: Collection[int], against: Collection[int]) -> Audit:
    """Return the result of a study's audit.

    Parameters
    ----------
    trials : mapping of int to ReplayedTrial
        All ended trials of the study, by number.
    audited : collection of int
        The numbers of the audited trials with a verdict.
    against : collection of int
        The numbers of the trials that a verdict stops or, for an audited trial, would stop.

    Examples
    --------
    >>> ended = {number: ReplayedTrial(number, 0, loss, is_pruned=False) for number, loss in enumerate([0.3, 0.5, 0.4])}
    >>> audit(ended, audited=[2], against=[2])
    Audit(trials=1, stopped=1, better_than_median=0, better_than_best=0)
    """
    ended = [trials[number] for number in audited if number in trials]
    condemned = {number for number in against if number in trials}
    survivors = [trial.loss for trial in trials.values() if trial.loss is not None and trial.number not in condemned]
    losses = [trial.loss for trial in ended if trial.number in condemned and trial.loss is not None]
    median = statistics.median(survivors) if survivors else -math.inf
    best = min(survivors, default=-math.inf)
    return Audit(
        trials=len(ended),
        stopped=sum(trial.number in condemned for trial in ended),
        better_than_median=sum(loss < median for loss in losses),
        better_than_best=sum(loss < best for loss in losses),
    )
