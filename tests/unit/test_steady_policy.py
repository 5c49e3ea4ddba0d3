"""Tests of the requests of the policy for steady mode, with the rule promotion."""

from types import SimpleNamespace
from typing import Any

from ledger.manager.policy import PromotionRequest, ProposalRequest, StudyEnd
from ledger.manager.steady import SteadyPolicy
from ledger.study.file import assemble

STUDY = assemble({"model": "svm", "seed": 7, "mode": "steady"})


def history(*, running: int = 0, waiting: int = 0, counted: int = 0, failed: int = 0, is_proven: bool = True) -> Any:
    """What a manager knows of a study with this many trials."""
    numbers = list(range(counted))
    trials = [SimpleNamespace(number=number, source="proposed", state="complete", failures=0) for number in numbers]
    return SimpleNamespace(
        tried=[] if is_proven else trials,
        open=set(numbers[waiting : waiting + running]),
        waiting=dict.fromkeys(numbers[:waiting], 1),
        pauses=True,
        seen=[3, 1],
        seen_rungs=[None, 1],
        next_iteration=5,
        counted=counted,
        counted_failed=failed,
        is_proven=is_proven,
    )


def asked(budget: int = 10, batch_size: int = 4, **known: Any) -> Any:
    policy = SteadyPolicy(STUDY, history(**known), budget, batch_size, another_round=False)
    return policy.next(budget, batch_size)


def test_paused_trials_are_not_in_flight_and_come_before_new_trials():
    proposal = ProposalRequest(5, 0, 3, [3, 1], [None, 1])
    assert asked(running=1, waiting=2, counted=4) == PromotionRequest(3, proposal)
    assert asked(running=1, counted=4) == proposal


def test_without_a_free_slot_nothing_is_requested():
    assert asked(running=4, waiting=3, counted=8) is None


def test_the_budget_limits_the_new_trials_but_not_the_promotions():
    assert asked(running=1, waiting=3, counted=9) == PromotionRequest(3, ProposalRequest(5, 0, 1, [3, 1], [None, 1]))
    assert asked(running=1, waiting=3, counted=10) == PromotionRequest(3, None)


def test_the_study_ends_when_no_paused_trial_can_go_on():
    assert asked(waiting=3, counted=10) == PromotionRequest(4, StudyEnd("complete"))
    assert asked(counted=10) == StudyEnd("complete")


def test_new_trials_replace_paused_trials_before_a_trial_is_complete():
    proposal = ProposalRequest(5, 0, 4, [3, 1], [None, 1])
    assert asked(waiting=4, counted=4) == PromotionRequest(4, proposal)


def test_without_the_rule_the_request_has_no_rungs():
    known = history(running=1, counted=4)
    known.pauses = False
    found = SteadyPolicy(STUDY, known, 10, 4, another_round=False).next(10, 4)
    assert found == ProposalRequest(5, 0, 3, [3, 1])
