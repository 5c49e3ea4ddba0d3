"""Groups of the rule halving in the database: a rung also compares a trial with the earlier groups of its iteration."""

import json
import random
import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from ledger.database import protocol, studies
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.study.early_stopping import EarlyStopping
from ledger.study.verdicts import cutoff, is_audited, stops
from ledger.worker.trial_stopping import TrialStopping
from tests.integration.ledgers import add_iteration, spec, states, take, tell, trial, verified
from tests.integration.moving import exported, moved
from tests.integration.test_early_stopped_studies import corrupt
from tests.integration.test_verdicts import search, train, verdicts


def start(db: Connection, trials: int = 6, **rule: Any) -> StudyRow:
    """A study with the rungs 1, 2 and 4, and one iteration of pending trials in groups of two."""
    given = {"rule": "halving", "eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, "group_size": 2, **rule}
    stopping = EarlyStopping(**given).model_dump(exclude_none=True)
    settings = {**spec(trials, max_failures=1), "stopping": stopping, "resolved": {"initial_points": 2}}
    row = studies.create(db, "s", settings, "0" * 64, 100, {})
    assert row is not None
    add_iteration(db, row, 0, trials)
    return row


def report(connection: psycopg.Connection[Any], held: ClaimedTrial, *steps: int, loss: float = 0.5) -> str:
    return protocol.report(connection, held, list(steps), [loss] * len(steps))


def complete(connection: psycopg.Connection[Any], held: ClaimedTrial, loss: float = 0.5) -> None:
    assert protocol.complete(connection, held, loss, {}, 1.0) == "recorded"


def cutoffs(connection: psycopg.Connection[Any], rung: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select iteration, group_number, loss, compared from ledger.cutoff where rung = %s order by 1, 2", (rung,)
    ).fetchall()


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 200))
def test_the_group_of_a_trial_is_that_of_python(connection, first, size, place):
    with connection.transaction(force_rollback=True):
        connection.execute("set local session_replication_role = replica")
        connection.execute(
            "insert into ledger.iteration"
            " (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)"
            " values (1, 0, %s, 0, 1000, now(), 0, 0, '{}')",
            (first,),
        )
        found = connection.execute(
            "select number, first from ledger.trial_group(1, 0, %s, %s)", (first + place, size)
        ).fetchone()
    group = EarlyStopping(rule="halving", max_resource=9, group_size=size).group_of(place)
    assert found == (group, first + group * size)


def test_a_group_is_compared_with_the_earlier_groups(db, connection):
    start(db)
    for loss in (0.4, 0.3):
        assert train(connection, [loss] * 8) == ["continue"] * 8
    # of three trials, the best one goes on
    assert train(connection, [0.35] * 8) == ["continue", "stop"]
    assert train(connection, [0.1] * 8) == ["continue"] * 8
    assert train(connection, [0.2] * 8) == ["continue"] * 8
    assert cutoffs(connection, 1) == [(0, 0, None, 0), (0, 1, 0.3, 2), (0, 2, 0.3, 4)]
    assert verdicts(connection, 2) == [(1, 1, 0.35, 0.3, 2, True)]
    assert verdicts(connection, 4)[0] == (1, 1, 0.2, 0.3, 4, False)
    assert verified(db) == 6


def test_a_later_iteration_is_compared_with_all_groups_of_the_earlier_one(db, connection):
    row = start(db, trials=4)
    for loss in (0.4, 0.3, 0.2, 0.1):
        train(connection, [loss] * 8)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    add_iteration(db, row, 1, 2)
    assert train(connection, [0.25] * 8) == ["continue", "stop"]
    assert cutoffs(connection, 1)[-1] == (1, 0, 0.2, 4)


def test_a_trial_waits_for_the_trials_of_the_earlier_groups(db, connection):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    assert TrialStopping(third.stopping).waits
    assert report(connection, third, 0) == "continue"
    assert report(connection, third, 1) == "wait"
    assert report(connection, first, 1, loss=0.4) == "continue"
    assert report(connection, third) == "wait"
    assert verdicts(connection, 2) == []
    assert report(connection, second, 1, loss=0.3) == "continue"
    assert report(connection, third) == "stop"
    assert protocol.prune(connection, third, 1.0) == "pruned"
    assert verdicts(connection, 2) == [(1, 1, 0.5, 0.3, 2, True)]


