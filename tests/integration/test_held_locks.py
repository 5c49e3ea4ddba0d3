"""Transactions that are left open with locks. They stop no work on other rows, and cancellations bind nevertheless."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InvalidTransactionState
from sqlalchemy import Connection

from ledger.database import connection as connections
from ledger.database import health, managing, migration, protocol, studies, trials
from ledger.database.connection import engine
from ledger.database.protocol import ClaimedTrial
from ledger.manager import loop
from ledger.manager.registration import register
from ledger.optuna import views as optuna_views
from tests.fuzz import run
from tests.integration.ledgers import attempt, claim_one, make_study, managed, reap, take, trial
from tests.integration.test_manager import study
from tests.system.programs import wait_until

WORDS: dict[str, tuple[Callable[..., object], object]] = {
    "heartbeat": (lambda worker, held: protocol.heartbeat(worker, held), False),
    "report": (lambda worker, held: protocol.report(worker, held, [0], [0.5]), "stale"),
    "prune": (lambda worker, held: protocol.prune(worker, held, 1.0), "stale"),
    "complete": (lambda worker, held: protocol.complete(worker, held, 0.5, {}, 1.0), "stale"),
    "fail": (lambda worker, held: protocol.fail(worker, held, "it broke", 1.0), "stale"),
    "release": (lambda worker, held: protocol.release(worker, held), set()),
}
# The words that would end the trial
ENDING = ("prune", "complete", "fail")


@pytest.fixture(autouse=True)
def impatient(connection, monkeypatch):
    """Let no statement of these tests wait for a lock, so that a test fails instead of waiting."""
    connection.execute("set lock_timeout = '1s'")
    monkeypatch.setattr(trials, "CANCEL_SECONDS", 0.1)


@pytest.fixture
def holder(url: str) -> Iterator[psycopg.Connection]:
    """Yield a worker's session that keeps its transactions open."""
    with psycopg.connect(url) as holder:
        holder.execute("set idle_in_transaction_session_timeout = 0")
        holder.commit()
        yield holder


def held_by(holder: psycopg.Connection, study: str = "s") -> ClaimedTrial:
    """Claim a trial, and lock its row by a heartbeat in an open transaction."""
    held = take(holder, study, "holder")
    holder.commit()
    assert protocol.heartbeat(holder, held)
    return held


def wait_for_a_waiter(connection: psycopg.Connection, holder: psycopg.Connection) -> None:
    """Wait until a session waits for a lock of the holder."""
    waiting = "select from pg_locks where not granted and %s = any (pg_blocking_pids(pid))"
    wait_until(lambda: connection.execute(waiting, (holder.info.backend_pid,)).fetchone() is not None)


def impatient_db(db: Connection) -> None:
    db.exec_driver_sql("set lock_timeout = '1s'")
    db.commit()


def test_a_locked_trial_is_not_reaped_and_delays_no_other_trial(db, connection, holder, advance):
    row = make_study(db)
    impatient_db(db)
    locked, dead = held_by(holder), take(connection)
    advance(31)
    leases = {lease.trial: lease for lease in managing.leases(db, row.id)}
    assert reap(db, row, leases[locked.trial]) == "locked"
    assert reap(db, row, leases[dead.trial]) == "pending"
    holder.rollback()
    assert reap(db, row, leases[locked.trial]) == "pending"


def test_a_renewal_that_is_committed_late_still_counts(db, connection, holder, advance):
    row = make_study(db)
    advance(0)
    held = take(connection)
    advance(31)
    (lease,) = managing.leases(db, row.id)
    assert protocol.heartbeat(holder, held)
    assert reap(db, row, lease) == "locked"
    holder.commit()
    assert reap(db, row, lease) is None
    assert trial(connection)["state"] == "running"


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("what", ["study", "trial"])
def test_a_cancellation_binds_at_the_next_word_of_the_holder(db, connection, holder, word, what):
    row = make_study(db, trials=2)
    impatient_db(db)
    held = held_by(holder)
    if what == "study":
        assert studies.cancel(db, row.id, "enough") == [held.trial]
        assert trial(connection, 1)["state"] == "cancelled"
    else:
        assert trials.cancel(db, row.id, [held.trial], "enough") == [held.trial]
    assert trial(connection)["state"] == "running"
    say, expected = WORDS[word]
    assert say(holder, held) == expected
    holder.commit()
    ended = trial(connection)
    assert (ended["state"], ended["error"], ended["loss"]) == ("cancelled", "enough", None)
    assert attempt(connection, held.claim)["outcome"] == ("stale" if word in ENDING else "lost")
    assert connection.execute("select from ledger.cancellation").fetchall() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("what", ["study", "trial"])
