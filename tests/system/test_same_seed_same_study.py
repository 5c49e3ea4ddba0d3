"""The same seed gives the same study, for any number of workers and under faults."""

import pytest

from ledger.study.spec import initial_points
from tests.chaos.report import broken
from tests.chaos.soak import soak
from tests.chaos.studies import Plan, undisturbed

KINDS = [
    "worker: SIGKILL",
    "network: cut",
    "manager: SIGKILL",
    "network: acknowledgement lost",
    "network: statement late",
    "PostgreSQL: immediate restart",
    "worker: SIGKILL",
]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("model", "iterations", "rounds"),
    # the trials of the models are so short that a fault often misses them
    [("rugged", 18, 1), *(pytest.param(model, 12, 4, marks=pytest.mark.campaign) for model in ("svm", "xgb", "lgbm"))],
)
def test_the_study_is_the_same_with_one_worker_with_eight_and_under_faults(tmp_path, model, iterations, rounds):
    plan = Plan(model, iterations=iterations, batch_size=4, seed=7, base_estimator="GP")
    one = undisturbed(plan, tmp_path / "one")
    assert len(one) == 4 * iterations
    assert len(one) - initial_points(len(one), 4) >= 36, "proposed by a model"
    assert (model == "rugged") == any(trial.state == "pruned" for trial in one)
    assert (model == "rugged") == any(trial.verdicts for trial in one)
    assert undisturbed(plan, tmp_path / "eight", workers=8) == one

    def calm(iterations):
        return undisturbed(plan, tmp_path / "calm", iterations=iterations)

    soaked = soak(plan, tmp_path / "faults", KINDS * rounds, workers=4, pace=0.5, seed=7, calm=calm, grow=True)
    assert soaked.undisturbed[: len(one)] == one
    found = broken(plan, soaked)
    assert not any(found.values()), (found, soaked.verify, soaked.stayed, soaked.wrong_exits, soaked.tracebacks)
    assert sum(fault.hit for fault in soaked.faults) > len(KINDS) / 2, soaked.faults


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rule", ["halving", "groups", "promotion"])
def test_the_verdicts_are_the_same_with_one_worker_and_under_faults(tmp_path, rule):
    plan = Plan("rugged", iterations=4, batch_size=4, seed=3, base_estimator="ET", rule=rule, has_two_rungs=True)
    one = undisturbed(plan, tmp_path / "one")
    ended = {trial.verdicts[-1]["rung"] for trial in one if trial.state == "pruned"}
    assert ended == {1, 2}, "the rule has stopped trials at two rungs"
    verdicts = [verdict for trial in one for verdict in trial.verdicts]
    assert {verdict["stops"] for verdict in verdicts} == {True, False}
    assert all(trial.cutoffs for trial in one)
    soaked = soak(plan, tmp_path / "faults", KINDS[:2], workers=4, pace=0.5, seed=3, calm=lambda _: one)
    found = broken(plan, soaked)
    assert not any(found.values()), (found, soaked.verify, soaked.stayed, soaked.wrong_exits, soaked.tracebacks)
    assert any(fault.hit for fault in soaked.faults), soaked.faults


@pytest.mark.timeout(1800)
def test_the_patience_ends_the_study_after_the_same_trials_under_faults(tmp_path):
    plan = Plan("rugged", iterations=30, batch_size=4, seed=7, base_estimator="ET", patience=12)
    one = undisturbed(plan, tmp_path / "one")
    assert len(one) < 30 * 4
    soaked = soak(plan, tmp_path / "faults", KINDS[:4], workers=4, pace=0.5, seed=7, calm=lambda _: one)
    found = broken(plan, soaked)
    assert not any(found.values()), (found, soaked.verify, soaked.stayed, soaked.wrong_exits, soaked.tracebacks)