def test_a_trial_waits_at_each_rung(db, connection):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    for held in (first, second):
        assert report(connection, held, 1) == "continue"
    assert report(connection, third, 1, loss=0.4) == "continue"
    assert report(connection, third, 2, loss=0.4) == "wait"
    complete(connection, first)
    complete(connection, second)
    assert report(connection, third) == "continue"


def test_a_trial_with_a_known_cutoff_does_not_ask_the_database(db, connection):
    start(db)
    for loss in (0.4, 0.3):
        train(connection, [loss] * 8)
    train(connection, [0.1] * 8)
    stopping = TrialStopping(take(connection).stopping)
    assert not stopping.asks_database
    assert not stopping.waits
    stopping.observe(1, 0.5)
    assert stopping.is_stopped


def test_a_worker_gives_a_trial_back_if_an_earlier_group_is_pending(db, connection):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    fourth = take(connection)
    for held in (third, fourth):
        assert report(connection, held, 1) == "wait"
    assert protocol.release(connection, first)
    assert report(connection, third) == "wait", "the last trial of the iteration gives way"
    assert report(connection, fourth) == "release"
    assert protocol.release(connection, fourth)
    assert report(connection, third) == "release"
    assert protocol.release(connection, third)
    again = take(connection)
    assert again.trial == 0
    assert report(connection, again, 1, loss=0.3) == "continue"
    assert report(connection, second, 1, loss=0.4) == "continue"
    # the next attempt gets the verdict on the report of the first attempt
    third = take(connection)
    assert third.trial == 2
    assert report(connection, third, 1, loss=0.1) == "stop"
    assert verdicts(connection, 2) == [(1, 1, 0.5, 0.3, 2, True)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update ledger.cutoff set trial = 1 where group_number = 1", "the cutoff at rung 1 names a trial"),
        (
            "update ledger.attempt set outcome = 'paused' where outcome = 'released'",
            "the rule halving pauses no trials",
        ),
    ],
)
def test_rows_that_only_promotion_has_are_named(url, db, connection, change, said):
    start(db, trials=4)
    assert protocol.release(connection, take(connection))
    for loss in (0.4, 0.3, 0.2, 0.1):
        train(connection, [loss] * 8)
    assert verified(db) == 4
    corrupt(url, change)
    with pytest.raises(LedgerError, match=said):
        verified(db)


@pytest.mark.parametrize("changes", [{"iteration": -5}, {"iteration": 2**40}, {"group_number": -1}])
def test_a_cutoff_of_an_impossible_iteration_or_group_is_named(db, connection, changes):
    start(db, trials=4)
    for loss in (0.4, 0.3, 0.2, 0.1):
        train(connection, [loss] * 8)
    document = exported(db)
    document["cutoffs"][-1] |= changes
    (name,) = changes
    with pytest.raises(UsageError, match=rf"is damaged at cutoffs\[\d+\]\.{name}"):
        read("export.json", json.dumps(document).encode())


def test_a_pending_trial_with_a_verdict_sends_the_last_worker_away(db, connection):
    """The second trial has skipped rung 1, so it waits at rung 2. The third trial waits for the second trial."""
    start(db, trials=3, group_size=1)
    first, second, third = take(connection), take(connection), take(connection)
    assert report(connection, first, 1) == "continue"
    assert report(connection, second, 2) == "wait"
    assert report(connection, third, 1) == "wait"
    assert protocol.release(connection, first)
    assert report(connection, second) == "wait"
    assert report(connection, third) == "release"
    assert protocol.release(connection, third)
    again = take(connection)
    assert again.trial == 0
    assert report(connection, again, 1, 2) == "continue"
    assert report(connection, second) == "continue"


@pytest.mark.parametrize("end", ["failed", "complete"])
def test_a_trial_does_not_wait_for_an_ended_trial(db, connection, end):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    assert report(connection, second, 1, loss=0.3) == "continue"
    assert report(connection, third, 1) == "wait"
    if end == "failed":
        assert protocol.fail(connection, first, "the loss is missing", 1.0) == "failed"
    else:
        complete(connection, first)
    assert report(connection, third) == "continue", "one trial is fewer than eta"
    assert verdicts(connection, 2) == [(1, 1, 0.5, None, 1, False)]