def test_a_cancellation_binds_a_call_that_waited_for_the_row(url, db, connection, holder, word, what, end):
    row = make_study(db, trials=2)
    impatient_db(db)
    held = held_by(holder)
    say, expected = WORDS[word]
    with psycopg.connect(url, autocommit=True) as caller, ThreadPoolExecutor() as pool:
        caller.execute("set lock_timeout = '1min'")  # longer than this test, and ends a test that fails
        answer = pool.submit(say, caller, held)
        wait_for_a_waiter(connection, holder)
        if what == "study":
            assert studies.cancel(db, row.id, "enough") == [held.trial]
        else:
            assert trials.cancel(db, row.id, [held.trial], "enough") == [held.trial]
        assert not answer.done()
        getattr(holder, end)()
        assert answer.result() == expected
    ended = trial(connection)
    assert (ended["state"], ended["error"], ended["loss"]) == ("cancelled", "enough", None)
    assert attempt(connection, held.claim)["outcome"] == ("stale" if word in ENDING else "lost")
    assert connection.execute("select from ledger.cancellation").fetchall() == []


def test_a_stranger_to_a_trial_waits_for_no_lock_of_it(db, connection, holder):
    make_study(db)
    held = replace(held_by(holder), claim=uuid.uuid4())
    for say, _ in WORDS.values():
        say(connection, held)  # ends, although another session has locked the trial's row
    assert connection.execute("select from ledger.attempt where outcome is not null").fetchall() == []


def test_a_manager_that_takes_a_cancelled_trial_back_cancels_it(db, connection, holder, advance):
    row = make_study(db, max_lost=1)
    impatient_db(db)
    held = held_by(holder)
    assert trials.cancel(db, row.id, [held.trial], "enough") == [held.trial]
    holder.rollback()
    advance(31)
    (lease,) = managing.leases(db, row.id)
    assert reap(db, row, lease) is None
    assert (trial(connection)["state"], trial(connection)["error"]) == ("cancelled", "enough")
    assert attempt(connection, held.claim)["outcome"] == "lost"


def test_a_cancellation_that_its_trial_could_not_store_is_refused(db, connection, holder):
    make_study(db)
    held = held_by(holder)
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="the reason: a text of 70000 characters is too long"
    ):
        connection.execute("select ledger.cancel_trials(%s, %s, %s)", (held.study_id, held.trial, "x" * 70_000))
    holder.rollback()
    assert protocol.heartbeat(connection, held)


def test_a_cancellation_is_carried_out_when_the_lock_is_gone(db, connection, holder):
    row = make_study(db)
    impatient_db(db)
    held = held_by(holder)
    studies.cancel(db, row.id, "enough")
    assert managing.end_cancelled(db) == 1, "the row is still locked"
    holder.rollback()
    assert managing.end_cancelled(db) == 0
    assert trial(connection)["state"] == "cancelled"
    assert attempt(connection, held.claim)["outcome"] == "lost"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "stale"


def test_a_result_in_the_locking_transaction_counts_and_does_not_change(db, connection, holder):
    row = make_study(db)
    impatient_db(db)
    held = take(holder)
    assert protocol.complete(holder, held, 0.5, {}, 1.0) == "recorded"
    assert studies.cancel(db, row.id, "enough") == [held.trial]
    holder.commit()
    assert managing.end_cancelled(db) == 0
    assert (trial(connection)["state"], trial(connection)["loss"]) == ("complete", 0.5)


def test_a_claim_in_an_open_transaction_is_cancelled_too(db, connection, holder):
    row = make_study(db, trials=1)
    impatient_db(db)
    held = take(holder)
    assert studies.cancel(db, row.id, "enough") == [0]
    assert studies.get(db, "s").state == "cancelled"
    holder.commit()
    assert not protocol.heartbeat(connection, held)
    assert trial(connection)["state"] == "cancelled"


