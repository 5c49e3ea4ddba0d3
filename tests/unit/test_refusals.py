"""Pauses of a worker that cannot load a study's objective, and the reasons that the study's manager shows."""

from ledger.manager.refusals import common_refusal
from ledger.worker.refusals import LONGEST_PAUSE, RefusedStudies


def pauses(refusals, count):
    """Refuse study 7 as soon as the worker may try it again. Return the lengths of the pauses."""
    now, found = 0.0, []
    for _ in range(count):
        refusals.add(7, "no package", now)
        assert refusals.left_alone(now) == [7]
        pause = next(seconds for seconds in range(1, 1000) if not refusals.left_alone(now + seconds))
        found.append(pause)
        now += pause
    return found


def test_a_refused_study_is_left_alone_for_a_growing_bounded_time():
    found = pauses(RefusedStudies(), 9)
    assert found[:3] == [5, 10, 20]
    assert found[-2:] == [LONGEST_PAUSE, LONGEST_PAUSE]


def test_the_pause_is_short_again_after_the_objective_was_loaded():
    refusals = RefusedStudies()
    assert pauses(refusals, 3) == [5, 10, 20]
    assert 7 in refusals
    refusals.remove(7)
    assert 7 not in refusals
    assert pauses(refusals, 1) == [5]


def test_a_reason_is_new_once_for_each_study():
    refusals = RefusedStudies()
    said = [refusals.add(study, why, 0.0) for study, why in [(7, "a"), (7, "a"), (8, "a"), (7, "b"), (7, "b")]]
    assert said == [True, False, True, True, False]


def test_other_studies_are_not_left_alone():
    refusals = RefusedStudies()
    refusals.add(7, "no package", 0.0)
    assert refusals.left_alone(1.0) == [7]
    assert 8 not in refusals


def test_a_study_is_refused_in_common_only_by_all_live_workers():
    assert common_refusal({}, 0) is None
    assert common_refusal({}, 2) is None
    assert common_refusal({"a": "x"}, 2) is None
    assert common_refusal({"b": "y", "a": "x", "c": "x"}, 3) == "x; y"


def test_a_manager_shows_few_of_many_reasons():
    reasons = {f"worker {number}": f"reason {number}" for number in range(9)}
    assert common_refusal(reasons, 9) == "reason 0; reason 1; reason 2; 6 other reasons"