def test_a_trial_that_ended_without_a_verdict_gets_it_before_later_groups(db, connection):
    row = start(db)
    held = [take(connection) for _ in range(6)]
    # the objective of trial 2 does not ask for the verdict
    assert report(connection, held[2], 1, 2, 3, loss=0.1) == "wait"
    complete(connection, held[2], 0.1)
    assert report(connection, held[4], 1) == "wait"
    for number in (0, 1, 3):
        assert report(connection, held[number], 1, loss=0.2 + number / 10) in ("continue", "stop")
    assert verdicts(connection, 2) == []
    assert report(connection, held[4]) == "stop"
    assert verdicts(connection, 2) == [(1, 1, 0.1, 0.2, 2, False)]
    assert cutoffs(connection, 1)[-1] == (0, 2, 0.2, 4)
    assert protocol.prune(connection, held[3], 1.0) == "pruned"
    assert protocol.prune(connection, held[4], 1.0) == "pruned"
    assert report(connection, held[5], 1, 2, loss=0.1) == "wait"
    for number in (0, 1, 5):
        complete(connection, held[number])
    assert verdicts(connection, 5) == [(1, 1, 0.1, 0.2, 4, False)]
    assert tell(db, row, 0, 0.4, 0.1) == "told"
    assert verdicts(connection, 5) == [(1, 1, 0.1, 0.2, 4, False), (2, 2, 0.1, None, 1, False)]
    assert verified(db) == 6


def test_an_audited_trial_does_not_wait(db, connection):
    start(db, audit=0.5)
    held = [take(connection) for _ in range(6)]
    number = next(each for each in (2, 3) if is_audited(held[0].study_seed, each, 0.5))
    assert not TrialStopping(held[number].stopping).waits
    assert report(connection, held[number], 1, loss=0.9) == "continue"
    assert verdicts(connection, number) == []
    for each in (0, 1):
        assert report(connection, held[each], 1, loss=0.1) == "continue"
    assert report(connection, held[number], 2, loss=0.9) == "continue"
    assert verdicts(connection, number)[0] == (1, 1, 0.9, 0.1, 2, True)


def test_an_open_transaction_keeps_no_other_trial_waiting_for_long(db, connection, url):
    start(db)
    held = [take(connection) for _ in range(6)]
    for number in (0, 1):
        report(connection, held[number], 1)
    with psycopg.connect(url) as other:
        assert report(other, held[2], 1, loss=0.1) == "continue"
        # the other transaction has recorded the cutoff, and is still open
        assert report(connection, held[3], 1) == "wait"
    assert report(connection, held[3]) == "stop"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("delete from ledger.cutoff where group_number = 1 and rung = 1", "cutoff of group 1 at rung 1 is missing"),
        (
            "update ledger.cutoff set loss = 0.31 where group_number = 1 and rung = 1",
            r"group 1 at rung 1 is 0.31 \(from 2 trials\), but the earlier groups and iterations result in 0.3",
        ),
        ("update ledger.verdict set stops = false where trial = 2", "the verdict at rung 1: `stops` is False"),
        ("delete from ledger.verdict where trial = 5 and rung = 4", "has reached rung 4, but the verdict is missing"),
    ],
)
def test_verify_names_what_is_wrong_in_a_group(db, connection, url, statement, message):
    row = start(db)
    for loss in (0.4, 0.3, 0.35, 0.2, 0.1, 0.05):
        train(connection, [loss] * 8)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert verified(db) == 6
    db.rollback()
    corrupt(url, statement)
    with pytest.raises(Exception, match=message):
        verified(db)


def test_an_export_keeps_the_cutoffs_of_the_groups(db, connection):
    row = start(db, trials=4)
    for loss in (0.4, 0.3, 0.35, 0.2):
        train(connection, [loss] * 8)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    document = exported(db)
    assert [each["group_number"] for each in document["cutoffs"] if each["rung"] == 1] == [0, 1]
    moved(db, document, "there")
    assert exported(db, "there")["cutoffs"] == document["cutoffs"]


def test_an_export_of_an_older_version_has_no_groups(db, connection):
    start(db, trials=1)
    train(connection, [0.5] * 8)
    document = exported(db)
    for each in document["cutoffs"]:
        del each["group_number"]
    there = moved(db, document, "there")
    assert {each["group_number"] for each in exported(db, there.name)["cutoffs"]} == {0}


