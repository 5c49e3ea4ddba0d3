"""The two-look rule: an expired claim is taken back only after its lease was watched while it ran out."""

from datetime import UTC, datetime, timedelta

from ledger.manager.reaper import LeaseMonitor

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


def watched(watch, moments, until=lambda now: UNTIL):
    """What each look at trial 7 says."""
    return [dict(watch.look(now, [(7, until(now))])) for now in moments]


def test_a_lease_seen_unchanged_for_a_whole_lease_has_run_out():
    answers = watched(LeaseMonitor(10.0), [100, 104, 108, 109.9, 110, 111])
    assert answers == [{}, {}, {}, {}, {7: UNTIL}, {7: UNTIL}]


def test_a_first_look_expires_no_lease():
    assert watched(LeaseMonitor(10.0), [1e9]) == [{}]


def test_a_renewed_lease_is_watched_from_its_renewal():
    renewed = UNTIL + timedelta(seconds=10)
    answers = watched(LeaseMonitor(10.0), range(100, 120, 2), lambda now: UNTIL if now < 108 else renewed)
    assert answers == [{}] * 9 + [{7: renewed}]


def test_an_interrupted_contact_restarts_the_watch():
    assert watched(LeaseMonitor(10.0), [100, 104, 108, 114, 118, 120, 123.9, 124]) == [{}] * 7 + [{7: UNTIL}]


def test_a_trial_that_was_not_running_at_a_look_is_watched_again():
    watch = LeaseMonitor(10.0)
    watch.look(100, [(7, UNTIL)])
    watch.look(105, [])
    assert watched(watch, [109, 110, 114, 118.9]) == [{}] * 4


def test_each_trial_is_watched_by_itself():
    watch = LeaseMonitor(10.0)
    watch.look(100, [(1, UNTIL)])
    watch.look(105, [(1, UNTIL), (2, UNTIL)])
    assert dict(watch.look(110, [(1, UNTIL), (2, UNTIL)])) == {1: UNTIL}


def test_a_short_lease_runs_out_under_looks_that_are_seldom():
    assert watched(LeaseMonitor(0.3), [100, 100.4])[-1] == {7: UNTIL}
    assert watched(LeaseMonitor(0.3), [100, 103]) == [{}, {}]