def test_a_trial_is_cancelled_once_although_it_is_locked(db, connection, holder):
    row = make_study(db)
    impatient_db(db)
    held_by(holder)
    for reason in ("first", "second"):
        assert trials.cancel(db, row.id, [0], reason) == [0]
    holder.rollback()
    protocol.announce(connection, "another", "host", 1, {})
    assert trial(connection)["error"] == "first", "the announcement of any worker carries the cancellation out"


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("word", WORDS)
def test_no_worker_evades_a_cancellation_by_an_old_snapshot(db, holder, level, word):
    make_study(db)
    held = take(holder)
    holder.commit()
    holder.isolation_level = level
    with pytest.raises(InvalidTransactionState, match="in a transaction of isolation level"):
        WORDS[word][0](holder, held)


def test_the_announcement_of_a_worker_waits_for_no_other_session(connection, holder):
    protocol.announce(connection, "known", "host", 1, {})
    for name in ("known", "new"):
        protocol.announce(holder, name, "elsewhere", 2, {})
    for name in ("known", "new"):
        protocol.announce(connection, name, "host", 1, {})
    holder.rollback()
    assert connection.execute("select name, host from ledger.worker").fetchall() == [("known", "host")]


def test_a_claim_waits_for_no_advisory_lock_that_another_session_holds(db, connection, holder):
    make_study(db)
    claim = uuid.uuid4()
    holder.execute("select pg_advisory_lock(uuid_hash_extended(%s, 0))", (claim,))
    held = claim_one(connection, "s", claim, "w")
    assert held is not None
    assert claim_one(connection, "s", claim, "w") == held
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"


def test_a_manager_whose_study_is_locked_reaps_and_goes_on_later(
    url, db, connection, holder, caplog, monkeypatch, tmp_path
):
    row = register(db, study(tmp_path, limits="lease = 0.1\nheartbeat = 0.05", iterations=1))
    monkeypatch.setattr(loop, "RENEWAL", 0.0)  # so that each poll needs the study's row

    def count(condition: str) -> int:
        ((number,),) = connection.execute(f"select count(*) from ledger.attempt where {condition}").fetchall()
        return int(number)

    def watch(_progress: object) -> None:
        """Claim both trials and lock the study, let the manager take the claims back, and unlock the study."""
        if count("true") == 0:
            for _ in range(2):
                claim_one(connection, "s", uuid.uuid4(), "dead")
            answer = holder.execute("select ledger.claim_study(%s, %s, 'other', 30)", (row.id, uuid.uuid4()))
            assert answer.fetchone() == ("taken",)
        elif count("outcome = 'lost'") == 2:
            holder.rollback()
            while (held := claim_one(connection, "s", uuid.uuid4(), "w")) is not None:
                protocol.complete(connection, held, 0.5, {}, 0.0)

    with caplog.at_level("INFO", logger="ledger.manager"), engine(url).connect() as own:
        assert managed(own, row, watch).run().state == "complete"
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "another session has locked study s: run `ledger db check`" in line]) == 1


