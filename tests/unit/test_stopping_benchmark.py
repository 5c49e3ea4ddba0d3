"""The simulator of early stopping, and its contestants."""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import records
from benchmarks.stopping import __main__ as command
from benchmarks.stopping import analysis, contestants, ours, runs
from benchmarks.stopping.curves import LearningCurves, SyntheticCurves, load_surrogate
from benchmarks.stopping.groups import GroupSearch
from benchmarks.stopping.ours import BatchSearch, KnownTrial, PromotionSearch, SteadyPromotionSearch, SteadySearch
from benchmarks.stopping.restarts import RestartingSearch
from benchmarks.stopping.simulator import (
    Changes,
    Start,
    Training,
    Trial,
    best_is_stopped,
    changes,
    draw_slowness,
    false_stops,
    simulate,
)
from ledger.proposals import proposal_input
from ledger.study.early_stopping import EarlyStopping
from ledger.study.space import Space
from ledger.study.verdicts import cutoff, is_audited, stops

FAST_AND_SLOW = (1.0, 3.0)
SLOW_AND_FAST = (3.0, 1.0)


class Listed:
    """Curves that a test gives: point x has the curve `losses[x]`."""

    space = Space.from_toml({"x": {"type": "integer", "low": 0, "high": 9}})

    def __init__(self, *losses, seconds=1.0):
        self.losses, self.seconds = losses, seconds
        self.epochs = len(losses[0])

    def train(self, params):
        return Training(self.losses[params["x"]], self.seconds)

    def final_losses(self, points):
        return [self.losses[params["x"]][-1] for params in points]


@dataclass
class Scripted:
    """A search of numbered points that stops trials at given epochs, and waits as batch mode does if asked."""

    stop_at: dict[int, int] = field(default_factory=dict)
    batch: int | None = None
    most: int = 100
    calls: list[tuple[object, ...]] = field(default_factory=list)
    started: int = 0
    open: set[int] = field(default_factory=set)

    def ask(self):
        is_full = self.batch is not None and self.started % self.batch == 0 and self.open
        if is_full or self.started == self.most:
            return None
        number = self.started
        self.started += 1
        self.open.add(number)
        self.calls.append(("start", number))
        return Start(number, {"x": number})

    def report(self, number, epoch, loss):
        self.calls.append((number, epoch, loss))
        return self.stop_at.get(number) == epoch

    def end(self, number, epoch, loss, stopped):
        self.open.remove(number)
        self.calls.append(("stopped" if stopped else "ended", number, epoch, loss))


def ended(number, final, epoch, state):
    return Trial(number, {"x": number}, Training([final], 1.0), epoch, state=state)


def test_epochs_end_in_the_order_of_the_workers_speeds():
    search = Scripted()
    simulate(search, Listed((0.9, 0.8), (0.7, 0.6), (0.5, 0.4), (0.3, 0.2)), FAST_AND_SLOW, [5])
    assert search.calls == [
        ("start", 0),
        ("start", 1),
        (0, 1, 0.9),
        ("ended", 0, 2, 0.8),  # after 2 s; the last epoch is not reported
        ("start", 2),
        # after 3 s, both workers end an epoch; the lower worker is first
        (2, 1, 0.5),
        (1, 1, 0.7),
        ("ended", 2, 2, 0.4),
    ]


def test_a_stopped_trial_frees_its_worker_at_once():
    search = Scripted(stop_at={0: 1})
    found = simulate(search, Listed((0.9, 0.8, 0.7), (0.6, 0.5, 0.4), (0.3, 0.2, 0.1)), (1.0,), [3])
    assert search.calls == [
        ("start", 0),
        (0, 1, 0.9),
        ("stopped", 0, 1, 0.9),
        ("start", 1),
        (1, 1, 0.6),
        (1, 2, 0.5),
    ]
    assert [(trial.state, trial.epoch) for trial in found.trials] == [("stopped", 1), ("running", 2)]


@dataclass
class Promoting(Scripted):
    """Pauses each new trial after epoch 1. Trial 0 then goes on to its end, before the next trial starts."""

    promoted: list[int] = field(default_factory=list)

    def ask(self):
        if self.promoted:
            number = self.promoted.pop()
            self.open.add(number)
            return Start(number, {"x": number})
        return replace(super().ask(), until=1)

    def end(self, number, epoch, loss, stopped):
        super().end(number, epoch, loss, stopped)
        if (number, epoch) == (0, 1):
            self.promoted.append(0)


