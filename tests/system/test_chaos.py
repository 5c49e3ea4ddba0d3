"""Short chaos test: every kind of fault, with no lost, repeated or different result. `make chaos` runs a long one."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.chaos.faults import kinds
from tests.chaos.report import broken, table
from tests.chaos.soak import Soaked, soak
from tests.chaos.studies import Plan, Result, undisturbed

VERDICTS = [{"rung": 2, "loss": 0.75, "stops": False}]
CALM = [Result(0, {"x": 1.0}, "complete", 0.5), Result(1, {"x": 2.0}, "complete", 0.25, verdicts=VERDICTS)]
DIFFERING = "trials or verdicts that differ from the undisturbed study"


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "plan",
    [
        Plan("rugged", 50, 8, 5, "ET", rule="median"),
        Plan("rugged", 50, 8, 6, "ET", rule="promotion"),
        Plan("rugged", 50, 8, 7, "ET", rule="halving", mode="steady"),
        Plan("rugged", 10, 8, 8, "ET", rule="halving", has_two_rungs=True),
        Plan("rugged", 10, 8, 10, "ET", rule="groups", has_two_rungs=True),
        Plan("rugged", 10, 8, 9, "ET", rule="promotion", mode="steady", has_two_rungs=True),
    ],
    ids=lambda plan: f"{plan.rule}-{plan.mode}",
)
def test_a_study_under_every_fault_keeps_the_promises(tmp_path, plan):
    injected = list(kinds())
    random.Random(plan.seed).shuffle(injected)

    def calm(iterations):
        return undisturbed(plan, tmp_path / "undisturbed", iterations=iterations) if plan.mode == "batch" else []

    soaked = soak(plan, tmp_path, injected, workers=8, pace=1.0, seed=plan.seed, calm=calm, grow=True)
    found = broken(plan, soaked)
    assert not any(found.values()), (found, soaked.verify, soaked.stayed, soaked.wrong_exits, soaked.tracebacks)
    assert f"| all | {len(injected)} |" in table(plan, soaked, workers=8, command="pytest")
    assert len(soaked.faults) == len(injected)
    assert sum(fault.hit for fault in soaked.faults) > len(injected) / 2
    assert soaked.counts["pruned"] > 0


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("nothing", {}),
        ("trials lost", {"counts": {"ended": 15}}),
        ("results recorded twice", {"counts": {"doubled": 1}}),
        ("trials without an attempt of the same outcome", {"counts": {"without_attempt": 1}}),
        ("complete trials without all reports", {"counts": {"without_reports": 1}}),
        (DIFFERING, {"results": [CALM[0], CALM[1]._replace(loss=0.6)]}),
        (DIFFERING, {"results": [CALM[0], CALM[1]._replace(verdicts=[{"rung": 2, "loss": 0.75, "stops": True}])]}),
        (DIFFERING, {"results": [CALM[0], CALM[1]._replace(verdicts=[])]}),
        (DIFFERING, {"results": [CALM[0]._replace(cutoffs=[{"rung": 2, "loss": 0.75}]), CALM[1]]}),
        (DIFFERING, {"results": CALM[:1]}),
        ("iterations not told", {"counts": {"untold": 1}}),
        ("failures of machines that were counted as failures of the objective", {"counts": {"failures": 1}}),
        ("complete attempts without their artifact", {"counts": {"unsaved": 1}}),
        ("half-written checkpoints from which a trial continued", {"counts": {"torn": 1}}),
        ("damaged artifacts", {"counts": {"damaged": 1}}),
        ("files in the store that belong to no artifact", {"counts": {"spare": 1}}),
        ("attempts that never ended", {"attempts": Counter(complete=16, open=1)}),
        ("trainers that outlived their worker", {"outlived": 1}),
        ("workers that did not stop when asked at the end", {"stayed": ["worker-0001"]}),
        ("workers with a wrong exit code after SIGTERM in a trial", {"wrong_exits": ["worker-0001"]}),
        ("programs that ended with a traceback", {"tracebacks": ["manager-0001.log"]}),
        ("differences found by `ledger verify`", {"verify": "exit code 1"}),
    ],
)
def test_a_soak_that_breaks_a_promise_says_which(what, changed):
    counts = {"trials": 16, "ended": 16, "failures": 0, "doubled": 0, "without_attempt": 0, "untold": 0}
    counts["without_reports"] = 0
    counts |= {"unsaved": 0, "torn": 0, "damaged": 0, "spare": 0}
    kept = Soaked(
        seconds=1.0,
        faults=[],
        iterations=2,
        counts=counts | changed.get("counts", {}),
        attempts=Counter(complete=16),
        left=[],
        tracebacks=[],
        stayed=[],
        wrong_exits=[],
        outlived=0,
        verify="",
        results=CALM,
        undisturbed=CALM,
    )
    plan = Plan("rugged", iterations=2, batch_size=8, seed=1, base_estimator="ET")
    found = broken(plan, replace(kept, **{name: value for name, value in changed.items() if name != "counts"}))
    assert {name: count for name, count in found.items() if count} == ({} if what == "nothing" else {what: 1})
