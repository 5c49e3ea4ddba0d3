"""The rule promotion in steady mode: trials pause after their verdicts, and go on when they are among the best."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, protocol, studies, transfer, trials, verdicts
from ledger.database.managing import ClaimedStudy, PromotedTrials
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.errors import UsageError
from ledger.imports.document import read
from ledger.manager.history import StudyHistory
from ledger.study.early_stopping import EarlyStopping
from ledger.study.spec import StudySpec
from ledger.study.verdicts import is_audited
from ledger.verification import verify
from ledger.verification.verdicts import disagreements
from ledger.worker.trial_stopping import TrialStopping
from tests.integration.ledgers import expire, finish, hold, propose, spec, states, take, tell, trial, verified
from tests.integration.moving import exported, moved
from tests.integration.recounting import check_totals
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.system.programs import wait_until

NAN = float("nan")


def start(db: Connection, size: int = 4, **rule: Any) -> StudyRow:
    """A study in steady mode with the rungs 1, 2 and 4, and pending trials."""
    given = {"rule": "promotion", "eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, **rule}
    stopping = EarlyStopping(**given).model_dump(exclude_none=True)
    settings = {**spec(size), "mode": "steady", "stopping": stopping, "resolved": {"initial_points": 100}}
    row = studies.create(db, "s", settings, "0" * 64, 100, {})
    assert row is not None
    propose(db, row, 0, [{"C": 1.0 + index} for index in range(size)], seen=[])
    return row


def reach(connection: psycopg.Connection[Any], loss: float, step: int = 1) -> tuple[ClaimedTrial, str]:
    """Claim a trial and report a loss. If the verdict stops the trial, the trial pauses."""
    held = take(connection)
    answer = protocol.report(connection, held, [step], [loss])
    if answer == "stop":
        assert protocol.prune(connection, held, 1.0) == "paused"
    return held, answer


def promote(db: Connection, row: StudyRow, free: int = 9) -> list[PromotedTrials]:
    held = hold(db, row)
    found = managing.promote_waiting(db, held, free)
    managing.leave_study(db, held)
    return found


def prune_paused(db: Connection, row: StudyRow, budget: int = 100) -> str:
    held = hold(db, row)
    answer = managing.prune_paused(db, held, budget)
    managing.leave_study(db, held)
    return answer


def arrivals(connection: psycopg.Connection[Any], rung: int = 1) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select trial, arrival, compared, cutoff, stops from ledger.verdict where rung = %s order by arrival", (rung,)
    ).fetchall()


def promotions(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("select trial, rung, arrivals from ledger.promotion order by 1, 2").fetchall()


def test_a_trial_goes_on_if_it_is_among_the_best_arrivals(db, connection):
    row = start(db, size=5)
    answers = [reach(connection, loss)[1] for loss in (0.4, 0.3, 0.5, 0.35, 0.2)]
    assert answers == ["continue", "continue", "stop", "continue", "continue"]
    assert arrivals(connection) == [
        (0, 1, 0, None, False),  # fewer than eta trials
        (1, 2, 1, 0.4, False),  # one of two goes on
        (2, 3, 2, 0.4, True),
        (3, 4, 3, 0.4, False),  # two of four go on
        (4, 5, 4, 0.35, False),
    ]
    assert states(db, row) == ["running", "running", "paused", "running", "running"]
    assert verified(db) == 5


def test_of_equal_losses_the_lower_number_goes_on(db, connection):
    start(db)
    held = [take(connection) for _ in range(4)]
    answers = {number: protocol.report(connection, held[number], [1], [0.5]) for number in (2, 1, 3, 0)}
    assert answers == {2: "continue", 1: "continue", 3: "stop", 0: "continue"}
    assert verified(db) == 4


def test_a_trial_without_a_finite_loss_never_goes_on(db, connection):
    row = start(db, size=3)
    assert reach(connection, NAN)[1] == "stop"
    assert reach(connection, NAN)[1] == "stop"
    assert reach(connection, 0.5)[1] == "continue"
    assert promote(db, row) == []
    assert states(db, row) == ["paused", "paused", "running"]
    assert verified(db) == 3


def test_a_waiting_trial_is_promoted_when_more_trials_have_arrived(db, connection):
    row = start(db, size=6)
    losses = (0.2, 0.1, 0.3, 0.4, 0.9, 0.8)
    assert [reach(connection, loss)[1] for loss in losses[:3]] == ["continue", "continue", "stop"]
    assert promote(db, row) == []
    assert [reach(connection, loss)[1] for loss in losses[3:]] == ["stop", "stop", "stop"]
    assert promote(db, row, free=0) == []
    assert promote(db, row) == [PromotedTrials(1, 6, [2])]
    assert promotions(connection) == [(2, 1, 6)]
    assert states(db, row) == ["running", "running", "pending", "paused", "paused", "paused"]
    assert promote(db, row) == []
    assert arrivals(connection)[2][-1] is True, "a verdict does not change"
    assert verified(db) == 6
    check_totals(connection, row.id)


def test_a_trial_that_paused_after_the_last_poll_can_be_promoted(db, connection):
    row = start(db, size=6)
    history = StudyHistory(db, row, StudySpec.from_spec(row.name, row.budget, row.spec))
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    (found,) = promote(db, row)
    history.promote(found.trials)
    assert (history.open, history.waiting) == ({0, 1, 2, 3, 4, 5}, {})
    assert history.poll()
    assert (history.open, history.waiting) == ({0, 1, 2}, {3: 1, 4: 1, 5: 1})
    check_totals(connection, row.id)


def test_a_resumed_manager_knows_the_losses_of_promoted_trials(db, connection):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    propose(db, row, 1, [{"C": 9.0}], seen=[2, 3, 4, 5], seen_rungs=[1, 1, 1, 1])
    (promoted,) = promote(db, row)
    assert promoted.trials == [2]
    resumed = StudyHistory(db, row, StudySpec.from_spec(row.name, row.budget, row.spec))
    given = resumed.given(2, 0, resumed.seen, resumed.seen_rungs)
    assert given.losses.tolist() == [0.3, 0.4, 0.9, 0.8]
    assert given.shares is not None
    assert given.shares.tolist() == [1 / 8] * 4


def test_at_most_the_free_trials_go_on_the_best_of_the_highest_rung_first(db, connection):
    row = start(db, size=12)
    first = reach(connection, 0.1)[0]
    for number in range(1, 8):
        assert reach(connection, 0.1 + number / 100)[1] == "stop"
    assert promote(db, row, free=2) == [PromotedTrials(1, 8, [1, 2])]
    assert promotions(connection) == [(1, 1, 8), (2, 1, 8)]
    assert protocol.report(connection, first, [2], [0.5]) == "continue"
    for number, loss in ((1, 0.6), (2, 0.7)):
        held, answer = reach(connection, loss, step=2)
        assert (held.trial, answer) == (number, "stop")
    assert promote(db, row, free=1) == [PromotedTrials(1, 8, [3])], "the third of the best four"
    held, answer = reach(connection, 0.9, step=2)
    assert (held.trial, answer) == (3, "stop")
    for _ in range(2):
        assert reach(connection, 0.9)[1] == "stop"
    assert promote(db, row, free=1) == [PromotedTrials(2, 4, [1])], "the higher rung comes first"
    assert promote(db, row, free=5) == [PromotedTrials(1, 10, [4])]
    assert promotions(connection) == [(1, 1, 8), (1, 2, 4), (2, 1, 8), (3, 1, 8), (4, 1, 10)]
    assert verified(db) == 12


def test_a_promoted_trial_is_claimed_first_and_passes_its_rung(db, connection):
    row = start(db, size=7)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    promote(db, row)
    again = take(connection)
    assert (again.trial, again.attempt) == (2, 2)
    own = TrialStopping(again.stopping)
    assert own.asks_database
    for step in (0, 1, 2):
        own.observe(step, 0.3)
        assert protocol.report(connection, again, [step], [0.3]) == "continue"
        assert not own.is_stopped
    assert arrivals(connection, rung=2) == [(2, 1, 0, None, False)]
    assert take(connection).trial == 6
    assert verified(db) == 7


def test_a_promoted_trial_can_wait_at_a_higher_rung(db, connection):
    row = start(db, size=6)
    held = [reach(connection, loss)[0] for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8)]
    protocol.report(connection, held[0], [2], [0.1])
    promote(db, row)
    assert reach(connection, 0.5, step=2)[1] == "stop"
    assert states(db, row)[2] == "paused"
    assert managing.waiting(db, row.id) == {2: 2, 3: 1, 4: 1, 5: 1}
    assert verified(db) == 6
    assert protocol.report(connection, held[1], [2], [0.6]) == "stop"
    assert protocol.prune(connection, held[1], 1.0) == "paused"
    assert promote(db, row) == [], "three arrivals, of which one goes on"
    assert verified(db) == 6


def test_a_worker_that_died_after_the_verdict_does_not_promote_its_trial(db, connection, advance):
    start(db, size=3)
    for loss in (0.1, 0.2):
        reach(connection, loss)
    held = take(connection)
    assert protocol.report(connection, held, [1], [0.5]) == "stop"
    advance(31)
    assert expire(db, connection, 2) == "pending"
    assert verified(db) == 3
    again = take(connection)
    assert again.trial == 2
    own = TrialStopping(again.stopping)
    own.observe(1, 0.5)
    assert own.is_stopped
    assert protocol.report(connection, again, [1], [0.5]) == "stop"
    assert protocol.prune(connection, again, 1.0) == "paused"
    assert protocol.prune(connection, again, 1.0) == "already"
    assert verified(db) == 3


def test_an_audited_trial_goes_on_and_is_compared(db, connection):
    share, count = 0.3, 12
    row = start(db, size=count, audit=share)
    audited = {number for number in range(count) if is_audited(42, number, share)}
    assert len(audited) >= 2
    for number in range(count):
        held, answer = reach(connection, number / 100)
        assert answer == ("continue" if number == 0 or number in audited else "stop")
        if number in audited:
            assert protocol.prune(connection, held, 1.0) == "continue"
    assert [arrival for _, arrival, *_ in arrivals(connection)] == list(range(1, count + 1))
    rows = connection.execute("select trial from ledger.verdict where audited order by 1").fetchall()
    assert rows == [(number,) for number in sorted(audited)]
    expected = [number for number in range(1, 6) if number not in audited]
    assert promote(db, row) == [PromotedTrials(1, count, expected)]
    assert [number for number, *_ in promotions(connection)] == expected
    assert verified(db) == count


def test_a_training_that_does_not_ask_completes_behind_its_verdict(db, connection):
    row = start(db, size=4)
    for loss in (0.1, 0.2):
        reach(connection, loss)
    held = take(connection)
    assert protocol.report(connection, held, [1, 2, 4], [0.15, 0.5, 0.5]) == "stop"
    assert protocol.complete(connection, held, 0.05, {}, 1.0) == "recorded"
    assert connection.execute("select rung from ledger.verdict where trial = 2").fetchall() == [(1,)]
    assert reach(connection, 0.9)[1] == "stop"
    assert promote(db, row) == [], "the ended trial is one of the best two"
    assert verified(db) == 4


def test_a_cancelled_trial_still_counts_as_an_arrival(db, connection):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    assert trials.cancel(db, row.id, [2], "not wanted") == []
    assert promote(db, row) == []
    assert verified(db) == 6


def test_a_locked_paused_trial_is_skipped_until_the_lock_ends(db, connection, url):
    row = start(db, size=8)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8, 0.7, 0.6):
        reach(connection, loss)
    with psycopg.connect(url) as other:
        other.execute("select ledger.cancel_trials(%s, 2, 'not wanted')", (row.id,))
        assert promote(db, row) == [PromotedTrials(1, 8, [3])]
        assert promotions(connection) == [(3, 1, 8)]
        other.rollback()
    assert promote(db, row) == [PromotedTrials(1, 8, [2])]
    assert promotions(connection) == [(2, 1, 8), (3, 1, 8)]


def test_only_the_manager_that_holds_the_study_promotes_and_prunes(db, connection):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    stranger = ClaimedStudy(row.id, uuid.uuid4())
    hold(db, row)
    assert managing.promote_waiting(db, stranger, 9) == []
    assert managing.prune_paused(db, stranger, 100) == "lost"
    assert states(db, row) == ["running", "running", "paused", "paused", "paused", "paused"]


def test_paused_trials_are_pruned_when_no_other_trial_is_open(db, connection):
    row = start(db, size=4)
    held = [reach(connection, loss)[0] for loss in (0.2, 0.1, 0.3, NAN)]
    assert prune_paused(db, row) == "changed", "two trials are running"
    for each in held[:2]:
        assert protocol.complete(connection, each, 0.1, {}, 1.0) == "recorded"
    assert tell(db, row, 0, 0.1, 0.1) == "changed", "paused trials keep the iteration open"
    assert finish(db, row, "complete") == "changed"
    assert prune_paused(db, row, budget=99) == "changed", "another budget"
    assert prune_paused(db, row) == "pruned"
    assert states(db, row) == ["complete", "complete", "pruned", "pruned"]
    pruned = [trial(connection, number) for number in (2, 3)]
    assert [(each["pruned_step"], each["pruned_loss"]) for each in pruned] == [(1, 0.3), (1, None)]
    assert tell(db, row, 0, 0.1, 0.1) == "told"
    assert verified(db) == 4
    assert finish(db, row, "complete") == "finished"
    assert prune_paused(db, row) == "changed"
    check_totals(connection, row.id)


def test_a_paused_trial_that_can_go_on_is_not_pruned(db, connection):
    row = start(db, size=6)
    held = [reach(connection, loss)[0] for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8)]
    for each in held[:2]:
        protocol.complete(connection, each, 0.1, {}, 1.0)
    assert prune_paused(db, row) == "changed"
    assert promote(db, row) == [PromotedTrials(1, 6, [2])]


def test_a_locked_paused_trial_stays_when_the_others_are_pruned(db, connection, url):
    row = start(db, size=4)
    held = [reach(connection, loss)[0] for loss in (0.2, 0.1, 0.3, 0.4)]
    for each in held[:2]:
        protocol.complete(connection, each, 0.1, {}, 1.0)
    with psycopg.connect(url) as other:
        other.execute("select ledger.cancel_trials(%s, 2, 'not wanted')", (row.id,))
        assert prune_paused(db, row) == "pruned"
        other.rollback()
    assert states(db, row) == ["complete", "complete", "paused", "pruned"]
    assert prune_paused(db, row) == "pruned"
    assert verified(db) == 4


def test_two_arrivals_at_once_get_two_numbers(db, connection, url):
    start(db, size=3)
    held = [take(connection) for _ in range(3)]
    with ThreadPoolExecutor() as pool, psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
        assert protocol.report(first, held[0], [1], [0.3]) == "continue"
        waiting = pool.submit(protocol.report, second, held[1], [1], [0.4])
        wait_until(lambda: connection.execute("select from pg_locks where not granted").fetchall())
        first.commit()
        assert waiting.result(60) == "stop", "of two arrivals, one goes on"
    assert [number for number, *_ in arrivals(connection)] == [0, 1]
    assert verified(db) == 3


def test_verify_accepts_a_trial_that_ended_without_its_verdict(db, connection, url):
    """If another transaction is recording an arrival, a report gets no verdict. The trial can end without another."""
    start(db, size=3)
    held = [take(connection) for _ in range(3)]
    with psycopg.connect(url) as first:
        assert protocol.report(first, held[0], [1], [0.3]) == "continue"
        assert protocol.report(connection, held[1], [1], [0.4]) == "continue"
        assert protocol.complete(connection, held[1], 0.4, {}, 1.0) == "recorded"
        first.commit()
    assert protocol.complete(connection, held[0], 0.3, {}, 1.0) == "recorded"
    assert [number for number, *_ in arrivals(connection)] == [0]
    assert verified(db) == 3


def test_an_enqueued_trial_pauses_and_is_promoted_as_others(db, connection):
    row = start(db, size=5)
    for loss in (0.2, 0.1, 0.9, 0.8, 0.7):
        reach(connection, loss)
    assert trials.enqueue(db, row.id, [{"C": 77.0}]) == [5]
    assert reach(connection, 0.3)[1] == "continue", "one of the best 3 of 6"
    assert trials.enqueue(db, row.id, [{"C": 78.0}]) == [6]
    assert reach(connection, 0.4)[1] == "stop"
    assert trials.enqueue(db, row.id, [{"C": 79.0}]) == [7]
    assert reach(connection, 0.95)[1] == "stop"
    assert promote(db, row) == [PromotedTrials(1, 8, [6])]
    assert promotions(connection) == [(6, 1, 8)]
    assert verified(db) == 8


@pytest.mark.parametrize(
    "statement",
    ["update ledger.promotion set arrivals = 9", "delete from ledger.promotion", "truncate ledger.promotion"],
)
def test_a_promotion_does_not_change(db, connection, statement):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    promote(db, row)
    with pytest.raises(psycopg.errors.RestrictViolation, match="what was decided does not change"):
        connection.execute(statement)


def test_a_deleted_study_takes_its_promotions_along(db, connection):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    promote(db, row)
    assert studies.delete(db, row) == "deleted"
    assert promotions(connection) == []


def test_an_export_moves_the_promotions_and_a_damaged_one_is_refused(db, connection):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    promote(db, row)
    document = exported(db)
    assert [(each["trial"], each["rung"], each["arrivals"]) for each in document["promotions"]] == [(2, 1, 6)]
    copied = moved(db, document, "copy")
    assert states(db, copied) == ["pending", "pending", "pending", "paused", "paused", "paused"]
    assert verify(transfer.snapshot(db, copied.id)).trials == 6
    promoted = connection.execute("select trial, arrivals from ledger.promotions where study = 'copy'").fetchall()
    assert promoted == [(2, 6)]
    for change, said in (
        ({"arrivals": 3}, "trial 2: the promotion at rung 1: the trial was not among the best 1/2 of the first 3"),
        (
            {"arrivals": 7},
            "trial 2: the promotion at rung 1: `arrivals` is 7, but the trial was arrival 3, and the rung has 6",
        ),
        ({"trial": 0}, "trial 0: the promotion at rung 1: the trial did not wait at the rung"),
        ({"rung": 2}, "trial 2: the promotion at rung 2: the trial has no verdict at this rung"),
        ({"arrivals": "6"}, r"promotions\[0\].arrivals"),
    ):
        damaged = {**document, "promotions": [{**document["promotions"][0], **change}]}
        with pytest.raises(UsageError, match=said):
            read("export.json", json.dumps(damaged).encode())
    for rows, said in (
        ([], "trial 2: the state is pending, but the number of paused attempts is 1, and .* is 0"),
        (document["promotions"] * 2, "trial 2: the promotion at rung 1 is recorded twice"),
    ):
        with pytest.raises(UsageError, match=said):
            read("export.json", json.dumps({**document, "promotions": rows}).encode())


def test_why_and_the_views_name_a_promotion(db, connection, url, run: Run, monkeypatch):
    row = start(db, size=6)
    for loss in (0.2, 0.1, 0.3, 0.4, 0.9, 0.8):
        reach(connection, loss)
    promote(db, row)
    monkeypatch.setenv("DATABASE_URL", url)
    code, out, error = run("why", "s", "2")
    assert code == 0, error
    assert "the trial's place in the order of arrival at the rung is 3" in out
    assert "the rule stops the trial" in out
    assert "rung 1: the trial was promoted later, at " in out
    waits = "the trial waits at a rung until it is among the best trials that have reached this rung"
    assert waits in run("why", "s", "3")[1]
    (decided,) = json.loads(run("why", "s", "2", "--json")[1])["verdicts"]
    assert decided["promoted_at"] is not None
    shown = connection.execute("select trial from ledger.verdicts where promoted_at is not null").fetchall()
    assert shown == [(2,)]
    assert verdicts.audited_and_stopped(db, row.id) == (set(), {3, 4, 5})
    assert [(each.trials, each.stopped) for each in verdicts.rung_counts(db, row)] == [(6, 3)]


def test_the_database_refuses_brackets_in_steady_mode(db):
    row = start(db, size=1)
    settings = {**row.spec, "stopping": {**row.spec["stopping"], "brackets": 2}}
    with pytest.raises(Exception, match="as many brackets"):
        studies.create(db, "other", settings, "0" * 64, 1, {})
    db.rollback()


def test_patience_counts_paused_trials(db, connection):
    row = start(db, size=2)
    best, answer = reach(connection, 0.1)
    assert answer == "continue"
    assert reach(connection, 0.2)[1] == "stop"
    protocol.complete(connection, best, 0.05, {}, 1.0)
    propose(db, row, 1, [{"C": 50.0}, {"C": 51.0}], seen=[1, 0], seen_rungs=[1, None])
    with db.begin():
        db.exec_driver_sql("update ledger.study set patience = 2")
    own = hold(db, row)
    assert reach(connection, 0.5)[1] == "stop"
    assert managing.stop(db, own) == "none"
    assert reach(connection, 0.6)[1] == "stop"
    assert managing.stop(db, own) == "stopping", "the trials are open"
    assert managing.stop(db, own) == "stopped"
    assert states(db, row) == ["complete", "paused", "paused", "paused"]
    assert verified(db) == 4


def test_a_verdict_newer_than_the_snapshot_of_its_trial_is_no_difference(db, connection):
    row = start(db, size=4)
    held = [reach(connection, loss)[0] for loss in (0.1, 0.2, 0.3)]
    before = transfer.snapshot(db, row.id)
    assert reach(connection, 0.4)[1] == "stop"
    assert promote(db, row) == [PromotedTrials(1, 4, [1])]
    protocol.report(connection, held[0], [2], [0.5])
    assert reach(connection, 0.3, step=2)[0].trial == 1
    after = transfer.snapshot(db, row.id)
    assert after.trials[1].attempts == 2
    mixed = replace(before, stopping=after.stopping)
    assert list(disagreements(mixed, StudySpec.from_spec("s", 100, row.spec))) == []


def test_a_study_that_its_timeout_ends_keeps_its_paused_trials(db, connection, advance):
    row = start(db, size=4)
    held = [reach(connection, loss)[0] for loss in (0.2, 0.1, 0.3, 0.4)]
    for each in held[:2]:
        protocol.complete(connection, each, 0.05, {}, 1.0)
    with db.begin():
        db.exec_driver_sql("update ledger.study set timeout_seconds = 60")
    own = hold(db, row)
    advance(61)
    assert managing.stop(db, own) == "stopping", "the trials are open"
    assert managing.stop(db, own) == "stopped"
    assert states(db, row) == ["complete", "complete", "paused", "paused"]
    assert verified(db) == 4