def test_a_paused_trial_goes_on_from_its_last_epoch():
    search = Promoting()
    found = simulate(search, Listed((0.9, 0.8, 0.7), (0.6, 0.5, 0.4)), (1.0,), [1, 3, 4])
    assert search.calls == [
        ("start", 0),
        ("ended", 0, 1, 0.9),
        (0, 2, 0.8),
        ("ended", 0, 3, 0.7),
        ("start", 1),
        ("ended", 1, 1, 0.6),
    ]
    assert [(trial.epoch, trial.state) for trial in found.trials] == [(3, "complete"), (1, "paused")]
    assert [mark.loss for mark in found.marks] == [None, 0.7, 0.7]


def test_without_checkpoints_a_paused_trial_begins_again():
    search = Promoting()
    found = simulate(RestartingSearch(search), Listed((0.9, 0.8, 0.7), (0.6, 0.5, 0.4)), (1.0,), [1, 3, 4])
    assert search.calls == [
        ("start", 0),
        ("ended", 0, 1, 0.9),
        (0, 1, 0.9),
        (0, 2, 0.8),
        ("ended", 0, 3, 0.7),
    ]
    assert [mark.loss for mark in found.marks] == [None, None, 0.7]


def test_workers_of_a_waiting_search_are_idle_until_the_slowest_ends():
    search = Scripted(batch=2)
    found = simulate(search, Listed(*[(0.5, 0.4)] * 4), FAST_AND_SLOW, [4, 6])
    assert search.calls.index(("start", 2)) > search.calls.index(("ended", 1, 2, 0.4))
    assert [mark.seconds for mark in found.marks] == [6.0, 8.0]


def test_the_time_of_an_epoch_is_the_trainings_times_the_slowness():
    found = simulate(Scripted(), Listed((0.5, 0.4), seconds=7.0), (1.5,), [1])
    assert found.marks[0].seconds == 10.5


def test_a_mark_has_the_lowest_loss_of_the_complete_trials():
    curves = Listed((0.5, 0.4), (0.1, 0.6), (0.5, 0.3), (0.2, 0.2))
    found = simulate(Scripted(stop_at={3: 1}), curves, (1.0,), [1, 2, 4, 6, 7])
    assert [mark.epochs for mark in found.marks] == [1, 2, 4, 6, 7]
    assert [mark.loss for mark in found.marks] == [None, 0.4, 0.4, 0.3, 0.3]


def test_a_search_that_waits_for_nothing_is_an_error():
    with pytest.raises(RuntimeError, match="proposes no trial after 2 epochs, although no trial is running"):
        simulate(Scripted(most=1), Listed((0.5, 0.4)), (1.0,), [9])


def test_a_draw_of_speeds_repeats_and_another_one_differs():
    assert draw_slowness(3, 0, 8) == draw_slowness(3, 0, 8)
    assert set(draw_slowness(3, 0, 8)).isdisjoint(draw_slowness(3, 1, 8))
    assert min(draw_slowness(3, 0, 100)) > 0


def test_a_false_stop_is_of_the_best_tenth():
    trials = [ended(number, number / 100, 1, "stopped" if number < 5 else "complete") for number in range(20)]
    assert false_stops(trials) == 2
    assert best_is_stopped(trials)
    trials[0].state = "running"
    assert false_stops(trials) == 1
    assert not best_is_stopped(trials)


def test_changes_count_only_what_ended_in_both_runs():
    first = [ended(0, 0.1, 2, "stopped"), ended(1, 0.1, 9, "complete"), ended(2, 0.1, 2, "stopped")]
    second = [ended(1, 0.1, 2, "stopped"), ended(0, 0.1, 2, "stopped"), ended(2, 0.1, 1, "running")]
    assert changes(first, second) == Changes(compared=2, points=0, verdicts=1)
    second[1].epoch = 6
    second[1].params = {"x": 7}
    assert changes(first, second) == Changes(compared=2, points=1, verdicts=2)