@pytest.mark.parametrize(
    ("mode", "stopping"),
    [
        ("batch", {"group_size": 0}),
        ("batch", {"group_size": "2"}),
        ("batch", {"group_size": None}),
        ("batch", {"group_size": 2_000_000_000}),
        ("batch", {"group_size": 2, "rule": "median"}),
        ("steady", {"group_size": 2}),
    ],
)
def test_the_database_refuses_groups_that_no_reader_could_read(db, mode, stopping):
    row = search(db)
    settings = {**row.spec, "mode": mode, "stopping": {**row.spec["stopping"], **stopping}}
    with pytest.raises(Exception, match="no group_size except for halving in batch mode"):
        studies.create(db, "t", settings, "0" * 64, 100, {})


def expected_verdicts(losses: dict[int, list[float | None]]) -> list[tuple[int, int, bool]]:
    """Return the trial, the rung and the stop of each verdict, from the losses at the steps 0 to 7 of each trial."""
    rule = EarlyStopping(rule="halving", eta=2, max_resource=8, group_size=2)
    known: dict[int, list[tuple[int, float | None]]] = {rung: [] for rung in rule.rungs}
    found = []
    for number in sorted(losses):
        for rung in rule.rungs:
            earlier = [loss for other, loss in known[rung] if rule.group_of(other) < rule.group_of(number)]
            is_stopped = stops(losses[number][rung], cutoff("halving", 2, earlier))
            known[rung].append((number, losses[number][rung]))
            found.append((number, rung, is_stopped))
            if is_stopped:
                break
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_verdicts_follow_from_the_losses_in_any_order(db, connection, seed):
    chance = random.Random(seed)
    row = start(db, trials=9)
    losses: dict[int, list[float | None]] = {
        number: [chance.choice([None, *range(20)]) for _ in range(8)] for number in range(9)
    }
    # the claim, the next step, and whether the trial waits for its verdict
    running: dict[int, tuple[ClaimedTrial, int, bool]] = {}
    workers = chance.choice([1, 3, 9])
    while "pending" in states(db, row) or running:
        while len(running) < workers and (taken := protocol.claim(connection, "s", [uuid.uuid4()], "w")):
            running[taken[0].trial] = taken[0], 0, False
        number = chance.choice(list(running))
        held, step, waits = running.pop(number)
        steps = [] if waits else [step]
        answer = protocol.report(connection, held, steps, [losses[number][each] for each in steps])
        if answer == "release" or (answer != "stop" and chance.random() < 0.05):
            assert protocol.release(connection, held)
            connection.execute("update ledger.trial set available_at = claimed_at where number = %s", (number,))
        elif answer == "stop":
            assert protocol.prune(connection, held, 1.0) == "pruned"
        elif answer == "continue" and step + len(steps) == 8:
            complete(connection, held)
        else:
            running[number] = held, step + len(steps), answer == "wait"
    found = connection.execute("select trial, rung, stops from ledger.verdict order by 1, 2").fetchall()
    assert found == expected_verdicts(losses)


def test_the_trials_are_claimed_one_by_one_in_the_order_of_their_numbers(db, connection):
    row = start(db, trials=4)
    connection.execute("select ledger.enqueue(%s, '{\"C\": 5.5}')", (row.id,))
    taken = [protocol.claim(connection, "s", [uuid.uuid4() for _ in range(3)], "w") for _ in range(5)]
    assert [[held.trial for held in each] for each in taken] == [[0], [1], [2], [3], [4]]


def test_a_trial_in_the_pause_after_its_releases_sends_no_worker_away(db, connection):
    start(db)
    first, _, third = take(connection), take(connection), take(connection)
    assert report(connection, third, 1) == "wait"
    assert protocol.release(connection, first)
    connection.execute("update ledger.trial set available_at = ledger.clock() + interval '1 ms' where number = 0")
    connection.execute("update ledger.trial set attempts = 40 where number = 0")
    connection.execute("update ledger.trial set available_at = ledger.clock() + interval '1 minute' where number = 0")
    assert report(connection, third) == "wait"


def test_a_rung_that_no_trial_reports_holds_no_group_up(db, connection):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    for held in (first, second):
        assert report(connection, held, 2, loss=0.3) == "continue"
    assert report(connection, third, 2) == "stop"
    assert verdicts(connection, 2) == [(2, 2, 0.5, 0.3, 2, True)]


