"""A study ends at its target, its patience or its timeout, and runs again if the criterion changes."""

import copy
import json
import threading
import uuid
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, protocol, status, studies, trials
from ledger.database.managing import ClaimedStudy
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.manager.registration import criteria_of, register, set_criteria
from ledger.study.criteria import StoppingCriteria
from tests.integration.ledgers import add_iteration, hold, make_study, managed, spec, take, tell
from tests.integration.moving import exported, moved
from tests.integration.test_commands import run as run
from tests.integration.test_enqueue import verified
from tests.integration.test_manager import proposed, square, study
from tests.integration.test_manager import workers as workers


def held_study(db: Connection, size: int = 4, **criteria: Any) -> tuple[StudyRow, ClaimedStudy]:
    """A study with one iteration of pending trials, whose manager holds the study."""
    row = studies.create(db, "s", {**spec(size), "resolved": {"initial_points": 2}}, "0" * 64, 100, {}, **criteria)
    assert row is not None
    add_iteration(db, row, 0, size)
    return row, hold(db, row)


def told(db: Connection, connection: psycopg.Connection[Any], row: StudyRow, *losses: float | None) -> None:
    """Complete the trials of the last iteration with these losses, or fail a trial whose loss is None; tell them."""
    for loss in losses:
        held = take(connection)
        if loss is None:
            for _ in range(3):
                protocol.fail(connection, held, "no", 0.0)
                held = held if trials.get(db, row, held.trial).state == "failed" else take(connection)
        else:
            protocol.complete(connection, held, loss, {}, 0.0)
    known = [loss for loss in losses if loss is not None]
    number = studies.iterations(db, row.id)[-1].number
    assert tell(db, row, number, sum(known) / len(known), min(known)) == "told"


def stopped(db: Connection) -> tuple[str, str | None, str | None]:
    row = studies.get(db, "s")
    return row.state, row.stopped_by, row.reason


def test_a_study_ends_after_the_iteration_that_reaches_the_target(db, connection):
    row, held = held_study(db, target=0.75)  # the score of a model, which is maximised
    protocol.complete(connection, take(connection), 0.125, {}, 0.0)
    assert managing.stop(db, held) == "none", "the iteration has not ended"
    told(db, connection, row, 0.25, 0.5, 0.5)
    held = hold(db, row)
    assert managing.stop(db, held) == "stopped"
    assert stopped(db) == ("complete", "target", "target 0.75: trial 0 has the value 0.875")
    assert managing.stop(db, held) == "ended"


@pytest.mark.parametrize(("target", "answer"), [(0.5, "stopped"), (0.5000001, "none"), (0.4999999, "stopped")])
def test_a_value_equal_to_the_target_ends_the_study(db, connection, target, answer):
    row, _ = held_study(db, size=1, target=target)
    told(db, connection, row, 0.5)
    assert managing.stop(db, hold(db, row)) == answer