HALVING = EarlyStopping(rule="halving", eta=3, min_resource=2, max_resource=27, audit=0.1)
PROMOTION = EarlyStopping(rule="promotion", eta=3, min_resource=2, max_resource=27, audit=0.1)
BRACKETS = EarlyStopping(rule="promotion", eta=3, min_resource=2, max_resource=27, audit=0.1, brackets=3)
GROUPS = EarlyStopping(rule="halving", eta=3, min_resource=2, max_resource=27, audit=0.1, group_size=2)


def searched(kind, slowness, *, stopping=HALVING, batch_size=4, epochs=300, lesson="last", is_random=False):
    search = kind(SyntheticCurves("synthetic/0"), 5, batch_size, stopping, ours.LESSONS[lesson], is_random=is_random)
    trials = simulate(search, SyntheticCurves("synthetic/0"), slowness, [epochs]).trials
    if isinstance(search, PromotionSearch):
        runs.reopen(trials, search.open_trials)
    return trials


@pytest.mark.parametrize(
    ("kind", "stopping"),
    [
        (BatchSearch, HALVING),
        (PromotionSearch, PROMOTION),
        (PromotionSearch, BRACKETS),
        (partial(GroupSearch, workers=3), GROUPS),
    ],
    ids=["halving", "promotion", "brackets", "groups"],
)
def test_verdicts_and_points_of_batch_mode_do_not_depend_on_the_workers(kind, stopping):
    expected = {trial.number: trial for trial in searched(kind, (1.0, 1.0, 1.0, 1.0), stopping=stopping)}
    for slowness in ((0.3, 2.0, 5.0), (5.0, 2.0, 0.3, 1.0, 1.0), (1.0,)):
        found = searched(kind, slowness, stopping=stopping)
        both = changes(list(expected.values()), found)
        assert (both.points, both.verdicts) == (0, 0)
        assert both.compared > 15
        assert any(trial.is_stopped for trial in found)


