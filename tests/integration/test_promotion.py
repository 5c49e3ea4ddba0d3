"""The rule promotion in the database: trials pause at a rung, and the manager lets the best of them go on."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, protocol, studies, trials
from ledger.database.managing import ClaimedStudy, DecidedRung
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.study.early_stopping import EarlyStopping
from ledger.study.verdicts import is_audited
from ledger.worker.trial_stopping import TrialStopping
from tests.integration.ledgers import (
    add_iteration,
    attempt,
    expire,
    finish,
    hold,
    spec,
    states,
    stop_clock,
    take,
    tell,
    trial,
    verified,
)
from tests.integration.moving import exported, moved
from tests.integration.recounting import check_totals
from tests.integration.test_early_stopped_studies import corrupt
from tests.integration.test_protocol import ENDED
from tests.integration.test_verdicts import verdicts

NAN = float("nan")


def start(db: Connection, trials: int = 4, **rule: Any) -> StudyRow:
    """A study with the rungs 1, 2 and 4, and one iteration of pending trials."""
    given = {"rule": "promotion", "eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, **rule}
    stopping = EarlyStopping(**given).model_dump(exclude_none=True)
    settings = {**spec(trials), "stopping": stopping, "resolved": {"initial_points": 2}}
    row = studies.create(db, "s", settings, "0" * 64, 100, {})
    assert row is not None
    add_iteration(db, row, 0, trials)
    return row


def pause(connection: psycopg.Connection[Any], losses: Sequence[float], first: int = 0) -> ClaimedTrial:
    """Claim a trial, report the losses of the steps from `first`, and pause at the last of these steps."""
    held = take(connection)
    steps = list(range(first, first + len(losses)))
    assert protocol.report(connection, held, steps, list(losses)) == "stop"
    assert protocol.prune(connection, held, 1.0) == "paused"
    return held


def promote(db: Connection, row: StudyRow, iteration: int = 0) -> list[DecidedRung]:
    held = hold(db, row)
    found = managing.promote(db, held, iteration)
    managing.leave_study(db, held)
    return found


@pytest.mark.parametrize("seconds", [60.0, -3600.0])
def test_a_clock_that_is_set_back_contradicts_no_comparison(db, connection, seconds):
    stop_clock(connection, 0.0)
    row = start(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        pause(connection, [0.9, loss])
    promote(db, row)
    trials.enqueue(db, row.id, [{"C": 7.0}])
    stop_clock(connection, seconds)
    late = take(connection)
    assert late.trial == 4
    assert protocol.report(connection, late, [0, 1], [0.9, 0.05]) == "stop"
    assert protocol.prune(connection, late, 1.0) == "paused"
    for _ in range(2):
        assert protocol.complete(connection, take(connection), 0.1, {}, 1.0) == "recorded"
    promote(db, row)
    assert verified(db) == 5


def test_the_missing_verdicts_of_a_rung_without_a_stop_are_named(url, db, connection):
    """With fewer trials than eta, both trials go on, so no later row depends on the verdicts."""
    row = start(db, 2, eta=3)
    for loss in (0.4, 0.3):
        pause(connection, [0.9, loss])
    promote(db, row)
    for _ in range(2):
        held = take(connection)
        assert protocol.complete(connection, held, 0.2 + held.trial / 10, {}, 1.0) == "recorded"
    assert tell(db, row, 0, 0.25, 0.2) == "told"
    assert verified(db) == 2
    document = exported(db)
    corrupt(url, "delete from ledger.verdict")
    corrupt(url, "delete from ledger.cutoff")
    said = "trial 0: the number of paused attempts is 1, but the number of verdicts is 0"
    with pytest.raises(LedgerError, match=said):
        verified(db)
    with pytest.raises(UsageError, match=said):
        read("export.json", json.dumps(document | {"verdicts": [], "cutoffs": []}).encode())


def test_a_cutoff_of_a_group_is_named(url, db, connection):
    row = start(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        pause(connection, [0.9, loss])
    promote(db, row)
    corrupt(url, "update ledger.cutoff set group_number = 1")
    with pytest.raises(LedgerError, match="iteration 0: the cutoff at rung 1 belongs to group 1"):
        verified(db)


def test_the_pause_of_the_last_open_trial_is_told(url, db, connection):
    row = start(db, 2)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {ENDED}")
        pause(connection, [0.9, 0.4])
        assert not list(listener.notifies(timeout=0.2))
        pause(connection, [0.9, 0.3])
        heard = list(listener.notifies(timeout=5, stop_after=1))
    assert [told.payload for told in heard] == [str(row.id)]


def test_the_best_paused_trials_go_on_and_the_others_are_pruned(db, connection):
    row = start(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        pause(connection, [0.9, loss])
    assert states(db, row) == ["paused"] * 4
    assert promote(db, row) == [DecidedRung(1, 4, 2)]
    assert states(db, row) == ["pruned", "pruned", "pending", "pending"]
    assert verdicts(connection, 1) == [(1, 1, 0.3, 0.3, 4, True)]
    assert verdicts(connection, 2) == [(1, 1, 0.2, 0.3, 4, False)]
    assert connection.execute("select iteration, rung, loss, compared, trial from ledger.cutoff").fetchall() == [
        (0, 1, 0.3, 4, 1)
    ]
    ended = trial(connection, 1)
    assert (ended["pruned_step"], ended["pruned_loss"], ended["error"]) == (1, 0.3, None)
    assert promote(db, row) == []
    assert verified(db) == 4


def test_an_attempt_that_pauses_counts_against_no_limit(db, connection):
    row = start(db, trials=1)
    held = pause(connection, [0.9, 0.4])
    paused = trial(connection)
    assert (paused["state"], paused["claim"], paused["lease_until"], paused["finished_at"]) == ("paused", *[None] * 3)
    assert (paused["attempts"], paused["failures"], paused["crashes"], paused["lost"]) == (1, 0, 0, 0)
    assert (paused["worker"], attempt(connection, held.claim)["outcome"]) == ("w", "paused")
    assert protocol.claim(connection, "s", [uuid.uuid4()], "w") == []
    assert verified(db) == 1
    promote(db, row)
    check_totals(connection, row.id)


def test_a_repeated_call_of_a_paused_trial_changes_nothing(db, connection):
    start(db)
    held = pause(connection, [0.9, 0.4])
    before = trial(connection)
    assert protocol.prune(connection, held, 2.0) == "already"
    assert protocol.complete(connection, held, 0.1, {}, 1.0) == "stale"
    assert protocol.fail(connection, held, "no", 1.0) == "stale"
    assert protocol.report(connection, held, [3], [0.1]) == "stale"
    assert not protocol.heartbeat(connection, held)
    assert not protocol.release(connection, held)
    assert trial(connection) == before
    assert attempt(connection, held.claim)["outcome"] == "paused"


def test_a_promoted_trial_passes_the_decided_rungs_again(db, connection):
    row = start(db, trials=2)
    for loss in (0.2, 0.1):
        pause(connection, [0.9, loss])
    promote(db, row)
    again = take(connection)
    assert (again.trial, again.attempt) == (1, 2)
    own = TrialStopping(again.stopping)
    for step, answer in ((0, "continue"), (1, "continue"), (2, "stop")):
        own.observe(step, 0.5)
        assert protocol.report(connection, again, [step], [0.5]) == answer
        assert own.is_stopped == (answer == "stop")
    assert protocol.prune(connection, again, 1.0) == "paused"
    assert promote(db, row) == [DecidedRung(2, 1, 1)]
    assert verdicts(connection, 1) == [(1, 1, 0.1, 0.2, 2, False), (2, 2, 0.5, None, 1, False)]


def test_a_promoted_trial_continues_after_its_checkpoint(db, connection):
    row = start(db, trials=2)
    for loss in (0.2, 0.1):
        pause(connection, [0.9, loss])
    promote(db, row)
    pause(connection, [0.5], first=2)
    assert promote(db, row) == [DecidedRung(2, 1, 1)]
    held = take(connection)
    assert protocol.report(connection, held, [3], [0.5]) == "continue"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert verified(db) == 2


def test_nothing_is_decided_while_a_trial_is_pending_or_running(db, connection):
    row = start(db, trials=3)
    pause(connection, [0.9, 0.4])
    assert promote(db, row) == []
    running = take(connection)
    last = take(connection)
    protocol.fail(connection, last, "no", 1.0)
    for _ in range(2):
        protocol.fail(connection, take(connection), "no", 1.0)
    assert promote(db, row) == []
    assert protocol.report(connection, running, [1], [0.3]) == "stop"
    assert promote(db, row) == []
    assert protocol.prune(connection, running, 1.0) == "paused"
    assert promote(db, row) == [DecidedRung(1, 2, 1)]
    assert states(db, row) == ["pruned", "pending", "failed"]


def test_of_equal_losses_the_trials_with_lower_numbers_go_on(db, connection):
    row = start(db)
    for _ in range(4):
        pause(connection, [0.9, 0.2])
    assert promote(db, row) == [DecidedRung(1, 4, 2)]
    assert states(db, row) == ["pending", "pending", "pruned", "pruned"]
    assert verified(db) == 4


def test_a_trial_without_a_finite_loss_never_goes_on(db, connection):
    row = start(db, trials=3)
    for loss in (NAN, 0.3, NAN):
        pause(connection, [0.9, loss])
    assert promote(db, row) == [DecidedRung(1, 3, 1)]
    assert states(db, row) == ["pruned", "pending", "pruned"]
    assert trial(connection)["pruned_loss"] is None
    assert verified(db) == 3


def test_of_fewer_than_eta_trials_each_trial_with_a_loss_goes_on(db, connection):
    row = start(db, trials=3, eta=4)
    for loss in (0.2, NAN, 0.3):
        pause(connection, [0.9, loss])
    assert promote(db, row) == [DecidedRung(1, 3, 2)]
    assert states(db, row) == ["pending", "pruned", "pending"]
    assert verified(db) == 3


def reach(
    db: Connection,
    connection: psycopg.Connection[Any],
    row: StudyRow,
    iteration: int,
    rung: int,
    losses: Sequence[float],
) -> list[DecidedRung]:
    """Let the next trials of an iteration reach a rung with these losses, and promote."""
    for loss in losses:
        pause(connection, [loss], first=rung)
    return promote(db, row, iteration)


def end(db: Connection, connection: psycopg.Connection[Any], row: StudyRow, iteration: int) -> None:
    """Complete the promoted trials of an iteration, and tell the iteration."""
    left = states(db, row).count("pending")
    for _ in range(left):
        assert protocol.complete(connection, take(connection), 0.5, {}, 1.0) == "recorded"
    loss = 0.5 if left else None
    assert tell(db, row, iteration, loss, loss) == "told"


def cutoffs(connection: psycopg.Connection[Any], iteration: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select rung, loss, compared, trial from ledger.cutoff where iteration = %s order by rung", (iteration,)
    ).fetchall()


@pytest.fixture
def compared(db, connection) -> StudyRow:
    """Three iterations of 4 trials, of which 2 reach the rung 2."""
    row = start(db)
    assert reach(db, connection, row, 0, 1, (0.8, 0.7, 0.6, 0.5)) == [DecidedRung(1, 4, 2)]
    assert reach(db, connection, row, 0, 2, (0.3, 0.1)) == [DecidedRung(2, 2, 1)]
    assert reach(db, connection, row, 0, 4, (0.1,)) == [DecidedRung(4, 1, 1)]
    end(db, connection, row, 0)
    add_iteration(db, row, 1, 4)
    assert reach(db, connection, row, 1, 1, (0.1, 0.2, 0.3, 0.4)) == [DecidedRung(1, 4, 2)]
    assert reach(db, connection, row, 1, 2, (0.05, 0.08)) == [DecidedRung(2, 2, 2)]
    assert reach(db, connection, row, 1, 4, (0.2, 0.05)) == [DecidedRung(4, 2, 1)]
    end(db, connection, row, 1)
    add_iteration(db, row, 2, 4)
    assert reach(db, connection, row, 2, 1, (0.9, 0.9, 0.9, 0.9)) == [DecidedRung(1, 4, 2)]
    assert reach(db, connection, row, 2, 2, (0.08, 0.5)) == [DecidedRung(2, 2, 0)]
    end(db, connection, row, 2)
    return row


def test_a_rung_with_few_trials_also_compares_earlier_trials(compared, db, connection):
    assert cutoffs(connection, 0) == [(1, 0.7, 4, 1), (2, 0.3, 2, 2), (4, None, 1, None)]
    # Rung 1 has as many trials as the batch size, so it compares no earlier trials. At rung 2, both trials are better
    # than trials 2 and 3. At rung 4, there is one earlier trial.
    assert cutoffs(connection, 1) == [(1, 0.3, 4, 6), (2, 0.1, 4, 3), (4, 0.1, 3, 3)]
    # the latest trials are 4 and 5, and trial 5 has the same loss and a lower number
    assert cutoffs(connection, 2) == [(1, 0.9, 4, 10), (2, 0.08, 4, 8)]
    assert verdicts(connection, 8) == [(1, 1, 0.9, 0.9, 4, False), (2, 2, 0.08, 0.08, 4, True)]
    assert states(db, compared)[8:] == ["pruned"] * 4
    assert verified(db) == 12


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [
                "update ledger.verdict set loss = 0.2 where trial = 3 and rung = 2",
                "update ledger.report set loss = 0.2 where trial = 3 and step = 2",
            ],
            "iteration 1: the cutoff at rung 2 is 0.1 of trial 3, but .* result in 0.2 of trial 3",
        ),
        (
            ["update ledger.cutoff set compared = 3 where iteration = 1 and rung = 2"],
            "iteration 1: the cutoff at rung 2 compares 3 trials, but .* result in 4 compared trials",
        ),
        (
            ["update ledger.cutoff set trial = 2 where iteration = 1 and rung = 2"],
            "iteration 1: the cutoff at rung 2 is 0.1 of trial 2, but .* result in 0.1 of trial 3",
        ),
        (
            ["delete from ledger.verdict where trial = 4 and rung = 2"],
            "trial 4: the trial has reached rung 2, but the verdict is missing",
        ),
        (
            ["delete from ledger.cutoff where iteration = 1 and rung = 2"],
            "iteration 1: the cutoff at rung 2 is missing",
        ),
    ],
)
def test_a_corrupted_comparison_with_earlier_trials_is_named(compared, db, url, changes, said):
    for change in changes:
        corrupt(url, change)
    with pytest.raises(LedgerError, match=said):
        verified(db)


def test_a_later_trial_does_not_change_the_recorded_comparison(db, connection):
    row = start(db)
    assert reach(db, connection, row, 0, 1, (0.4, 0.3, 0.2, 0.1)) == [DecidedRung(1, 4, 2)]
    end(db, connection, row, 0)
    add_iteration(db, row, 1, 2)
    assert reach(db, connection, row, 1, 1, (0.35, 0.25)) == [DecidedRung(1, 2, 0)]
    trials.enqueue(db, row.id, [{"C": 500.0}])
    assert reach(db, connection, row, 1, 1, (0.3,)) == [DecidedRung(1, 1, 0)]
    assert cutoffs(connection, 1) == [(1, 0.25, 4, 5)]
    end(db, connection, row, 1)
    add_iteration(db, row, 2, 1)
    assert reach(db, connection, row, 2, 1, (0.3,)) == [DecidedRung(1, 1, 0)]
    assert cutoffs(connection, 2) == [(1, 0.3, 4, 7)], "the trials 4 to 7 are compared"
    assert verified(db) == 8


def test_an_audited_trial_of_an_earlier_iteration_is_not_compared(db, connection):
    share, count = 0.3, 5
    row = start(db, trials=count, audit=share)
    audited = [number for number in range(2 * count) if is_audited(42, number, share)]
    assert any(number < count for number in audited)
    for number in range(count):
        held = take(connection)
        protocol.report(connection, held, [1], [0.5])
        if number not in audited:
            protocol.prune(connection, held, 1.0)
        else:
            assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    promote(db, row)
    end(db, connection, row, 0)
    own = count - sum(number < count for number in audited)
    add_iteration(db, row, 1, 1)
    assert count not in audited
    assert reach(db, connection, row, 1, 1, (0.1,)) == [DecidedRung(1, 1, 1)]
    assert [compared for _, _, compared, _ in cutoffs(connection, 1)] == [own + 1]
    end(db, connection, row, 1)
    assert verified(db) == count + 1


def test_trials_that_ended_after_the_rung_are_compared(db, connection):
    row = start(db)
    never_asks = take(connection)
    assert protocol.report(connection, never_asks, [0, 1, 5], [0.9, 0.1, 0.1]) == "stop"
    assert protocol.complete(connection, never_asks, 0.1, {}, 1.0) == "recorded"
    pause(connection, [0.9, 0.2])
    cancelled = pause(connection, [0.9, 0.3])
    assert trials.cancel(db, row.id, [cancelled.trial], "not wanted") == []
    pause(connection, [0.9, 0.4])
    assert promote(db, row) == [DecidedRung(1, 4, 2)]
    assert states(db, row) == ["complete", "pending", "cancelled", "pruned"]
    assert verified(db) == 4


def test_a_paused_trial_can_be_cancelled(db, connection):
    row = start(db, trials=1)
    pause(connection, [0.9, 0.2])
    assert trials.cancel(db, row.id, [0], "not wanted") == []
    ended = trial(connection)
    assert (ended["state"], ended["error"]) == ("cancelled", "not wanted")
    assert promote(db, row) == []
    assert verified(db) == 1


def test_a_study_with_paused_trials_can_be_cancelled(db, connection):
    row = start(db, trials=2)
    pause(connection, [0.9, 0.2])
    studies.cancel(db, row.id, "enough")
    assert states(db, row) == ["cancelled", "cancelled"]


def test_a_trial_that_joins_later_is_judged_by_the_recorded_cutoff(db, connection):
    row = start(db, trials=3)
    for loss in (0.4, 0.2, 0.1):
        pause(connection, [0.9, loss])
    assert promote(db, row) == [DecidedRung(1, 3, 1)]
    trials.enqueue(db, row.id, [{"C": 500.0}, {"C": 501.0}])
    for loss in (0.15, 0.25):
        pause(connection, [0.9, loss])
    promoted = take(connection)
    assert promote(db, row) == [], "the first promoted trial is running"
    assert protocol.report(connection, promoted, [2], [0.1]) == "stop"
    assert protocol.prune(connection, promoted, 1.0) == "paused"
    assert promote(db, row) == [DecidedRung(1, 2, 1)], "the rung 2 waits for the trial that goes on"
    assert states(db, row) == ["pruned", "pruned", "paused", "pending", "pruned"]
    pause(connection, [0.05], first=2)
    assert promote(db, row) == [DecidedRung(2, 2, 1)]
    assert states(db, row) == ["pruned", "pruned", "pruned", "pending", "pruned"]
    assert verified(db) == 5


def test_a_retried_trial_joins_the_comparison(db, connection):
    row = start(db, trials=2)
    for _ in range(3):
        protocol.fail(connection, take(connection), "no", 1.0)
    pause(connection, [0.9, 0.2])
    assert trials.retry(db, row.id, [0]) == [2]
    pause(connection, [0.9, 0.1])
    assert promote(db, row) == [DecidedRung(1, 2, 1)]
    assert states(db, row) == ["failed", "pruned", "pending"]
    assert verified(db) == 3


def test_a_trial_that_has_reached_several_rungs_waits_at_each(db, connection):
    row = start(db)
    pause(connection, [0.9, 0.1, 0.1, 0.1, 0.1])
    for loss in (0.2, 0.3, 0.4):
        pause(connection, [0.9, loss])
    assert promote(db, row) == [DecidedRung(1, 4, 2)]
    assert states(db, row) == ["paused", "pending", "pruned", "pruned"]
    pause(connection, [0.05], first=2)
    assert promote(db, row) == [DecidedRung(2, 2, 1)]
    assert states(db, row) == ["pruned", "pending", "pruned", "pruned"]
    assert verdicts(connection, 0) == [(1, 1, 0.1, 0.3, 4, False), (2, 2, 0.1, 0.1, 2, True)]
    assert verified(db) == 4


def test_trials_that_skip_the_first_rungs_are_compared_at_a_later_rung(db, connection):
    row = start(db)
    for loss in (0.4, 0.3, 0.2, 0.1):
        held = take(connection)
        assert protocol.report(connection, held, [3], [loss]) == "continue"
        assert protocol.report(connection, held, [6], [loss]) == "stop"
        assert protocol.prune(connection, held, 1.0) == "paused"
    assert promote(db, row) == [DecidedRung(4, 4, 2)]
    assert states(db, row) == ["pruned", "pruned", "pending", "pending"]
    for _ in range(2):
        assert protocol.complete(connection, take(connection), 0.1, {}, 1.0) == "recorded"
    assert tell(db, row, 0, 0.1, 0.1) == "told"
    assert verified(db) == 4


def test_rungs_are_decided_together_if_no_trial_could_still_reach_them(db, connection):
    row = start(db, trials=1)
    pause(connection, [0.9] * 5)
    assert promote(db, row) == [DecidedRung(rung, 1, 1) for rung in (1, 2, 4)]
    assert states(db, row) == ["pending"]


def test_an_audited_trial_never_pauses_and_is_not_compared(db, connection):
    share, count = 0.3, 12
    row = start(db, trials=count, audit=share)
    audited = {number for number in range(count) if is_audited(42, number, share)}
    others = sorted(set(range(count)) - audited)
    assert len(audited) >= 2
    running = []
    for number in range(count):
        held = take(connection)
        answer = protocol.report(connection, held, [0, 1], [0.9, 1.0 - number / 100])
        assert answer == ("continue" if number in audited else "stop")
        assert protocol.prune(connection, held, 1.0) == ("continue" if number in audited else "paused")
        if number in audited:
            assert held.stopping is not None
            assert held.stopping["audited"]
            running.append(held)
    assert promote(db, row) == [DecidedRung(1, len(others), len(others) // 2)], "does not wait for the audited trials"
    assert connection.execute("select trial from ledger.verdict where audited").fetchall() == []
    for held in running:
        assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    for _ in range(len(others) // 2):
        protocol.complete(connection, take(connection), 0.5, {}, 1.0)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    rows = connection.execute("select trial, rung, compared, stops from ledger.verdict where audited").fetchall()
    limit = 1.0 - others[-(len(others) // 2) - 1] / 100
    assert sorted(rows) == [(number, 1, len(others), 1.0 - number / 100 >= limit) for number in sorted(audited)]
    assert verified(db) == count


def test_an_iteration_skips_the_first_rungs_of_its_bracket(db, connection):
    row = start(db, trials=2, brackets=3)
    for loss in (0.2, 0.1):
        pause(connection, [0.9, loss])
    promote(db, row)
    protocol.complete(connection, take(connection), 0.1, {}, 1.0)
    assert tell(db, row, 0, 0.1, 0.1) == "told"
    add_iteration(db, row, 1, 2)
    for loss in (0.2, 0.1):
        held = take(connection)
        assert protocol.report(connection, held, [0, 1], [0.9, 0.9]) == "continue"
        assert protocol.report(connection, held, [2], [loss]) == "stop"
        assert protocol.prune(connection, held, 1.0) == "paused"
    assert promote(db, row, 1) == [DecidedRung(2, 2, 1)]
    assert verified(db) == 4


def test_a_paused_trial_keeps_the_iteration_and_the_study_open(db, connection):
    row = start(db, trials=1)
    pause(connection, [0.9, 0.2])
    assert tell(db, row, 0, None, None) == "changed"
    assert finish(db, row, "complete") == "changed"


def test_a_study_that_its_timeout_ends_keeps_its_paused_trials(db, connection, advance):
    row = start(db, trials=2)
    pause(connection, [0.9, 0.2])
    with db.begin():
        db.exec_driver_sql("update ledger.study set timeout_seconds = 60")
    held = hold(db, row)
    pause(connection, [0.9, 0.1])
    advance(61)
    assert managing.stop(db, held) == "stopping", "the trials are open"
    assert managing.stop(db, held) == "stopped"
    assert states(db, row) == ["paused", "paused"]
    assert verified(db) == 2


def test_only_the_manager_that_holds_the_study_promotes(db, connection):
    row = start(db, trials=1)
    pause(connection, [0.9, 0.2])
    held = hold(db, row)
    assert managing.promote(db, ClaimedStudy(row.id, uuid.uuid4()), 0) == []
    assert states(db, row) == ["paused"]
    assert managing.promote(db, held, 0) == [DecidedRung(1, 1, 1)]
    assert managing.promote(db, held, 7) == []


def test_a_claim_that_was_replaced_does_not_pause_the_trial(db, connection, advance):
    row = start(db, trials=1)
    zombie = take(connection)
    assert protocol.report(connection, zombie, [1], [0.5]) == "stop"
    advance(31)
    assert expire(db, connection) == "pending"
    assert promote(db, row) == [], "the trial is pending"
    successor = take(connection)
    assert protocol.prune(connection, zombie, 1.0) == "stale"
    assert trial(connection)["state"] == "running"
    assert protocol.prune(connection, successor, 1.0) == "continue", "the attempt has reached no rung"
    assert protocol.report(connection, successor, [2], [0.4]) == "stop", "it continues after a checkpoint of step 1"
    assert protocol.prune(connection, successor, 1.0) == "paused"
    assert promote(db, row) == [DecidedRung(1, 1, 1), DecidedRung(2, 1, 1)]
    assert verdicts(connection, 0) == [(1, 1, 0.5, None, 1, False), (2, 2, 0.4, None, 1, False)]


def test_a_late_pause_counts_if_no_other_worker_has_claimed_the_trial(db, connection, advance):
    start(db, trials=1)
    held = take(connection)
    assert protocol.report(connection, held, [1], [0.5]) == "stop"
    advance(31)
    assert expire(db, connection) == "pending"
    assert protocol.prune(connection, held, 1.0) == "paused"
    assert attempt(connection, held.claim)["outcome"] == "paused"


def test_a_locked_paused_trial_delays_the_decision(db, connection, url):
    row = start(db, trials=2)
    for loss in (0.2, 0.1):
        pause(connection, [0.9, loss])
    with psycopg.connect(url) as other:
        other.execute("select ledger.cancel_trials(%s, 1, 'not wanted')", (row.id,))
        assert promote(db, row) == []
        other.rollback()
    assert promote(db, row) == [DecidedRung(1, 2, 1)]


def test_a_pause_counts_as_no_release(db, connection):
    row = start(db, trials=1, min_resource=1, max_resource=2**10)
    for rung in range(8):
        pause(connection, [0.5], first=2**rung)
        promote(db, row)
    assert protocol.release(connection, take(connection))
    waits = connection.execute("select available_at > ledger.clock() from ledger.trial").fetchone()
    assert waits == (False,)


def test_an_import_keeps_a_paused_trial(db, connection):
    row = start(db, trials=2)
    for loss in (0.2, 0.1):
        pause(connection, [0.9, loss])
    copied = moved(db, exported(db), "copy")
    assert states(db, copied) == ["paused", "paused"]
    held = ClaimedStudy(copied.id, uuid.uuid4())
    assert managing.claim_study(db, held, "m", 30.0) == "held"
    assert managing.promote(db, held, 0) == [DecidedRung(1, 2, 1)]
    assert states(db, copied) == ["pruned", "pending"]
    assert states(db, row) == ["paused", "paused"]


@pytest.mark.parametrize(
    "stopping",
    [
        {"brackets": 4},
        {"brackets": 0},
        {"brackets": 2, "rule": "halving"},
        {"brackets": "2"},
    ],
)
def test_the_database_refuses_brackets_that_no_reader_could_read(db, stopping):
    row = start(db, trials=1)
    settings = {**row.spec, "stopping": {**row.spec["stopping"], **stopping}}
    with pytest.raises(Exception, match="as many brackets"):
        studies.create(db, "other", settings, "0" * 64, 1, {})
    db.rollback()