def test_patience_counts_trials_of_later_iterations_that_are_not_better(db, connection):
    row, _ = held_study(db, size=3, patience=4)
    told(db, connection, row, 0.5, 0.25, 0.5)
    assert managing.stop(db, hold(db, row)) == "none", "the trials of the best trial's iteration do not count"
    add_iteration(db, row, 1, 3)
    told(db, connection, row, 0.5, None, 0.25)
    assert managing.stop(db, hold(db, row)) == "none"
    add_iteration(db, row, 2, 3)
    told(db, connection, row, 0.125, 0.5, 0.5)
    assert managing.stop(db, hold(db, row)) == "none", "a better value begins the count again"
    add_iteration(db, row, 3, 4)
    told(db, connection, row, 0.5, 0.125, None, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    assert stopped(db) == ("complete", "patience", "patience 4: 4 trials after trial 6 have no better value than 0.875")


@pytest.mark.parametrize("criteria", [{"target": 0.01}, {"patience": 3}])
def test_a_study_in_batch_mode_ends_alike_in_any_order_of_trials(db, url, workers, tmp_path, criteria):
    found = []
    for count in (1, 3):
        row = register(db, study(tmp_path, iterations=12, batch_size=3, name=f"of-{count}", **criteria))
        for _ in range(count):
            workers(square)
        assert managed(db, row).run().state == "complete"
        ended = studies.get(db, row.name)
        of_study = trials.all_of(db, row.id)
        assert ended.stopped_by == next(iter(criteria))
        assert len(of_study) < 36
        found.append(([(trial.params, trial.loss) for trial in of_study], ended.reason))
    assert found[0] == found[1]


def test_a_criterion_that_changes_lets_the_study_go_on(db, workers, tmp_path):
    workers(square)
    whole = study(tmp_path, iterations=6, batch_size=2, name="whole")
    assert managed(db, register(db, whole)).run().state == "complete"
    asked = study(tmp_path, iterations=6, batch_size=2, target=0.5)
    assert managed(db, register(db, asked)).run().state == "complete"
    assert stopped(db)[1] == "target"
    assert len(proposed(db)) < 12
    assert register(db, asked).state == "complete", "the same criteria change nothing"
    assert register(db, study(tmp_path, iterations=6, batch_size=2, target=0.4, patience=12)).has_ended
    again = register(db, study(tmp_path, iterations=6, batch_size=2))
    assert (again.state, again.stopped_by, again.stopping_at, again.reason) == ("running", None, None, None)
    assert managed(db, again).run().state == "complete"
    of_whole = trials.all_of(db, studies.get(db, "whole").id)
    assert [trial.params for trial in trials.all_of(db, again.id)] == [trial.params for trial in of_whole]
    assert verified(db).recomputed == 6


def test_another_criterion_that_is_met_is_recorded(db, connection):
    row, _ = held_study(db, size=2, target=0.5)
    told(db, connection, row, 0.25, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    set_criteria(db, studies.get(db, "s"), StoppingCriteria(target=0.7))
    assert stopped(db) == ("complete", "target", "target 0.7: trial 0 has the value 0.75")
    set_criteria(db, studies.get(db, "s"), StoppingCriteria(target=0.8))
    assert stopped(db) == ("running", None, None)


def test_workers_claim_nothing_of_a_study_that_is_stopping(db, connection, advance):
    row, held = held_study(db, timeout_seconds=60.0)
    running = take(connection)
    assert managing.stop(db, held) == "none"
    advance(61)
    assert managing.stop(db, held) == "stopping"
    assert stopped(db) == ("running", "timeout", "timeout: managers have held the study for 60 seconds")
    assert protocol.claim(connection, None, [uuid.uuid4()], "w") == []
    assert managing.stop(db, held) == "stopping", "the running trial may end within the grace time"
    protocol.complete(connection, running, 0.5, {}, 0.0)
    assert managing.stop(db, held) == "stopped"
    assert stopped(db)[0] == "complete"
    assert [trial.state for trial in trials.all_of(db, row.id)] == ["complete", "pending", "pending", "pending"]
    assert verified(db).trials == 4


def test_a_trial_that_runs_after_the_grace_time_is_released_uncounted(db, connection, advance):
    row, held = held_study(db, timeout_seconds=60.0)
    running = take(connection)
    advance(61)
    assert managing.stop(db, held) == "stopping"
    advance(61 + 7)
    assert managing.stop(db, held) == "stopping"
    advance(61 + 9)
    assert managing.stop(db, held) == "stopped"
    released = trials.get(db, row, running.trial)
    assert (released.state, released.failures, released.lost, released.attempts) == ("pending", 0, 0, 1)
    assert [attempt.outcome for attempt in trials.attempts(db, row.id, 0)] == ["released"]
    assert not protocol.heartbeat(connection, running)
    assert protocol.complete(connection, running, 0.5, {}, 0.0) == "stale"
    assert verified(db).trials == 4


def test_a_locked_trial_is_released_when_the_lock_is_gone(db, connection, advance, url):
    row, held = held_study(db, timeout_seconds=60.0)
    take(connection)
    advance(61)
    assert managing.stop(db, held) == "stopping"
    advance(61 + 9)
    with psycopg.connect(url) as other:
        other.execute("select from ledger.trial where number = 0 for update")
        assert managing.stop(db, held) == "stopping"
    assert managing.stop(db, held) == "stopped"
    assert trials.get(db, row, 0).state == "pending"


def test_a_study_that_its_timeout_ended_goes_on_as_if_it_had_never_stopped(db, url, workers, advance, tmp_path):
    asked = {"iterations": 4, "batch_size": 3}
    held, go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        """Complete four trials, and hold the fifth trial until the study has ended."""
        with psycopg.connect(url, autocommit=True) as own:
            for number in range(5):
                while not (claimed := protocol.claim(own, "s", [uuid.uuid4()], "slow")):
                    list(own.notifies(timeout=0.05, stop_after=1))
                if number == 4:
                    held.set()
                    go.wait()
                protocol.complete(own, claimed[0], square(claimed[0].params), {}, 0.0)
        done.set()

    steps = iter((601.0, 610.0))

    def watch(_progress: Any) -> None:
        if held.is_set() and (step := next(steps, None)) is not None:
            advance(step)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        row = managed(db, register(db, study(tmp_path, timeout=600.0, **asked)), watch).run()
    finally:
        go.set()
        worker.join()
    assert (row.state, row.stopped_by) == ("complete", "timeout")
    assert {trial.state for trial in trials.all_of(db, row.id)} == {"complete", "pending"}
    assert len(proposed(db)) == 6
    assert verified(db).recomputed == 2

    workers(square)
    assert managed(db, register(db, study(tmp_path, name="whole", **asked))).run().state == "complete"
    again = register(db, study(tmp_path, timeout=100_000.0, **asked))
    assert again.state == "running"
    assert managed(db, again).run().state == "complete"
    of_whole = trials.all_of(db, studies.get(db, "whole").id)
    assert [(row.params, row.loss) for row in trials.all_of(db, again.id)] == [
        (row.params, row.loss) for row in of_whole
    ]
    assert verified(db).recomputed == 4


def test_the_time_without_a_manager_does_not_count(db, advance):
    row, held = held_study(db, timeout_seconds=100.0)
    advance(60)
    assert managing.stop(db, held) == "none"
    managing.leave_study(db, held)
    assert studies.get(db, "s").managed_seconds == pytest.approx(60, abs=20)
    advance(10_000)
    held = hold(db, row)
    assert managing.stop(db, held) == "none"
    advance(10_090)
    assert managing.stop(db, held) == "stopping"


def test_the_time_of_a_killed_manager_counts_until_the_end_of_its_lease(db, advance):
    row = make_study(db)
    killed = ClaimedStudy(row.id, uuid.uuid4())
    assert managing.claim_study(db, killed, "killed", 30.0) == "held"
    advance(10_000)
    assert managing.claim_study(db, ClaimedStudy(row.id, uuid.uuid4()), "next", 30.0) == "held"
    assert studies.get(db, "s").managed_seconds == pytest.approx(30, abs=20)


def test_a_clock_that_was_set_back_makes_no_time_negative(db, advance):
    advance(10_000)
    _, held = held_study(db, timeout_seconds=100.0)
    advance(0)
    assert managing.stop(db, held) == "none"
    managing.leave_study(db, held)
    assert 0 <= studies.get(db, "s").managed_seconds < 60


def test_a_manager_leaves_a_locked_study_at_once(db, url):
    row, held = held_study(db)
    with psycopg.connect(url) as other:
        other.execute("select from ledger.study for update")
        managing.leave_study(db, held)
    assert hold(db, row).claim == held.claim


def test_steady_mode_stops_at_the_target_and_waits_for_running_trials(db, workers, tmp_path):
    for _ in range(2):
        workers(square)
    asked = study(tmp_path, iterations=20, batch_size=4, mode="steady", target=0.02)
    row = managed(db, register(db, asked)).run()
    assert (row.state, row.stopped_by) == ("complete", "target")
    of_study = trials.all_of(db, row.id)
    assert len(of_study) < 80
    assert {trial.state for trial in of_study} <= {"complete", "pending"}
    assert verified(db).trials == len(of_study)
    again = register(db, study(tmp_path, iterations=20, batch_size=4, mode="steady"))
    assert again.state == "running"
    assert managed(db, again).run().state == "complete"
    assert verified(db).trials == 80


def test_patience_of_steady_mode_counts_trials_that_knew_the_best_value(db, connection):
    row = studies.create(db, "s", {**spec(2), "mode": "steady"}, "0" * 64, 100, {}, patience=2)
    assert row is not None

    def propose(number: int, size: int, seen: list[int]) -> None:
        held, known = hold(db, row), len(trials.all_of(db, row.id))
        points = [{"C": 1.0 + known + index} for index in range(size)]
        batch = managing.ProposedBatch(number, 0, known, points, None, {}, 0.0, 0.0, seen)
        assert managing.propose(db, held, batch) == "proposed"

    propose(0, 2, [])
    late, early = take(connection), take(connection)
    protocol.complete(connection, early, 0.5, {}, 0.0)
    propose(1, 1, [1])
    protocol.complete(connection, take(connection), 0.5, {}, 0.0)
    propose(2, 1, [2])
    protocol.complete(connection, take(connection), 0.5, {}, 0.0)
    protocol.complete(connection, late, 0.25, {}, 0.0)
    assert managing.stop(db, hold(db, row)) == "none", "no trial was proposed with the best value"
    propose(3, 2, [3, 0])
    protocol.complete(connection, take(connection), 0.5, {}, 0.0)
    assert managing.stop(db, hold(db, row)) == "none"
    protocol.complete(connection, take(connection), 0.5, {}, 0.0)
    assert managing.stop(db, hold(db, row)) == "stopped"
    assert stopped(db)[1] == "patience"


def test_an_enqueued_or_retried_trial_lets_a_stopped_study_run(db, connection):
    row, _ = held_study(db, size=2, target=0.5)
    told(db, connection, row, 0.25, None)
    assert managing.stop(db, hold(db, row)) == "stopped"
    trials.enqueue(db, row.id, [{"C": 500.0}])
    assert stopped(db) == ("running", None, None)
    told(db, connection, row, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    trials.retry(db, row.id, [1])
    assert stopped(db) == ("running", None, None)


def test_criteria_are_shown_and_moved(run, db, url, connection, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    row, _ = held_study(db, size=2, target=0.5, patience=7, timeout_seconds=3600.0)
    assert status.read(db, row.id).remaining_seconds == pytest.approx(3600, abs=60)
    told(db, connection, row, 0.25, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    shown = run("study", "show", "s")[1]
    assert "state       complete: target 0.5: trial 0 has the value 0.75\n" in shown
    assert "target      0.5\npatience    7 trials\ntimeout     3600 s\n" in shown
    (listed,) = json.loads(run("study", "list", "--json")[1])
    assert [listed[key] for key in ("target", "patience", "timeout_seconds", "stopped_by")] == [
        0.5,
        7,
        3600.0,
        "target",
    ]
    document = json.loads(run("status", "s", "--json")[1])
    assert [document[key] for key in ("target", "patience", "timeout_seconds")] == [0.5, 7, 3600.0]
    managing.leave_study(db, hold(db, row))
    there = exported(db)
    assert there["study"]["stopped_by"] == "target"
    copied = moved(db, there, "copy")
    assert criteria_of(copied) == StoppingCriteria(0.5, 7, 3600.0)
    assert copied.managed_seconds == there["study"]["managed_seconds"]
    run("report", "s", "--output", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    for fact in ("Target", "7 trials", "3,600 s"):
        assert fact in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": 0.9}, "the study was stopped by its target 0.9, but no trial has reached this value"),
        ({"target": None}, "the criterion target stopped the study, but the study has no target"),
        ({"stopped_by": "patience", "patience": 3}, "the patience is 3 trials, but only 0 trials ended after"),
        ({"stopping_at": None}, "`stopped_by` is target, but `stopping_at` is None"),
        ({"stopped_by": None, "stopping_at": None}, "the state is complete, but only 2 of 100 trials were proposed"),
    ],
)
def test_an_export_whose_criterion_does_not_fit_is_refused(db, connection, change, said):
    row, _ = held_study(db, size=2, target=0.5)
    told(db, connection, row, 0.25, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    document = copy.deepcopy(exported(db))
    document["study"].update(change)
    with pytest.raises(UsageError, match=said):
        moved(db, document, "other")


def test_a_manager_that_does_not_hold_the_study_stops_nothing(db):
    row, _ = held_study(db, timeout_seconds=0.01)
    assert managing.stop(db, ClaimedStudy(row.id, uuid.uuid4())) == "lost"
    assert stopped(db)[:2] == ("running", None)


def test_criteria_of_a_cancelled_study_do_not_change(db):
    row = make_study(db)
    studies.cancel(db, row.id, "no")
    with pytest.raises(LedgerError, match="was cancelled, which is final"):
        set_criteria(db, studies.get(db, "s"), StoppingCriteria(target=1.0))


@pytest.mark.parametrize(
    "criteria", [{"target": float("nan")}, {"patience": 0}, {"timeout_seconds": 0.0}, {"timeout_seconds": 1e12}]
)
def test_the_database_refuses_a_criterion_that_no_reader_could_read(db, criteria):
    with pytest.raises(Exception, match="target_is_finite|patience_is_positive|timeout"):
        studies.create(db, "s", spec(2), "0" * 64, 2, {}, **criteria)
    db.rollback()


def test_a_resumed_study_gets_new_criteria(run, db, url, connection, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    row, _ = held_study(db, size=2, target=0.5)
    told(db, connection, row, 0.25, 0.5)
    assert managing.stop(db, hold(db, row)) == "stopped"
    managing.leave_study(db, hold(db, row))
    code, out, error = run("resume", "s", "--workers", "0", "--patience", "5", "--target", "0.625")
    assert (code, "complete: target 0.625: trial 0 has the value 0.75" in out) == (0, True)
    assert error.endswith("study s is already complete: to continue the study, add --target with another value\n")
    assert criteria_of(studies.get(db, "s")) == StoppingCriteria(0.625, 5)
    code, _, error = run("resume", "s", "--target", "label")
    assert (code, "'label' is not a number: give the value at which the study ends" in error) == (2, True)
