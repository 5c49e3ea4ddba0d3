"""A manager that is killed at any statement: before it is sent, after its execution, and around each commit."""

import pickle
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger import proposals
from ledger.database import protocol, studies, transfer
from ledger.database.connection import ConnectionWithTimeout, engine
from ledger.errors import LedgerError
from ledger.manager import loop
from ledger.manager.loop import StudyManager
from ledger.manager.registration import register
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.verification import proposals as verified_proposals
from ledger.verification import verify
from tests.integration.ledgers import claim_one, managed


class Killed(BaseException):
    pass


class Faults:
    """Counter of the moments at which a manager can die. It kills the manager at one of them.

    A moment is before or after a statement or a commit, on the connections of the ledger. After each commit, `workers`
    completes the pending trials, so that the moments of a manager are always the same.
    """

    def __init__(self, workers: psycopg.Connection[Any]) -> None:
        self.workers = workers
        self.moments: list[str] = []
        self.fatal: int | None = None

    def arm(self, fatal: int | None) -> None:
        self.moments, self.fatal = [], fatal

    def pass_by(self, connection: Any, moment: str) -> None:
        if self.fatal is not None and len(self.moments) > self.fatal:
            connection.pgconn.finish()
            raise Killed("a killed process does nothing more")
        self.moments.append(moment)
        if self.fatal == len(self.moments) - 1:
            # like a kill: the socket closes without a message
            connection.pgconn.finish()
            raise Killed(moment)

    def work(self) -> None:
        while held := claim_one(self.workers, None, uuid.uuid4(), "w"):
            protocol.complete(self.workers, held, float(held.params["x"]) ** 2, {}, 0.0)


