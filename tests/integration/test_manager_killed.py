"""A manager killed at any statement, before it is sent, after it is done, and around every commit."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from ledger import proposals
from ledger.database import protocol
from ledger.database.connection import BoundedConnection, engine
from ledger.database.store import Store
from ledger.errors import LedgerError
from ledger.manager import batch as manager
from ledger.manager.batch import Manager, register
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from tests.integration.ledgers import claim_one


class Killed(BaseException):
    pass


class Faults:
    """Counts the moments at which a manager can die, and kills it at one of them.

    A moment is before or after each statement, and before or after each commit, on the connections of the ledger's
    own kind. After each commit the workers' work is done on `workers`, so that a manager's moments are always the same.
    """

    def __init__(self, workers: psycopg.Connection[Any]) -> None:
        self.workers = workers
        self.moments: list[str] = []
        self.fatal: int | None = None

    def arm(self, fatal: int | None) -> None:
        self.moments, self.fatal = [], fatal

    def pass_by(self, connection: Any, moment: str) -> None:
        self.moments.append(moment)
        if self.fatal == len(self.moments) - 1:
            # what a kill does: the socket closes, and nothing is said
            connection.pgconn.finish()
            raise Killed(moment)

    def work(self) -> None:
        while held := claim_one(self.workers, None, uuid.uuid4(), "w"):
            protocol.complete(self.workers, held, float(held.params["x"]) ** 2, {}, 0.0)


@pytest.fixture
def faults(connection, monkeypatch) -> Faults:
    faults = Faults(connection)
    execute, executemany, commit = psycopg.Cursor.execute, psycopg.Cursor.executemany, BoundedConnection.commit

    def around(send: Any) -> Any:
        def sent(cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(cursor.connection, BoundedConnection):
                return send(cursor, statement, *args, **kwargs)
            faults.pass_by(cursor.connection, f"before {statement}")
            answer = send(cursor, statement, *args, **kwargs)
            faults.pass_by(cursor.connection, f"after {statement}")
            return answer

        return sent

    def committed(connection: Any) -> None:
        faults.pass_by(connection, "before commit")
        commit(connection)
        faults.work()
        faults.pass_by(connection, "after commit")

    monkeypatch.setattr(psycopg.Cursor, "execute", around(execute))
    monkeypatch.setattr(psycopg.Cursor, "executemany", around(executemany))
    monkeypatch.setattr(BoundedConnection, "commit", committed)
    return faults


@pytest.fixture
def remembered_proposals(monkeypatch) -> None:
    """Proposals are a pure function (tests/unit/test_proposals.py), so each is computed once."""
    known: dict[str, Any] = {}
    propose = proposals.propose

    def remembered(study: StudySpec, *args: Any) -> Any:
        key = json.dumps([study.spec(), args], default=vars)
        if key not in known:
            known[key] = propose(study, *args)
        return known[key]

    monkeypatch.setattr(manager, "propose", remembered)
    monkeypatch.setattr(manager, "LOCK_POLL", 0.005)


def study(tmp_path, name: str) -> StudySpec:
    file = tmp_path / "study.toml"
    file.write_text(
        f'[study]\nname = "{name}"\niterations = 3\npoints = 2\nseed = 1\n[objective]\nfunction = "m:f"\n'
        '[optimizer]\nbase_estimator = "ET"\n[space]\nx = { type = "real", low = -1.0, high = 1.0 }\n'
    )
    return assemble({}, file)


@contextmanager
def store_of(url: str) -> Iterator[Store]:
    with engine(url, "ledger manager test").connect() as connection:
        yield Store(connection)


def carry_on(url: str, study: StudySpec) -> None:
    with store_of(url) as store:
        Manager(store, register(store, study)).run()


def outcome(connection: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    found = []
    for statement in (
        "select state, iterations, spec from ledger.study where name = %s",
        "select i.number, i.round, i.size, i.mean_loss, i.best_loss, i.surrogate, i.told_at is not null"
        " from ledger.iteration i join ledger.study on id = study_id where name = %s order by 1",
        "select t.number, t.iteration, t.round, t.params, t.state, t.loss, t.attempts, t.failures, t.lost"
        " from ledger.trial t join ledger.study on id = study_id where name = %s order by 1",
    ):
        found += connection.execute(statement, (name,)).fetchall()
    return found


def test_a_manager_killed_at_any_statement_leaves_a_study_that_goes_on_as_the_undisturbed_one(
    url, connection, faults, remembered_proposals, tmp_path
):
    carry_on(url, study(tmp_path, "calm"))
    undisturbed = outcome(connection, "calm")
    assert [row[5] for row in undisturbed if len(row) == 9] != []
    moments = list(faults.moments)
    for of_interest in ("INSERT INTO ledger.study", "INSERT INTO ledger.trial", "UPDATE ledger.iteration SET told_at"):
        assert any(of_interest in moment for moment in moments), of_interest

    for fatal, moment in enumerate(moments):
        name = f"killed-{fatal}"
        faults.arm(fatal)
        with pytest.raises((Killed, Exception)):
            carry_on(url, study(tmp_path, name))
        assert faults.moments[-1] == moment or "rollback" in faults.moments[-1].lower(), "another moment was hit"
        faults.arm(None)
        carry_on(url, study(tmp_path, name))
        assert outcome(connection, name) == undisturbed, f"killed at moment {fatal}: {moment}"


def test_a_manager_whose_lock_is_lost_stops_before_it_writes(url, connection, faults, remembered_proposals, tmp_path):
    with store_of(url) as store:
        row = register(store, study(tmp_path, "s"))

        def lose(_progress: Any) -> None:
            # what a pooler does that gives the next transaction another session
            with store._connection.begin():
                store._connection.exec_driver_sql("select pg_advisory_unlock_all()")

        with pytest.raises(LedgerError, match="this manager's lock is lost, so it stops before it writes"):
            Manager(store, row, lose).run()
    told = connection.execute("select told_at from ledger.iteration").fetchall()
    assert told == [(None,)]


def test_a_manager_ends_the_session_that_its_own_lost_connection_left_behind(url, tmp_path, connection):
    role = "ledger manager here-1-ab"
    with engine(url, role).connect() as lost, engine(url, role).connect() as again:
        row = register(Store(lost), study(tmp_path, "s"))
        Manager(Store(lost), row)
        Manager(Store(again), row)
        with pytest.raises(Exception, match="terminat|closed"):
            Store(lost).study("s")


def test_a_manager_that_waits_goes_on_when_the_other_has_left(url, connection, faults, monkeypatch, tmp_path):
    with engine(url, "ledger manager one").connect() as one, engine(url, "ledger manager two").connect() as two:
        row = register(Store(one), study(tmp_path, "s"))
        first = Manager(Store(one), row)

        def leave(*_: Any) -> None:
            one.close()

        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", leave)
            second = Manager(Store(two), row, wait=True)
        assert first is not second
        assert second.run().state == "complete"