def test_the_commands_say_that_a_cancellation_waits_for_a_lock(url, db, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_study(db)
    held_by(holder)
    code, out, error = run(["trial", "cancel", "s", "0"], {"DATABASE_URL": url})
    assert (code, out) == (0, "")
    assert "the cancellation of trial 0 of study s is recorded. Another session has locked the trial's row" in error
    assert "`ledger db check` names the session" in error
    code, out, error = run(["study", "cancel", "s"], {"DATABASE_URL": url})
    assert (code, out) == (0, "study s is cancelled\n")
    assert error.count("\n") == 1


def test_a_locked_study_is_not_deleted_and_the_message_names_the_way_out(url, db, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_study(db)
    held_by(holder)
    code, _, error = run(["study", "delete", "s", "--yes"], {"DATABASE_URL": url})
    assert code == 1
    assert "another session has locked study s: run `ledger db check` to find the session" in error
    assert error.count("\n") == 1
    holder.rollback()
    assert run(["study", "delete", "s", "--yes"], {"DATABASE_URL": url})[0] == 0


def age_of(connection: psycopg.Connection, pid: int) -> float:
    asked = "select extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity where pid = %s"
    ((age,),) = connection.execute(asked, (pid,)).fetchall()
    return float(age)


def test_db_check_names_a_session_that_keeps_locks(url, db, connection, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(health, "LOCK_AGE", 0.5)
    make_study(db)
    holder.execute("set application_name = 'odd worker'")
    held = held_by(holder)
    pid = holder.info.backend_pid
    while age_of(connection, pid) < 0.5:
        pass
    code, out, error = run(["db", "check"], {"DATABASE_URL": url})
    assert (code, error) == (0, "")
    named = out.splitlines()[0]
    assert named.startswith(f"warning: session {pid} (odd worker, user {holder.info.user}) has been in a transaction")
    assert "and keeps locks on tables of the ledger; its last statement is `select ledger.heartbeat(" in named
    assert f"; its state is idle in transaction: end the session by `select pg_terminate_backend({pid})`" in named
    assert protocol.heartbeat(holder, held)


def test_db_check_names_a_session_that_others_wait_for_at_any_age(url, db, connection, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(health, "LOCK_PATIENCE", 0.0)
    make_study(db)
    holder.execute("select from ledger.study for no key update")
    pid = holder.info.backend_pid

    def wait() -> None:
        with psycopg.connect(url) as other, suppress(psycopg.errors.QueryCanceled):
            other.execute("select ledger.pause(1)")

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for_a_waiter(connection, holder)
    _, out, _ = run(["db", "check"], {"DATABASE_URL": url})
    assert f"warning: session {pid} (" in out
    assert ", while 1 other session waits for these locks; its last statement is `select from ledger.study" in out
    holder.rollback()
    thread.join()


def test_a_role_that_may_not_see_a_session_is_told_which_one_keeps_locks(url, db, connection, holder):
    row = make_study(db)
    role = f"stranger_{connection.info.dbname}"
    name = sql.Identifier(role)
    connection.execute(sql.SQL("create role {} login password 'stranger'").format(name))
    try:
        held_by(holder)
        pid = holder.info.backend_pid
        with engine(make_conninfo(url, user=role, password="stranger")).connect() as stranger:
            with stranger.begin():
                asked = "select query from pg_stat_activity where pid = %s"
                assert stranger.exec_driver_sql(asked, (pid,)).scalar() == "<insufficient privilege>"
            said = [line for line in health.warnings(stranger, 300).lines if f"session {pid} (" in line]
        assert len(said) == 1
        assert (
            f"user {holder.info.user}) keeps locks on tables of the ledger; role {role} cannot see the start time"
            in said[0]
        )
        assert row.id
    finally:
        connection.execute(sql.SQL("drop role {}").format(name))


def test_an_upgrade_waits_for_no_advisory_lock_of_another_session(url, holder):
    holder.execute("select pg_advisory_lock(%s)", (0x6C6564676572,))  # the key that upgrades once used
    with engine(url).connect() as own:
        migration.upgrade(own)


def test_only_a_claim_takes_an_advisory_lock(root):
    files = [*root.glob("sql/**/*.sql"), *root.glob("ledger/**/*.py"), *root.glob("alembic/**/*.py")]
    taking = [file.name for file in files if re.search(r"pg_(try_)?advisory", file.read_text())]
    assert taking == ["claim.sql"]


def test_an_upgrade_gives_up_soon_if_a_reader_keeps_a_view_locked(url, db, holder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.2)
    holder.execute("select from ledger.trials")
    code, out, error = run(["db", "upgrade"], {"DATABASE_URL": url})
    assert (code, out) == (1, "")
    assert error == (
        "ledger: another session has locked a table or view of the ledger: run `ledger db check` to find the session"
        " that holds the lock, or try again when the transaction of that session has ended\n"
    )
    holder.rollback()
    assert run(["db", "upgrade"], {"DATABASE_URL": url})[0] == 0
    with engine(url).connect() as own:
        assert optuna_views.enable(own)
    holder.execute("select from optuna.studies")
    for command in (["optuna", "disable"], ["optuna", "enable"]):
        code, _, error = run(command, {"DATABASE_URL": url})
        assert (code, error.count("\n")) == (1, 1)
        assert "another session has locked a table or view of the ledger" in error


def test_an_upgrade_waits_for_another_upgrade(url, monkeypatch):
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.1)
    done: list[str] = []

    def upgrade() -> None:
        with engine(url).connect() as second:
            migration.upgrade(second)
            done.append("second")

    with engine(url).connect() as first, psycopg.connect(url, autocommit=True) as watching:
        with first.begin():
            migration.lock_schema(first)
            thread = threading.Thread(target=upgrade)
            thread.start()
            waited = "select from pg_locks where not granted and clock_timestamp() - waitstart > interval '0.3 s'"
            while watching.execute(waited).fetchone() is None:
                assert thread.is_alive()
            done.append("first")
        thread.join()
    assert done == ["first", "second"]