@pytest.fixture
def faults(connection, monkeypatch) -> Faults:
    faults = Faults(connection)
    execute, executemany, commit = psycopg.Cursor.execute, psycopg.Cursor.executemany, ConnectionWithTimeout.commit

    def around(send: Any) -> Any:
        def sent(cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(cursor.connection, ConnectionWithTimeout):
                return send(cursor, statement, *args, **kwargs)
            # a composed statement contains the number of the study
            text = re.sub(r"Literal\(-?\d+\)", "Literal", str(statement))
            faults.pass_by(cursor.connection, f"before {text}")
            answer = send(cursor, statement, *args, **kwargs)
            faults.pass_by(cursor.connection, f"after {text}")
            return answer

        return sent

    def committed(connection: Any) -> None:
        faults.pass_by(connection, "before commit")
        commit(connection)
        faults.work()
        faults.pass_by(connection, "after commit")

    monkeypatch.setattr(psycopg.Cursor, "execute", around(execute))
    monkeypatch.setattr(psycopg.Cursor, "executemany", around(executemany))
    monkeypatch.setattr(ConnectionWithTimeout, "commit", committed)
    return faults


@pytest.fixture
def remembered_proposals(monkeypatch) -> None:
    """Cache the proposals, which are a pure function (tests/unit/test_proposals.py)."""
    known: dict[bytes, Any] = {}
    propose = proposals.propose

    def remembered(study: StudySpec, *args: Any) -> Any:
        key = pickle.dumps([study.spec(), args])
        if key not in known:
            known[key] = propose(study, *args)
        return known[key]

    monkeypatch.setattr(loop, "propose", remembered)
    monkeypatch.setattr(loop, "TAKE_POLL", 0.005)


def study(tmp_path, name: str) -> StudySpec:
    file = tmp_path / "study.toml"
    file.write_text(
        f'[study]\nname = "{name}"\niterations = 3\nbatch_size = 2\nseed = 1\n[objective]\nfunction = "m:f"\n'
        '[optimizer]\nbase_estimator = "ET"\n[space]\nx = { type = "real", low = -1.0, high = 1.0 }\n'
    )
    return assemble({}, file)


@contextmanager
def connection_of(url: str) -> Iterator[Connection]:
    with engine(url, "ledger manager test").connect() as connection:
        yield connection


def carry_on(url: str, study: StudySpec) -> None:
    with connection_of(url) as db:
        managed(db, register(db, study)).run()


def outcome(connection: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    found = []
    for statement in (
        "select state, budget, spec from ledger.study where name = %s",
        "select i.number, i.round, i.size, i.mean_loss, i.best_loss, i.surrogate, i.told_at is not null"
        " from ledger.iteration i join ledger.study on id = study_id where name = %s order by 1",
        "select t.number, t.iteration, t.round, t.params, t.state, t.loss, t.attempts, t.failures, t.lost"
        " from ledger.trial t join ledger.study on id = study_id where name = %s order by 1",
    ):
        found += connection.execute(statement, (name,)).fetchall()
    return found


def test_a_manager_killed_at_any_statement_changes_no_study(url, connection, faults, remembered_proposals, tmp_path):
    carry_on(url, study(tmp_path, "calm"))
    undisturbed = outcome(connection, "calm")
    assert [row[5] for row in undisturbed if len(row) == 9] != []
    moments = list(faults.moments)
    for of_interest in (
        "ledger.create_study",
        "ledger.claim_study",
        "ledger.propose",
        "ledger.tell",
        "ledger.finish",
        "ledger.leave_study",
    ):
        assert any(of_interest in moment for moment in moments), of_interest

    for fatal, moment in enumerate(moments):
        name = f"killed-{fatal}"
        faults.arm(fatal)
        # SQLAlchemy may raise another error from the closed connection
        with suppress(Killed, Exception):
            carry_on(url, study(tmp_path, name))
        assert len(faults.moments) > fatal
        assert faults.moments[-1] == moment or "rollback" in faults.moments[-1].lower(), "another moment was hit"
        faults.arm(None)
        carry_on(url, study(tmp_path, name))
        assert outcome(connection, name) == undisturbed, f"killed at moment {fatal}: {moment}"


def steady_study(tmp_path, name: str) -> StudySpec:
    """A study in steady mode with the rule promotion, and the rungs 1, 2 and 4."""
    file = tmp_path / "steady.toml"
    file.write_text(
        f'[study]\nname = "{name}"\ntrials = 10\nbatch_size = 2\nseed = 1\nmode = "steady"\n'
        '[objective]\nfunction = "m:f"\n[optimizer]\nbase_estimator = "ET"\n'
        '[stopping]\nrule = "promotion"\neta = 2\nmax_resource = 8\naudit = 0.0\n'
        '[space]\nx = { type = "real", low = -1.0, high = 1.0 }\n'
    )
    return assemble({}, file)


def train(workers: psycopg.Connection[Any]) -> None:
    """Train all pending trials. A trial that was promoted continues after its last step."""
    while held := claim_one(workers, None, uuid.uuid4(), "w"):
        assert held.stopping is not None
        last = max(rung["last_step"] or 0 for rung in held.stopping["rungs"])
        loss = 0.0
        for step in range(last + 1, 9):
            # The first trials are the best, so that later arrivals let paused trials go on.
            loss = held.trial % 7 + float(held.params["x"]) ** 2 / 2 + 1 / step
            if protocol.report(workers, held, [step], [loss]) == "stop":
                assert protocol.prune(workers, held, 0.0) == "paused"
                break
        else:
            assert protocol.complete(workers, held, loss, {}, 0.0) == "recorded"


def test_a_manager_killed_at_a_promotion_leaves_records_that_verify(
    url, connection, faults, remembered_proposals, monkeypatch, tmp_path
):
    monkeypatch.setattr(verified_proposals, "propose", vars(loop)["propose"])
    monkeypatch.setattr(faults, "work", lambda: train(connection))
    carry_on(url, steady_study(tmp_path, "calm"))
    words = ("ledger.promote_waiting(", "ledger.prune_paused(", "ledger.propose(")
    moments = list(faults.moments)
    for word in words:
        assert any(word in moment for moment in moments), word
    places = {
        place + after
        for place, moment in enumerate(moments)
        if any(word in moment for word in words)
        for after in range(3)
    }
    for fatal in sorted(places):
        name = f"killed-{fatal}"
        faults.arm(fatal)
        # SQLAlchemy may raise another error from the closed connection
        with suppress(Killed, Exception):
            carry_on(url, steady_study(tmp_path, name))
        faults.arm(None)
        carry_on(url, steady_study(tmp_path, name))
        with connection_of(url) as db:
            found = verify(transfer.snapshot(db, studies.get(db, name).id))
        assert (found.trials, found.not_comparable) == (10, [])
        states = connection.execute(
            "select distinct trial.state from ledger.trials as trial where study = %s order by 1", (name,)
        ).fetchall()
        assert states == [("complete",), ("pruned",)], f"killed at moment {fatal}"


def test_a_manager_takes_its_study_again_on_another_connection(url, tmp_path):
    claim = uuid.uuid4()
    with connection_of(url) as lost, connection_of(url) as again:
        row = register(lost, study(tmp_path, "s"))
        StudyManager(lost, row, claim, "one")
        StudyManager(again, row, claim, "one")
        with connection_of(url) as other, pytest.raises(LedgerError, match="study s has a manager"):
            StudyManager(other, row, uuid.uuid4(), "two")


def test_a_manager_that_waits_goes_on_when_the_other_has_left(url, connection, faults, monkeypatch, tmp_path):
    with connection_of(url) as one, connection_of(url) as two:
        row = register(one, study(tmp_path, "s"))
        first = managed(one, row)

        def leave(*_: Any) -> None:
            one.close()

        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", leave)
            second = managed(two, row, wait=True)
        assert first is not second
        assert second.run().state == "complete"
