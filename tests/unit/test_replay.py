"""The replay of a rule of early stopping on recorded learning curves."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ledger.study.early_stopping import EarlyStopping
from ledger.study.replay import (
    AttemptCurve,
    LearningCurves,
    ReplayedRung,
    ReplayedTrial,
    audit,
    replay,
)
from ledger.study.verdicts import cutoff, stops


class Point(NamedTuple):
    """A report of a trial. The first two fields order the reports that a rung can use."""

    attempt: int
    step: int
    loss: float
    time: float


HALVING = EarlyStopping(rule="halving", eta=2, min_resource=1, max_resource=4)


def curve(losses: Sequence[float], began: float = 0.0) -> AttemptCurve:
    """One report for each step from 1."""
    steps = range(1, len(losses) + 1)
    return AttemptCurve(list(steps), [None] * len(losses), losses, [began + step for step in steps])


def complete(number: int, iteration: int, loss: float | None) -> ReplayedTrial:
    return ReplayedTrial(number, iteration, loss, is_pruned=False)


def test_a_rung_compares_with_earlier_iterations_in_batch_mode():
    curves = LearningCurves(HALVING.rungs)
    # the first iteration is never stopped, and trial 3 stops at step 2
    for number, losses in enumerate([[0.5, 0.5, 0.5, 0.5], [0.9, 0.4, 0.3, 0.2], [0.4, 0.1, 0.1, 0.1], [0.6, 0.6]]):
        curves.add(number, [curve(losses)])
    trials = {number: complete(number, number // 2, loss) for number, loss in enumerate([0.5, 0.2, 0.1, None])}
    found = replay(HALVING, curves, trials, by_arrival=False, batch_size=2)
    assert found.rungs == [ReplayedRung(1, 4, 1), ReplayedRung(2, 3, 0)]
    assert (found.trials, found.steps, found.saved, found.stopped) == (4, 14, 1, 1)
    assert (found.false_stops, found.unknown, found.unjudged) == ([], 1, 0)
    assert (found.best, found.best_survivor) == (2, 2)


def test_a_stopped_trial_that_would_have_been_best_is_a_false_stop():
    curves = LearningCurves(HALVING.rungs)
    for number, losses in enumerate([[0.1, 0.5], [0.2, 0.5], [0.3, 0.0]]):
        curves.add(number, [curve(losses, began=10.0 * number)])
    trials = {number: complete(number, 0, loss) for number, loss in enumerate([0.5, 0.6, 0.0])}
    found = replay(HALVING, curves, trials, by_arrival=True, batch_size=2)
    assert (found.false_stops, found.best, found.best_survivor, found.saved) == ([2], 2, 0, 1)
    # no trial of one iteration is compared with another one
    assert replay(HALVING, curves, trials, by_arrival=False, batch_size=2).stopped == 0


def test_a_trial_that_its_study_pruned_cannot_be_judged_after_its_end():
    curves = LearningCurves(HALVING.rungs)
    for number, losses in enumerate([[0.5, 0.4, 0.3, 0.2], [0.6, 0.5, 0.4, 0.3], [0.4], [0.9]]):
        curves.add(number, [curve(losses)])
    trials = {
        **{number: complete(number, 0, loss) for number, loss in enumerate([0.2, 0.3])},
        **{number: ReplayedTrial(number, 1, None, is_pruned=True) for number in (2, 3)},
    }
    found = replay(HALVING, curves, trials, by_arrival=False, batch_size=2)
    assert (found.stopped, found.unknown, found.unjudged) == (1, 1, 1)


def test_a_study_without_a_complete_trial_has_no_best_value():
    curves = LearningCurves(HALVING.rungs)
    curves.add(0, [curve([math.inf])])
    found = replay(HALVING, curves, {0: complete(0, 0, None)}, by_arrival=True, batch_size=2)
    assert (found.best, found.best_survivor, found.stopped, found.steps) == (None, None, 0, 1)


def test_a_later_attempt_continues_the_curve_of_an_earlier_one():
    curves = LearningCurves([1, 3, 9])
    # attempt 2 continues after a checkpoint, and reports no step at or below 3
    curves.add(0, [curve([0.5, 0.4]), AttemptCurve([4, 9], [None, None], [0.2, 0.1], [10.0, 11.0])])
    assert [list(curves.at(rung)) for rung in (1, 3, 9)] == [
        *([(0, 0.5, 1, 1.0)], [(0, 0.4, 4, 10.0)], [(0, 0.1, 9, 11.0)]),
    ]
    assert curves.last_steps == {0: 9}


def test_a_rung_ignores_the_reports_after_the_one_that_reached_it():
    curves = LearningCurves([1, 4])
    # the steps 6, 5, 3 and 1, in this order
    curves.add(0, [AttemptCurve([1, 3, 5, 6], [6, 6, 6, None], [0.1, 0.3, 0.5, 0.6], [13.0, 12.0, 11.0, 10.0])])
    # the steps 2, 9 and 3, and a second attempt
    curves.add(1, [AttemptCurve([2, 3, 9], [None, 9, None], [0.2, 0.3, 0.9], [20.0, 22.0, 21.0]), curve([0.8] * 4)])
    assert list(curves.at(1)) == []
    assert list(curves.at(4)) == [(1, 0.2, 9, 21.0)]
    assert curves.last_steps == {0: 6, 1: 9}


def test_the_audit_counts_what_the_rule_would_have_lost():
    trials = {number: complete(number, 0, loss) for number, loss in enumerate([0.1, 0.2, 0.3, 0.4, 0.05, None])}
    trials[6] = ReplayedTrial(6, 0, None, is_pruned=True)
    found = audit(trials, audited=[1, 3, 4, 5, 77], against=[3, 4, 5, 6])
    # the survivors are the trials 0, 1 and 2
    assert (found.trials, found.stopped, found.better_than_median, found.better_than_best) == (4, 3, 1, 1)


losses = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.inf])
rules = st.builds(
    lambda rule, eta, first, last: EarlyStopping(
        rule=rule[0], group_size=rule[1], eta=eta, min_resource=first, max_resource=first + last
    ),
    st.sampled_from([("halving", None), ("halving", 1), ("halving", 2), ("median", None)]),
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(1, 9),
)
# each trial has reported losses in one or two attempts, in any order of the steps, from a time of its own
attempts = st.lists(st.tuples(st.integers(0, 12), losses), max_size=8, unique_by=lambda report: report[0])
studies = st.lists(
    st.tuples(st.lists(attempts, max_size=2), st.integers(0, 20), st.booleans()),
    max_size=12,
)


def reported_by(number: int, reported: Sequence[Sequence[tuple[int, float]]], began: int) -> list[Point]:
    """Return the reports of a trial in their order. No report of another trial has the same time."""
    place = count()
    return [
        Point(attempt, step, loss, began + next(place) / 100 + number / 10_000)
        for attempt, reports in enumerate(reported)
        for step, loss in reports
    ]


def curves_of(points: Sequence[Point]) -> list[AttemptCurve]:
    found = []
    for attempt in sorted({point.attempt for point in points}):
        rows, highest = [], -1
        for point in points:
            if point.attempt == attempt:
                rows.append((point.step, highest if highest > point.step else None, point.loss, point.time))
                highest = max(highest, point.step)
        found.append(AttemptCurve(*zip(*sorted(rows, key=lambda row: row[0]), strict=True)))
    return found


def loss_at(rung: int, points: Sequence[Point]) -> float | None:
    """Return the loss of a trial at a rung, from the reports until the trial reached the rung."""
    below = [point for point in points if point.step <= rung]
    return max(below).loss if below else None


def group(rule: EarlyStopping, trial: ReplayedTrial) -> tuple[int, int]:
    """Return the iteration and the group of a trial."""
    return trial.iteration, rule.group_of(trial.place)


def simulated(
    rule: EarlyStopping, trials: Mapping[int, ReplayedTrial], points: Mapping[int, list[Point]], *, by_arrival: bool
) -> dict[int, int]:
    """Train all trials again, one report after another. Return the last step of each stopped trial."""
    at_rung: dict[int, list[tuple[int, float]]] = defaultdict(list)
    stopped: dict[int, int] = {}
    decided: set[tuple[int, int]] = set()
    reports = sorted((point.time, number, point.step) for number, reported in points.items() for point in reported)
    if not by_arrival:
        # one group after another
        reports.sort(key=lambda report: (group(rule, trials[report[1]]), *report))
    for time, number, step in reports:
        for rung in rule.rungs:
            if number in stopped or rung > step or (number, rung) in decided:
                continue
            decided.add((number, rung))
            own = loss_at(rung, [point for point in points[number] if point.time <= time])
            if own is None:
                continue
            compared = [
                loss
                for other, loss in at_rung[rung]
                if by_arrival or group(rule, trials[other]) < group(rule, trials[number])
            ]
            if stops(own, cutoff(rule.rule, rule.eta, compared)):
                stopped[number] = step
            at_rung[rung].append((number, own))
    return stopped


def not_promoted(
    rule: EarlyStopping, trials: Mapping[int, ReplayedTrial], points: Mapping[int, list[Point]], batch_size: int
) -> dict[int, int]:
    """Let the best trials of each iteration go on, one rung after another. Return the last step of each other trial."""
    stopped: dict[int, int] = {}
    judged: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for iteration in sorted({trial.iteration for trial in trials.values()}):
        left = [number for number in trials if trials[number].iteration == iteration]
        for rung in rule.rungs_of(iteration):
            waiting = []
            for number in left:
                first = next((place for place, point in enumerate(points[number]) if point.step >= rung), None)
                if first is not None:
                    own = loss_at(rung, points[number][: first + 1])
                    if own is not None:
                        waiting.append((own, number, points[number][first].step))
            latest = sorted(judged[rung], reverse=True)[: max(0, batch_size - len(waiting))]
            ranked = sorted(
                [(loss, number) for loss, number, _ in waiting] + [(loss, number) for number, loss in latest]
            )
            most = max(1, len(ranked) // rule.eta) if len(ranked) >= rule.eta else len(ranked)
            for loss, number, step in waiting:
                if (loss, number) not in ranked[:most] or loss == math.inf:
                    stopped[number] = step
                    left.remove(number)
                judged[rung].append((number, loss))
    return stopped


@given(studies, st.integers(2, 4), st.integers(1, 3), st.integers(1, 6))
def test_a_replay_of_promotion_compares_as_many_trials_as_a_batch_has(study, eta, brackets, batch_size):
    rule = EarlyStopping(rule="promotion", eta=eta, min_resource=1, max_resource=eta**3, brackets=brackets)
    curves, trials, points = LearningCurves(rule.rungs), {}, {}
    for number, (reported, began, ended) in enumerate(study):
        trials[number] = ReplayedTrial(number, number // 3, 0.5 * number if ended else None, not ended, number % 3)
        points[number] = reported_by(number, reported, began)
        if points[number]:
            curves.add(number, curves_of(points[number]))
    stopped = not_promoted(rule, trials, points, batch_size)
    found = replay(rule, curves, trials, by_arrival=False, batch_size=batch_size)
    assert found.stopped == len(stopped) == sum(rung.stopped for rung in found.rungs)
    assert found.saved == sum(curves.last_steps[number] - step for number, step in stopped.items())


@given(rules, studies, st.booleans())
def test_a_replay_stops_what_the_rule_stops_in_a_new_training(rule, study, by_arrival):
    curves, trials, points = LearningCurves(rule.rungs), {}, {}
    for number, (reported, began, ended) in enumerate(study):
        trials[number] = ReplayedTrial(number, number // 3, 0.5 * number if ended else None, not ended, number % 3)
        points[number] = reported_by(number, reported, began)
        if points[number]:
            curves.add(number, curves_of(points[number]))
    stopped = simulated(rule, trials, points, by_arrival=by_arrival)
    found = replay(rule, curves, trials, by_arrival=by_arrival, batch_size=3)
    assert found.stopped == len(stopped) == sum(rung.stopped for rung in found.rungs)
    assert found.saved == sum(curves.last_steps[number] - step for number, step in stopped.items())
    assert 0 <= found.saved <= found.steps == sum(curves.last_steps.values())
    assert found.unknown == sum(trials[number].loss is None for number in stopped)
    assert found.unknown + found.unjudged >= sum(trial.is_pruned for trial in trials.values())
    assert set(found.false_stops) <= set(stopped)
    survivors = [number for number in trials if trials[number].loss is not None and number not in stopped]
    assert found.best_survivor == min(survivors, default=None)