@pytest.mark.parametrize("order", [(4, 5), (5, 4)])
def test_a_skipped_rung_does_not_change_a_verdict(db, connection, order):
    start(db)
    held = [take(connection) for _ in range(6)]
    for number in (2, 3):
        assert report(connection, held[number], 1, 2, loss=0.9) == "wait"
        complete(connection, held[number], 0.9)
    for number in (0, 1):
        assert report(connection, held[number], 1, 2, loss=0.3) == "continue"
    for number in order:
        assert report(connection, held[number], 2 if number == 4 else 1) == "stop"
    assert verdicts(connection, 2) == [(1, 1, 0.9, 0.3, 2, True)]
    assert cutoffs(connection, 2)[-1] == (0, 2, 0.3, 2)


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_late_report_of_a_lower_step_does_not_change_a_cutoff(db, connection, asks_first):
    start(db)
    first, second, third = take(connection), take(connection), take(connection)
    assert report(connection, first, 2, loss=0.3) == "continue"
    assert report(connection, second, 1, 2, loss=0.4) == "continue"
    if asks_first:
        assert report(connection, third, 1, loss=0.35) == "continue", "one trial is fewer than eta"
    assert report(connection, first, 1, loss=0.3) == "continue"
    complete(connection, first)
    assert report(connection, third, 1, loss=0.35) == "continue"
    assert verdicts(connection, 0) == [(2, 2, 0.3, None, 0, False)]
    assert cutoffs(connection, 1)[-1] == (0, 1, None, 1)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_lower_step_does_not_change_the_verdict_on_a_waiting_trial(db, connection, is_known):
    row = start(db, trials=4)
    held = [take(connection) for _ in range(4)]

    def report_earlier_group() -> None:
        for each, loss in zip(held, (0.3, 0.4), strict=False):
            assert report(connection, each, 1, 2, 4, loss=loss) == "continue"

    if is_known:
        report_earlier_group()
    assert report(connection, held[2], 0, loss=0.1) == "continue"
    assert report(connection, held[2], 3, loss=0.9) == ("continue" if is_known else "wait")
    assert report(connection, held[2], 2, loss=0.9) == ("continue" if is_known else "wait")
    assert report(connection, held[2], 1, loss=0.9) == ("continue" if is_known else "wait")
    if not is_known:
        report_earlier_group()
    assert report(connection, held[2]) == "continue"
    assert verdicts(connection, 2) == [(1, 0, 0.1, 0.3, 2, False), (2, 0, 0.1, 0.3, 2, False)]
    for each in held:
        complete(connection, each)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert verified(db) == 4


@pytest.mark.parametrize("is_known", [True, False])
def test_a_skipped_rung_has_no_verdict_after_a_lower_step(db, connection, is_known):
    row = start(db, trials=4)
    held = [take(connection) for _ in range(4)]

    def report_earlier_group() -> None:
        for each in held[:2]:
            assert report(connection, each, 1, 2, 4, loss=0.3) == "continue"

    if is_known:
        report_earlier_group()
    assert report(connection, held[2], 3, loss=0.1) == "continue"
    assert report(connection, held[2], 1, loss=0.9) == "continue"
    assert report(connection, held[2], 5, loss=0.1) == ("continue" if is_known else "wait")
    if not is_known:
        report_earlier_group()
    assert report(connection, held[2], 0, loss=0.9) == "continue"
    assert verdicts(connection, 2) == [(4, 3, 0.1, 0.3, 2, False)]
    for each in held:
        complete(connection, each)
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert verified(db) == 4


def test_a_trial_that_did_not_reach_the_rung_again_has_a_verdict(db, connection):
    row = start(db, trials=4)
    held = [take(connection) for _ in range(4)]
    assert report(connection, held[2], 0, 1) == "wait"
    assert protocol.release(connection, held[2])
    again = take(connection)
    assert report(connection, again, 0) == "continue"
    assert protocol.fail(connection, again, "the loss is missing", 1.0) == "failed"
    for number in (0, 1, 3):
        assert report(connection, held[number], 1, loss=0.3) in ("continue", "stop")
        complete(connection, held[number])
    assert tell(db, row, 0, 0.5, 0.5) == "told"
    assert verdicts(connection, 2) == [(1, 1, 0.5, 0.3, 2, True)]
    assert verified(db) == 4


def test_a_waiting_trial_keeps_its_claim(db, connection):
    start(db)
    take(connection)
    take(connection)
    third = take(connection)
    assert report(connection, third, 1) == "wait"
    assert protocol.heartbeat(connection, third)
    assert trial(connection, 2)["state"] == "running"
