"""A manager holds a study by a claim with a lease: who gets the study, and what a claim that was replaced can write."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from ledger.database import managing, protocol, studies
from ledger.database.connection import driver, engine
from ledger.database.managing import ClaimedStudy, ProposedBatch
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests.integration.ledgers import claim_one, make_study, managed, take

LEASE = 30.0


@pytest.fixture
def study(db: Connection) -> StudyRow:
    """A study with one iteration of four pending trials, which no manager holds."""
    return make_study(db)


@pytest.fixture
def another(url: str) -> Iterator[Connection]:
    """The session of a second manager."""
    with engine(url).connect() as connection:
        yield connection


def claim_of(study: StudyRow) -> ClaimedStudy:
    return ClaimedStudy(study.id, uuid.uuid4())


def claim_as(connection: psycopg.Connection[Any], held: ClaimedStudy, backend: int | None) -> str:
    """Claim a study as a manager that knows its session by this process id."""
    answer = connection.execute(
        "select ledger.claim_study(%s, %s, 'pooled', %s, %s)", (held.study_id, held.claim, LEASE, backend)
    ).fetchone()
    assert answer is not None
    return str(answer[0])


def holder(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("select * from ledger.manager").fetchone()
    assert row is not None
    return row


def contents(connection: psycopg.Connection[Any]) -> list[Any]:
    """Every row that a manager may write."""
    rows = connection.execute(
        "select s::text from ledger.study as s union all select m::text from ledger.manager as m"
        " union all select i::text from ledger.iteration as i union all select t::text from ledger.trial as t"
        " union all select a::text from ledger.attempt as a order by 1"
    )
    return rows.fetchall()


def end_session(connection: psycopg.Connection[Any], session: Connection) -> None:
    """End the session of a manager, as its death does, and wait until the server has noticed."""
    ended = connection.execute("select pg_terminate_backend(%s, 60000)", (driver(session).info.backend_pid,)).fetchone()
    assert ended == (True,)
    session.invalidate()


def test_a_second_manager_gets_taken(db, another, study):
    first, second = claim_of(study), claim_of(study)
    assert managing.claim_study(db, first, "first", LEASE) == "held"
    assert managing.claim_study(another, second, "second", LEASE) == "taken"
    assert managing.claim_study(db, first, "first", LEASE) == "held"


def test_two_studies_are_held_apart(db, another, study):
    other = make_study(db, "other")
    assert managing.claim_study(db, claim_of(study), "first", LEASE) == "held"
    assert managing.claim_study(another, claim_of(other), "second", LEASE) == "held"


def test_a_study_that_does_not_exist_is_unknown(db):
    assert managing.claim_study(db, ClaimedStudy(7, uuid.uuid4()), "first", LEASE) == "unknown"


@pytest.mark.parametrize(("seconds", "message"), [(0.0, "lease_is_positive"), (-1.0, "-1 is not a plausible duration")])
def test_a_lease_is_longer_than_nothing(db, connection, study, seconds, message):
    with pytest.raises(psycopg.DatabaseError, match=message):
        connection.execute("select ledger.claim_study(%s, %s, 'm', %s)", (study.id, uuid.uuid4(), seconds))
    assert managing.claim_study(db, claim_of(study), "next", LEASE) == "held"


def test_a_holder_is_shown_without_its_claim(db, connection, study, advance):
    held = claim_of(study)
    managing.claim_study(db, held, "first", LEASE)
    shown = "select study_id, study, manager, alive from ledger.managers"
    assert connection.execute(shown).fetchall() == [(study.id, "s", "first", True)]
    advance(LEASE + 1)
    assert connection.execute(shown).fetchall() == [(study.id, "s", "first", False)]
    assert str(held.claim) not in str(connection.execute("select * from ledger.managers").fetchall())


def test_a_session_that_ended_is_succeeded_at_once(db, another, connection, study):
    assert managing.claim_study(another, claim_of(study), "first", 3600.0) == "held"
    successor = claim_of(study)
    assert managing.claim_study(db, successor, "second", LEASE) == "taken"
    end_session(connection, another)
    assert connection.execute("select alive from ledger.managers").fetchall() == [(False,)]
    assert managing.claim_study(db, successor, "second", LEASE) == "held"
    assert holder(connection)["name"] == "second"


def test_a_manager_goes_on_with_its_claim_on_another_session(url, db, another, connection, study):
    held = claim_of(study)
    assert managing.claim_study(another, held, "first", LEASE) == "held"
    end_session(connection, another)
    with engine(url).connect() as again:
        assert managing.claim_study(again, held, "first", LEASE) == "held"
        assert managing.claim_study(db, claim_of(study), "second", LEASE) == "taken"
        assert holder(connection)["backend_pid"] == driver(again).info.backend_pid


@pytest.mark.parametrize("known", ["another process id", "none"])
def test_behind_a_pooler_only_the_lease_counts(url, db, connection, study, advance, known):
    first, second = claim_of(study), claim_of(study)
    with psycopg.connect(url, autocommit=True) as pooled:
        backend = None if known == "none" else pooled.info.backend_pid + 1
        assert claim_as(pooled, first, backend) == "held"
        pid = pooled.info.backend_pid
    row = holder(connection)
    assert (row["backend_pid"], row["backend_started_at"]) == (None, None)
    # the server's own session has ended, which says nothing about the manager
    connection.execute("select pg_terminate_backend(%s, 60000)", (pid,))
    assert managing.claim_study(db, second, "second", LEASE) == "taken"
    advance(LEASE - 5)
    assert managing.claim_study(db, second, "second", LEASE) == "taken"
    advance(LEASE + 1)
    assert managing.claim_study(db, second, "second", LEASE) == "held"
    assert claim_as(connection, first, None) == "taken"


def test_a_session_that_goes_on_loses_the_study_with_its_lease(db, another, study, advance):
    first, second = claim_of(study), claim_of(study)
    assert managing.claim_study(db, first, "first", LEASE) == "held"
    advance(LEASE - 5)
    assert managing.claim_study(another, second, "second", LEASE) == "taken"
    advance(LEASE + 1)
    assert managing.claim_study(another, second, "second", LEASE) == "held"
    assert managing.claim_study(db, first, "first", LEASE) == "taken"


def test_a_renewal_prolongs_the_lease(db, another, connection, study, advance):
    first, second = claim_of(study), claim_of(study)
    assert managing.claim_study(db, first, "first", LEASE) == "held"
    before = holder(connection)
    advance(LEASE - 5)
    assert managing.claim_study(db, first, "first", 2 * LEASE) == "held"
    after = holder(connection)
    assert after["lease_until"] - before["lease_until"] > 0.5 * after["lease"]
    assert (after["claimed_at"], after["lease"].total_seconds()) == (before["claimed_at"], 2 * LEASE)
    advance(2 * LEASE)
    assert managing.claim_study(another, second, "second", LEASE) == "taken"


def test_a_lease_that_ran_out_is_renewed_if_no_other_took_it(db, another, study, advance):
    held = claim_of(study)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    advance(10 * LEASE)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    assert managing.claim_study(another, claim_of(study), "second", LEASE) == "taken"


@pytest.mark.parametrize("write", ["propose", "tell", "finish"])
def test_a_write_renews_the_lease(db, another, connection, study, advance, write):
    held = claim_of(study)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    advance(LEASE - 5)
    answer = {
        "propose": lambda: managing.propose(db, held, batch()),
        "tell": lambda: managing.tell(db, held, 0, 4, None, None),
        "finish": lambda: managing.finish(db, held, "complete", None, study.budget),
    }[write]()
    assert answer == ("proposed" if write == "propose" else "changed"), "its trials have not ended"
    advance(LEASE + 10)
    assert managing.claim_study(another, claim_of(study), "second", LEASE) == "taken"
    assert connection.execute("select alive from ledger.managers").fetchall() == [(True,)]


def test_a_study_that_was_left_is_free_at_once(db, another, connection, study):
    held = claim_of(study)
    assert managing.claim_study(db, held, "first", 3600.0) == "held"
    managing.leave_study(another, claim_of(study))
    assert holder(connection)["claim"] == held.claim, "another claim gives nothing back"
    managing.leave_study(db, held)
    assert connection.execute("select count(*) from ledger.manager").fetchone() == (0,)
    assert managing.claim_study(another, claim_of(study), "second", LEASE) == "held"


def batch(number: int = 1, round: int = 0, known: int = 4) -> ProposedBatch:
    return ProposedBatch(number, round, known, [{"C": 900.0}], None, {}, 0.0, 0.0)


@pytest.fixture
def replaced(db, another, connection, study, advance) -> ClaimedStudy:
    """A claim that was replaced, of a study whose trial 0 is late, and whose other trials have ended."""
    late = take(connection)
    connection.execute(
        "update ledger.trial set state = 'cancelled', finished_at = ledger.clock() where number <> %s", (late.trial,)
    )
    held = claim_of(study)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    advance(LEASE + 5)
    assert managing.claim_study(another, claim_of(study), "second", 3600.0) == "held"
    return held


@pytest.mark.parametrize("round", [0, 1])
def test_a_replaced_claim_proposes_nothing(db, connection, replaced, round):
    before = contents(connection)
    assert managing.propose(db, replaced, batch(1 - round, round)) == "lost"
    assert contents(connection) == before


def test_a_replaced_claim_takes_no_trial_back(db, connection, replaced):
    (lease,) = managing.leases(db, replaced.study_id)
    before = contents(connection)
    assert managing.reap(db, replaced, lease) is None
    assert contents(connection) == before
    # the successor does
    assert managing.reap(db, ClaimedStudy(replaced.study_id, holder(connection)["claim"]), lease) == "pending"


@pytest.mark.parametrize("state", ["complete", "failed"])
def test_a_replaced_claim_tells_and_finishes_nothing(db, connection, study, replaced, state):
    connection.execute(
        "update ledger.trial set state = 'failed', error = 'no', lease_until = null, finished_at = now()"
        " where number = 0"
    )
    before = contents(connection)
    assert managing.tell(db, replaced, 0, 4, None, None) == "lost"
    assert managing.finish(db, replaced, state, "why", study.budget) == "lost"
    managing.leave_study(db, replaced)
    assert contents(connection) == before
    # the successor does
    held = ClaimedStudy(study.id, holder(connection)["claim"])
    assert managing.tell(db, held, 0, 4, None, None) == "told"
    assert managing.finish(db, held, state, "why", study.budget) == "finished"


@pytest.mark.parametrize("claim", [None, uuid.UUID(int=0)])
def test_a_claim_that_is_guessed_writes_nothing(db, connection, study, claim):
    assert managing.claim_study(db, claim_of(study), "first", LEASE) == "held"
    before = contents(connection)
    answers = [
        connection.execute(statement, parameters).fetchone()
        for statement, parameters in (
            (
                "select ledger.propose(%s, %s, 1, 0, 4, %s, null, '{}', 0, 0, null)",
                (study.id, claim, Jsonb([{"C": 900.0}])),
            ),
            ("select ledger.tell(%s, %s, 0, 4, null, null)", (study.id, claim)),
            ("select ledger.finish(%s, %s, 'complete', null, %s)", (study.id, claim, study.budget)),
            ("select ledger.leave_study(%s, %s)", (study.id, claim)),
        )
    ]
    assert answers == [("lost",), ("lost",), ("lost",), (False,)]
    assert contents(connection) == before


def test_a_write_under_way_is_waited_for_by_a_successor(url, db, another, connection, study, advance):
    """The successor takes the study after that write, or not at all: it never reads a half-made iteration."""
    held, successor = claim_of(study), claim_of(study)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    advance(LEASE + 5)
    with psycopg.connect(url) as writer, ThreadPoolExecutor(1) as pool:
        proposed = writer.execute(
            "select ledger.propose(%s, %s, 1, 0, 4, %s, null, '{}', 0, 0, null)",
            (study.id, held.claim, Jsonb([{"C": 900.0}])),
        ).fetchone()
        assert proposed == ("proposed",)
        taking = pool.submit(managing.claim_study, another, successor, "second", LEASE)
        pid = driver(another).info.backend_pid
        waits = "select cardinality(pg_blocking_pids(%s)) > 0"
        while connection.execute(waits, (pid,)).fetchone() != (True,):
            assert not taking.done(), "it has not waited"
        writer.commit()
        # the write has renewed the lease
        assert taking.result(timeout=60) == "taken"
    assert connection.execute("select count(*) from ledger.trial").fetchone() == (5,)


def test_a_write_that_was_rolled_back_lets_a_successor_in(url, db, another, connection, study, advance):
    held, successor = claim_of(study), claim_of(study)
    assert managing.claim_study(db, held, "first", LEASE) == "held"
    advance(LEASE + 5)
    with psycopg.connect(url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute(
            "select ledger.tell(%s, %s, 0, 4, null, null)",
            (study.id, held.claim),
        )
        taking = pool.submit(managing.claim_study, another, successor, "second", LEASE)
        pid = driver(another).info.backend_pid
        waits = "select cardinality(pg_blocking_pids(%s)) > 0"
        while connection.execute(waits, (pid,)).fetchone() != (True,):
            assert not taking.done(), "it has not waited"
        writer.rollback()
        assert taking.result(timeout=60) == "held"
    assert managing.propose(db, held, batch()) == "lost"


def test_of_several_managers_at_once_exactly_one_gets_the_study(url, study):
    def compete(index: int) -> str:
        with engine(url).connect() as own:
            answer = managing.claim_study(own, claim_of(study), f"m{index}", LEASE)
            # no session ends before each has asked
            arrived.wait(60)
            return answer

    count = 6
    arrived = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(compete, range(count)))
    assert sorted(answers) == ["held", *["taken"] * (count - 1)]


def test_a_process_id_of_another_session_counts_as_ended(connection):
    def ended(pid: int | None, start: str) -> bool:
        row = connection.execute(
            f"select ledger.session_ended(%s, {start}) from pg_stat_activity where pid = pg_backend_pid()", (pid,)
        ).fetchone()
        assert row is not None
        return bool(row[0])

    own = connection.info.backend_pid
    assert not ended(own, "backend_start")
    assert ended(own, "backend_start - interval '1 second'"), "the process id was given to another session"
    assert not ended(own, "null"), "its start is unknown, so it counts as going on"
    assert ended(2**30, "backend_start")
    assert not ended(None, "null"), "the session is unknown"


def test_a_holder_whose_process_id_was_reused_is_succeeded(db, another, connection, study):
    assert managing.claim_study(db, claim_of(study), "first", 3600.0) == "held"
    connection.execute("update ledger.manager set backend_started_at = backend_started_at - interval '1 second'")
    assert managing.claim_study(another, claim_of(study), "second", LEASE) == "held"


def test_a_study_with_a_manager_is_not_deleted(db, another, connection, study, advance):
    held = claim_of(study)
    assert managing.claim_study(another, held, "first", LEASE) == "held"
    assert studies.delete(db, study) == "managed"
    assert studies.find(db, "s") is not None
    advance(LEASE + 1)
    assert studies.delete(db, study) == "deleted"
    assert connection.execute("select count(*) from ledger.manager").fetchone() == (0,)
    assert studies.delete(db, study) == "unknown"
    assert managing.propose(another, held, batch()) == "lost"
    assert managing.claim_study(another, held, "first", LEASE) == "unknown"


def test_a_study_whose_manager_died_is_deleted(db, another, connection, study):
    assert managing.claim_study(another, claim_of(study), "first", 3600.0) == "held"
    end_session(connection, another)
    assert studies.delete(db, study) == "deleted"


def test_a_manager_whose_study_was_taken_stops_before_it_writes(db, another, connection, advance):
    successor: list[ClaimedStudy] = []

    def take_over(_progress: object) -> None:
        if not successor:
            while (taken := claim_one(connection, "own", uuid.uuid4(), "w")) is not None:
                protocol.complete(connection, taken, 0.5, {}, 1.0)
            advance(3600)
            successor.append(claim_of(own))
            assert managing.claim_study(another, successor[0], "second", 36000.0) == "held"

    own = register(db, assemble({"name": "own"}))
    manager = managed(db, own, take_over)
    with pytest.raises(LedgerError, match="another manager has claimed study own"):
        manager.run()
    assert connection.execute("select claim from ledger.manager").fetchall() == [(successor[0].claim,)]
    assert connection.execute("select number, told_at from ledger.iteration").fetchall() == [(0, None)]