@pytest.mark.parametrize("stopping", [PROMOTION, BRACKETS], ids=["one bracket", "three brackets"])
def test_promotion_lets_the_best_third_of_the_latest_trials_go_on(stopping):
    trials = searched(PromotionSearch, (1.0, 4.0, 0.5, 2.0), stopping=stopping, batch_size=9, epochs=600)
    assert sum(trial.epoch for trial in trials) == 600, "no epoch is trained twice"
    by_batch: dict[int, list[Trial]] = {}
    for trial in trials:
        by_batch.setdefault(trial.number // 9, []).append(trial)
    whole = [batch for batch in by_batch.values() if all(trial.state != "running" for trial in batch)]
    assert len(whole) > 3
    judged: dict[int, list[Trial]] = {rung: [] for rung in stopping.rungs}
    promoted: dict[int, list[int]] = {rung: [] for rung in stopping.rungs}
    for batch in whole:
        left = [trial for trial in batch if not is_audited(5, trial.number, stopping.audit)]
        assert all(trial.state == "complete" for trial in batch if trial not in left)
        for rung in stopping.rungs_of(batch[0].number // 9):
            latest = sorted(judged[rung], key=lambda trial: -trial.number)[: 9 - len(left)]
            ranked = sorted(left + latest, key=lambda trial: (trial.training.losses[rung - 1], trial.number))
            best = ranked[: max(1, len(ranked) // 3)] if len(ranked) >= 3 else ranked
            assert {trial.epoch for trial in left if trial not in best} <= {rung}
            judged[rung] += left
            left = [trial for trial in left if trial in best]
            promoted[rung].append(len(left))
        assert all(trial.state == "complete" for trial in left)
    at_last = promoted[stopping.rungs[-1]]
    assert min(at_last) == 0 < max(at_last), "the last rung lets some trials go on, and stops others"


def test_a_trial_that_waits_for_earlier_groups_keeps_its_worker():
    begun = []

    class Watched(GroupSearch):
        def ask(self):
            start = super().ask()
            begun.append(len(self._open) - len(self._waiting))
            return start

    curves = SyntheticCurves("synthetic/0")
    search = Watched(curves, 5, 8, GROUPS, ours.LESSONS["last"], workers=4)
    simulate(search, curves, (1.0, 8.0, 1.0, 1.0), [300])
    assert max(begun) == 4


def check_halving(trials, rule, size, state):
    """Check each end in `state` against the trials before the trial's block of `size` trials."""
    stopped = 0
    for trial in trials:
        if trial.state == "running":
            continue
        for rung in (rung for rung in rule.rungs if rung <= trial.epoch):
            earlier = [
                each.training.losses[rung - 1]
                for each in trials
                if each.number // size < trial.number // size and each.epoch >= rung
            ]
            is_stopped = stops(trial.training.losses[rung - 1], cutoff("halving", 3, earlier))
            is_stopped = is_stopped and not is_audited(5, trial.number, 0.1)
            assert is_stopped == (trial.state == state and trial.epoch == rung)
            stopped += is_stopped
    assert stopped > 10


def test_a_group_is_compared_with_earlier_iterations_and_groups():
    trials = searched(partial(GroupSearch, workers=4), (1.0, 4.0, 0.5, 2.0), stopping=GROUPS, batch_size=6, epochs=600)
    check_halving(trials, GROUPS, 2, "paused")


def test_a_paused_trial_without_a_verdict_has_not_ended():
    trials = [ended(0, 0.1, 2, "paused"), ended(1, 0.1, 2, "paused"), ended(2, 0.1, 9, "complete")]
    runs.reopen(trials, {1})
    assert [trial.state for trial in trials] == ["paused", "running", "complete"]


def test_cutoffs_of_batch_mode_come_from_earlier_iterations_alone():
    check_halving(searched(BatchSearch, (1.0, 4.0, 0.5, 2.0)), HALVING, 4, "stopped")


@pytest.mark.parametrize(
    ("arrivals", "verdicts"),
    [((0, 1, 2), [False, False, True]), ((2, 1, 0), [False, False, False]), ((1, 0, 2), [False, False, True])],
)
def test_a_verdict_of_steady_mode_compares_earlier_arrivals(arrivals, verdicts):
    stopping = EarlyStopping(rule="halving", eta=2, min_resource=1, max_resource=3, audit=0)
    search = SteadySearch(Listed((0.5, 0.4, 0.3)), 0, 3, stopping, ours.last_loss)
    assert [start.number for _ in range(3) if (start := search.ask())] == [0, 1, 2]
    losses = (0.1, 0.2, 0.3)
    # two arrivals are too few for a cutoff; the third arrival must be better than both
    assert [search.report(number, 1, losses[number]) for number in arrivals] == verdicts


def test_steady_mode_keeps_a_trial_on_each_worker():
    trials = searched(SteadySearch, (1.0, 2.0, 3.0), batch_size=3, epochs=200)
    assert sum(trial.state == "running" for trial in trials) in (2, 3)
    assert [trial.number for trial in trials] == list(range(len(trials)))


def test_a_paused_trial_of_steady_mode_goes_on_when_it_is_one_of_the_best():
    stopping = EarlyStopping(rule="promotion", eta=2, min_resource=1, max_resource=3, audit=0)
    search = SteadyPromotionSearch(Listed((0.5, 0.4, 0.3)), 0, 2, stopping, ours.estimated_loss)
    assert [start.number for _ in range(3) if (start := search.ask())] == [0, 1]
    assert not search.report(0, 1, 0.1)
    assert search.report(1, 1, 0.2), "one of two goes on"
    search.end(1, 1, 0.2, stopped=True)
    for number, loss in ((2, 0.9), (3, 0.8)):
        start = search.ask()
        assert start is not None
        assert start.number == number, "no paused trial can go on"
        assert search.report(number, 1, loss)
        search.end(number, 1, loss, stopped=True)
    start = search.ask()
    assert start is not None
    assert (start.number, start.until) == (1, None), "the second of four"


def test_steady_promotion_trains_no_epoch_twice():
    trials = searched(SteadyPromotionSearch, (1.0, 2.0, 3.0), stopping=PROMOTION, batch_size=3, epochs=300)
    assert sum(trial.epoch for trial in trials) == 300
    assert sum(trial.state == "running" for trial in trials) in (2, 3)
    assert {trial.epoch for trial in trials if trial.state == "stopped"} <= set(PROMOTION.rungs)
    assert any(trial.state == "complete" for trial in trials)


def known(number, loss, at_rungs, state="complete"):
    ends = {"loss": loss} if state == "complete" else {"pruned_loss": loss}
    return KnownTrial(number, 0, {"x": number}, state, at_rungs=at_rungs, **ends)


@pytest.mark.parametrize(
    ("lesson", "loss", "alone"),
    [
        (ours.last_loss, 0.6, 0.6),
        (ours.worst_loss, 0.3, 0.6),
        # after rung 6, the complete trials improved by 0.2, 0.1 and 0.3
        (ours.estimated_loss, 0.4, 0.6),
    ],
)
def test_what_the_surrogate_learns_of_a_pruned_trial(lesson, loss, alone):
    complete = [known(0, 0.3, {2: 0.9, 6: 0.5}), known(1, 0.1, {2: 0.5, 6: 0.2}), known(2, 0.2, {2: 0.7, 6: 0.5})]
    pruned = known(3, 0.6, {2: 0.8, 6: 0.6}, "pruned")

    def learned(trials: list[KnownTrial]) -> float | None:
        shown = [*trials, lesson(pruned, trials)]
        return proposal_input(shown, 1, 0, None, None, ours.rung_losses(shown)).observations[-1].loss

    assert learned(complete) == pytest.approx(loss)
    assert learned([]) == alone
    assert ours.ignore(pruned, complete).state == "cancelled"


@pytest.mark.parametrize("lesson", ours.LESSONS)
def test_each_lesson_proposes_only_new_points(lesson):
    trials = searched(BatchSearch, (1.0,) * 4, epochs=400, lesson=lesson)
    points = [json.dumps(dict(trial.params)) for trial in trials]
    assert len(set(points)) == len(points) > 20


def test_random_points_do_not_depend_on_the_verdicts():
    fast = searched(SteadySearch, FAST_AND_SLOW, batch_size=2, is_random=True)
    slow = searched(SteadySearch, SLOW_AND_FAST, batch_size=2, is_random=True)
    assert changes(fast, slow).points == 0
    assert changes(fast, slow).compared > 20


@pytest.mark.parametrize("rule", ["halving", "hyperband", "median"])
def test_a_search_of_optuna_repeats_and_its_rule_stops_trials(rule):
    found = contestants.CONTESTANTS[f"optuna-tpe-{rule}"]
    both = [
        simulate(found.make(SyntheticCurves("synthetic/0"), 1, 2), SyntheticCurves("synthetic/0"), (1.0, 2.0), [400])
        for _ in range(2)
    ]
    assert changes(both[0].trials, both[1].trials).points == 0
    states = {trial.state for trial in both[0].trials}
    assert states >= {"stopped", "complete"}
    rungs = {2, 6, 18} if rule != "median" else set(range(2, 27, 2))
    assert {trial.epoch for trial in both[0].trials if trial.state == "stopped"} <= rungs


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("synetune-random-halving", "syne_tune"),
        ("synetune-kde-halving", "syne_tune"),
        ("synetune-mobster", "syne_tune.optimizer.legacy_baselines"),
        ("smac-hyperband", "smac"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of the other tools
def test_a_search_of_another_tool_repeats_if_it_is_installed(name, module):
    pytest.importorskip(module)
    found = contestants.CONTESTANTS[name]
    both = [
        simulate(found.make(SyntheticCurves("synthetic/0"), 1, 2), SyntheticCurves("synthetic/0"), (1.0, 2.0), [300])
        for _ in range(2)
    ]
    repeated = changes(both[0].trials, both[1].trials)
    assert (repeated.points, repeated.verdicts) == (0, 0)
    assert any(trial.is_stopped for trial in both[0].trials)
    assert any(trial.state == "complete" for trial in both[0].trials)


def test_an_interrupted_run_simulates_only_what_is_missing(tmp_path):
    file = tmp_path / "stopping.jsonl"
    wanted = runs.runs(["synthetic/0"], ["random-batch-8-halving"], seeds=2, workers=(2,), trainings=4)
    assert len(wanted) == 2
    records.append(file, wanted[0].run())
    assert records.missing(file, wanted, runs.key) == wanted[1:]
    records.append(file, records.read(file)[0] | {"seed": 1, "settings": "of another rule"})
    assert records.missing(file, wanted, runs.key) == wanted[1:]


def test_a_line_describes_both_draws_of_the_speeds():
    (run,) = runs.runs(["synthetic/1"], ["random-steady-halving"], seeds=1, workers=(3,), trainings=8)
    line = run.run()
    assert len(line["losses"]) == len(line["seconds"]) == 2
    assert all(len(values) == len(runs.SHARES) for values in line["losses"])
    assert line["seconds"][0] != line["seconds"][1]
    assert line["changed_points"] == 0
    assert 0 < line["compared"] <= min(line["trials"])
    assert line["lowest"] < line["median"]
    assert json.loads(json.dumps(line)) == line


def test_a_slow_contestant_runs_twice_only_with_the_first_seed():
    searches = runs.runs(["synthetic/1"], ["ours-steady-halving", "ours-steady"], seeds=2, workers=(2,), trainings=2)
    assert [(one.contestant, one.seed, one.draws) for one in searches] == [
        ("ours-steady-halving", 0, 2),
        ("ours-steady", 0, 2),
        ("ours-steady-halving", 1, 1),
        ("ours-steady", 1, 2),
    ]
    once = searches[2].run()
    assert [len(once[name]) for name in ("losses", "seconds", "trials", "stopped", "false_stops")] == [1] * 5
    assert (once["compared"], once["changed_points"], once["changed_verdicts"]) == (0, 0, 0)


def once(two):
    """Return the line of a search that has run only once."""
    lists = {name: value[:1] for name, value in two.items() if isinstance(value, list)}
    return {**two, **lists, "compared": 0, "changed_points": 0, "changed_verdicts": 0, "computing": 1.0}


def line(name, seed=0, task="a", losses=(None, 0.5, 0.4, 0.3, 0.2), **facts):
    return {
        "task": task,
        "seed": seed,
        "contestant": name,
        "settings": "",
        "version": "1",
        "workers": 8,
        "trainings": 64,
        "losses": [list(losses), list(losses)],
        "seconds": [[1.0, 2.0, 3.0, 4.0, 5.0]] * 2,
        "trials": [10, 10],
        "stopped": [5, 5],
        "false_stops": [1, 0],
        "best_is_stopped": [True, False],
        "compared": 8,
        "changed_points": 2,
        "changed_verdicts": 3,
        "lowest": 0.1,
        "median": 0.5,
        "computing": 2.0,
        "date": "2026-01-01",
        "versions": {},
        **facts,
    }


def test_a_regret_is_measured_from_the_lowest_loss_of_all_contestants():
    lines = [line("ours-steady"), line("optuna-tpe", lowest=0.0, losses=(0.9, 0.5, 0.25, 0.0, 0.0))]
    found = analysis.regrets(lines, analysis.lowest_losses(lines))
    assert found[8, "ours-steady"]["a", 0] == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.4])
    assert found[8, "optuna-tpe"]["a", 0] == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])


def test_the_error_of_a_difference_is_over_the_tasks():
    mine = {("a", 0): [0.1], ("a", 1): [0.3], ("b", 0): [0.5], ("c", 0): [0.9]}
    peer = {("a", 0): [0.1], ("a", 1): [0.1], ("b", 0): [0.2]}
    assert analysis.difference(mine, peer, 0) == pytest.approx((0.2, 0.1))
    assert analysis.difference({("a", 0): [0.1]}, peer, 0) is None


def test_the_report_has_a_row_for_each_contestant():
    names = ("ours-steady", "ours-batch-8-halving", "optuna-tpe-halving")
    text = analysis.markdown([line(name, seed, task) for name in names for seed in (0, 1) for task in ("a", "b")])
    (row,) = [each for each in text.splitlines() if each.startswith("| ours-batch-8-halving |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:7] == ["ours-batch-8-halving", "4", "1.0000", "1.0000", "0.7500", "0.5000", "0.2500"]
    assert cells[7:] == ["10", "50.0%", "10.0%", "50.0%", "12 of 32", "25.0%", "1.00", "1"]
    assert "| optuna-tpe-halving | +0.0000 ± 0.0000 |" in text
    assert "Not measured yet" in analysis.markdown([])


def test_the_report_counts_searches_that_ran_once():
    both = [line("ours-steady", task=task) for task in ("a", "b")]
    text = analysis.markdown([*both, *(once(line("ours-steady", 1, task)) for task in ("a", "b"))])
    (row,) = [each for each in text.splitlines() if each.startswith("| ours-steady |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["4", "1.0000"]
    assert cells[7:] == ["10", "50.0%", "13.3%", "66.7%", "6 of 16", "25.0%", "1.00", "1"]


def test_shorter_searches_are_compared_after_as_many_epochs():
    long = [line("ours-steady", task=task) for task in ("a", "b")]
    short = line("optuna-gp-median", trainings=16, losses=(0.5, 0.5, 0.5, 0.3, 0.2))
    text = analysis.markdown([*long, short])
    assert "## Early stopping in 64 trainings" in text
    assert "### 16 trainings" in text
    assert "| optuna-gp-median | 8 | 1 | 0.2500 | 0.7500 |" in text


def test_the_report_uses_only_the_last_version_of_a_contestant():
    old = [line("ours-steady", task=task, version="1") for task in ("a", "b")]
    new = line("ours-steady", version="2", losses=(0.5, 0.5, 0.1, 0.1, 0.1))
    text = analysis.markdown([*old, new])
    assert "| ours-steady | 1 | 1.0000 | 1.0000 | 0.0000 |" in text
    assert "Rows of earlier versions of the ledger: ours-steady with 8 workers (2)." in text


@pytest.mark.parametrize(("seconds", "searches"), [(5.0, 12), (6.0, 10)], ids=["equal", "different"])
def test_a_version_with_equal_repeated_searches_counts_too(seconds, searches):
    old = [line("ours-steady", seed, version="1") for seed in range(12)]
    new = [line("ours-steady", seed, version="2") for seed in range(analysis.REPEATED)]
    new[-1]["seconds"] = [[1.0, 2.0, 3.0, 4.0, seconds]] * 2
    text = analysis.markdown([*old, *new])
    assert f"| ours-steady | {searches} |" in text
    assert ("ours-steady with 8 workers (1, 10 searches)" in text) == (searches == 12)
    assert [one["version"] for one in analysis.last_lines([*old, *new])].count("2") == 10
    assert len(analysis.last_lines([*old, *new[1:]])) == analysis.REPEATED - 1, "too few searches were repeated"


class FakeSession:
    """Answers as the network does: the accuracy is 10 % for each epoch plus `momentum`, and the time 3 s an epoch."""

    def run(self, outputs, given):
        codes, numbers = given["x_cat"], given["x_cont"]
        assert codes.shape == (len(numbers), 1)
        assert (codes == 4).all()
        return [np.column_stack([3.0 * numbers[:, 0], 10.0 * numbers[:, 0] + numbers[:, 1]]).astype(np.float32)]


def fake_surrogate():
    return SimpleNamespace(
        choices=["OpenML_task_id"],
        numbers=["epoch", "momentum"],
        results=["time", "val_accuracy"],
        codes={"OpenML_task_id": {"7593": 4}},
        space={"momentum": ("real", 0.1, 0.99, False)},
        session=FakeSession(),
        dev=["7593"],
        measuring=["3945"],
    )


def test_a_curve_of_lcbench_is_the_share_of_wrong_predictions():
    curves = LearningCurves(fake_surrogate(), "7593")
    found = curves.train({"momentum": 0.5})
    assert len(found.losses) == curves.epochs == 52
    assert found.losses[0] == pytest.approx(1 - 0.105)
    assert found.seconds == pytest.approx(3.0)
    assert curves.final_losses([{"momentum": 0.5}]) == pytest.approx([found.losses[-1]])
    assert curves.space.names == ("momentum",)


def test_the_folder_of_the_surrogates_is_an_option(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--yahpo", str(tmp_path)])
    assert "surrogate.py does not exist" in capsys.readouterr().err
    (tmp_path / "surrogate.py").write_text(
        "class Surrogate:\n    def __init__(self, name):\n        self.name = name\n"
    )
    assert load_surrogate(tmp_path).name == "lcbench"


@pytest.mark.parametrize("option", [["--dev"], ["--tasks", "tuning"], ["--tasks", "synthetic/0"]])
def test_tasks_for_tuning_never_enter_the_report(tmp_path, capsys, option):
    (tmp_path / "surrogate.py").write_text(
        "class Surrogate:\n    dev, measuring = ['tuning'], ['measuring']\n    def __init__(self, name): ...\n"
    )
    with pytest.raises(SystemExit):
        command.main([*option, "--yahpo", str(tmp_path)])
    assert "give --output another file" in capsys.readouterr().err


def test_the_quick_mode_prints_a_report(capsys):
    command.main(["--quick", "--jobs", "1", "--contestants", "random-batch-8-halving", "random-steady-halving"])
    printed = capsys.readouterr().out
    assert "## Early stopping in 4 trainings" in printed
    assert "| random-batch-8-halving | 2 |" in printed
