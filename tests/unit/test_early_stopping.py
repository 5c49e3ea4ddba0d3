"""The rule that stops trials early: its settings, its rungs and its verdicts."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ledger.errors import UsageError
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble
from ledger.study.verdicts import cutoff, goes_on, is_audited, promotion_cutoff, stops

losses = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5]), st.floats(-1e9, 1e9)), max_size=40)


def better(loss: float | None, other: float | None) -> bool:
    """Whether a later trial is better than an earlier one: NaN is the worst, and the earlier trial wins a tie."""
    return loss is not None and (other is None or loss < other)


@given(losses, st.one_of(st.none(), st.floats(-1e9, 1e9)), st.integers(2, 16))
def test_halving_lets_the_best_share_of_the_trials_go_on(earlier, own, eta):
    stopped = stops(own, cutoff("halving", eta, earlier))
    rank = sum(not better(own, other) for other in earlier)  # the number of trials that are better
    share = max(1, (len(earlier) + 1) // eta)
    assert stopped == (len(earlier) >= eta and (own is None or rank >= share))


@given(losses, st.one_of(st.none(), st.floats(-1e9, 1e9)), st.integers(2, 16))
def test_the_median_rule_stops_what_is_not_better_than_half_of_the_trials(earlier, own, eta):
    stopped = stops(own, cutoff("median", eta, earlier))
    beaten = sum(better(own, other) for other in earlier)
    assert stopped == (len(earlier) >= eta and (own is None or beaten < len(earlier) - len(earlier) // 2))


@given(losses, st.integers(2, 16), st.randoms(use_true_random=False))
def test_a_cutoff_does_not_depend_on_the_order_of_the_trials(earlier, eta, random):
    shuffled = list(earlier)
    random.shuffle(shuffled)
    assert cutoff("halving", eta, shuffled) == cutoff("halving", eta, earlier)


@given(losses, st.integers(2, 16))
def test_a_promotion_lets_the_best_share_of_the_trials_go_on(arrived, eta):
    arrivals = list(enumerate(arrived))
    limit = promotion_cutoff(eta, arrivals)
    going = {trial for trial, loss in arrivals if goes_on(loss, trial, limit)}
    with_loss = [trial for trial, loss in arrivals if loss is not None]
    share = max(1, len(arrivals) // eta) if len(arrivals) >= eta else len(arrivals)
    assert len(going) == min(share, len(with_loss))
    assert all(not better(arrived[other], arrived[trial]) for trial in going for other in set(with_loss) - going)


@given(losses, st.integers(2, 16), st.randoms(use_true_random=False))
def test_a_promotion_does_not_depend_on_the_order_of_the_trials(arrived, eta, random):
    arrivals = list(enumerate(arrived))
    shuffled = list(arrivals)
    random.shuffle(shuffled)
    assert promotion_cutoff(eta, shuffled) == promotion_cutoff(eta, arrivals)


def test_of_equal_losses_the_trial_with_the_lower_number_goes_on():
    limit = promotion_cutoff(2, [(7, 0.5), (3, 0.5), (5, 0.5), (4, 0.5)])
    assert [trial for trial in (3, 4, 5, 7) if goes_on(0.5, trial, limit)] == [3, 4]


def test_the_iterations_take_turns_in_the_brackets():
    rule = EarlyStopping(rule="promotion", eta=2, min_resource=1, max_resource=8, brackets=2)
    assert [rule.rungs_of(iteration) for iteration in range(3)] == [(1, 2, 4), (2, 4), (1, 2, 4)]


def test_no_trial_is_stopped_before_eta_trials_have_reached_the_rung():
    assert cutoff("halving", 3, [0.1, 0.2]) is None
    assert not stops(None, None)
    assert cutoff("halving", 3, [0.1, 0.2, 0.3]) == 0.1


def test_a_trial_with_a_loss_goes_on_beside_trials_without_one():
    assert cutoff("halving", 2, [None, None]) == math.inf
    assert not stops(1e300, math.inf)
    assert stops(None, math.inf)


@given(st.integers(2, 16), st.integers(1, 1000), st.integers(2, 10**9))
def test_the_rungs_of_halving_grow_by_eta_below_the_whole_training(eta, first, last):
    if first >= last:
        return
    rungs = EarlyStopping(rule="halving", eta=eta, min_resource=first, max_resource=last).rungs
    assert rungs[0] == first
    assert all(later == earlier * eta for earlier, later in pairwise(rungs))
    assert rungs[-1] < last <= rungs[-1] * eta


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "halving"}, "max_resource is missing; rule halving needs the number of steps of a whole training"),
        (
            {"rule": "median", "min_resource": 5, "max_resource": 5},
            "min_resource 5 is not below max_resource 5; set min_resource below max_resource",
        ),
        (
            {"rule": "median", "max_resource": 1000},
            "min_resource 1 gives 999 rungs, but at most 100 are possible; set min_resource to at least 10",
        ),
        (
            {"rule": "asha"},
            '"asha" cannot be used: use promotion in steady mode; choose none, halving, promotion, median',
        ),
        ({"rule": "hyperband"}, '"hyperband" cannot be used: use promotion with brackets; choose none, halving'),
        (
            {"rule": "halving", "max_resource": 9, "brackets": 2},
            "brackets 2 needs the rule `promotion`; set rule to promotion, or remove brackets",
        ),
        (
            {"rule": "promotion", "max_resource": 27, "brackets": 4},
            "brackets 4 is larger than the number of rungs, which is 3; set brackets to at most 3",
        ),
        (
            {"rule": "median", "max_resource": 9, "group_size": 4},
            "group_size 4 needs the rule `halving`; set rule to halving, or remove group_size",
        ),
        ({"rule": "halving", "max_resource": 9, "group_size": 0}, "greater than or equal to 1"),
        ({"rule": "halving", "eta": 1, "max_resource": 9}, "greater than or equal to 2"),
        ({"audit": float("nan")}, "finite number"),
    ],
)
def test_settings_without_rungs_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        EarlyStopping(**settings)


def test_the_advised_first_rung_is_accepted():
    assert len(EarlyStopping(rule="median", min_resource=10, max_resource=1000).rungs) == 99


@given(st.integers(0, 2**31 - 1))
def test_the_share_of_the_audit_is_nested_and_about_as_large_as_asked(seed):
    audited = {share: {n for n in range(400) if is_audited(seed, n, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert audited[0.0] == set()
    assert audited[0.1] <= audited[0.5] <= audited[1.0] == set(range(400))
    assert 5 <= len(audited[0.1]) <= 90


def test_steady_mode_promotes_trials_but_has_no_brackets():
    tables: dict[str, dict[str, Any]] = {
        "study": {"mode": "steady"},
        "objective": {"function": "m:f"},
        "space": {"x": {"type": "real", "low": 0.0, "high": 1.0}},
        "stopping": {"rule": "promotion", "max_resource": 27},
    }
    assert assemble({}, tables=tables).stopping.rungs == (1, 3, 9)
    tables["stopping"]["brackets"] = 2
    with pytest.raises(UsageError, match="steady mode has no brackets, because the rule compares all trials"):
        assemble({}, tables=tables)


def test_only_batch_mode_has_groups():
    tables: dict[str, dict[str, Any]] = {
        "study": {"mode": "batch"},
        "objective": {"function": "m:f"},
        "space": {"x": {"type": "real", "low": 0.0, "high": 1.0}},
        "stopping": {"rule": "halving", "max_resource": 27, "group_size": 8},
    }
    found = assemble({}, tables=tables)
    assert found.asked()["stopping"]["group_size"] == 8
    tables["stopping"].pop("group_size")
    without = assemble({}, tables=tables)
    assert "group_size" not in without.asked()["stopping"], "the hash of an older study does not change"
    assert without.spec_hash != found.spec_hash
    tables["study"]["mode"], tables["stopping"]["group_size"] = "steady", 8
    with pytest.raises(UsageError, match="steady mode has no groups, because the rule compares a trial with all"):
        assemble({}, tables=tables)
