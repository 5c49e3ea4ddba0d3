"""The hash of a trial's reports: null only for a trial without reports, also after an import and an upgrade."""

import uuid

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import migration, protocol, studies, transfer
from ledger.database.connection import engine
from tests.databases import new_database
from tests.integration.ledgers import add_iteration, claim_one, make_study, spec, take
from tests.integration.moving import exported, moved
from tests.integration.test_migration import ROWS


def changed(db: Connection, name: str = "s") -> set[int]:
    return set(transfer.snapshot(db, studies.get(db, name).id).changed_reports)


def add_report(connection: psycopg.Connection, trial: int) -> None:
    connection.execute(
        "insert into ledger.report (study_id, trial, attempt, step, loss, reported_at)"
        " select study_id, number, 1, 9, 0.5, now() from ledger.trial where number = %s and study_id = 1",
        [trial],
    )


def test_a_report_that_is_added_to_an_ended_trial_is_found(db, connection):
    make_study(db)
    for reports in (0, 1):
        held = take(connection)
        for step in range(reports):
            assert protocol.report(connection, held, [step], [0.5]) == "continue"
        assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    assert changed(db) == set()
    for trial in (0, 1, 2):
        add_report(connection, trial)
    assert changed(db) == {0, 1}, "trial 2 has not ended"


def test_an_open_trial_with_reports_gets_its_hash_after_an_import(db, connection, server, template):
    row = studies.create(db, "s", {**spec(2), "resolved": {"initial_points": 2}}, "0" * 64, 2, {})
    assert row is not None
    add_iteration(db, row, 0, 2)
    for _ in range(2):
        assert protocol.report(connection, take(connection), [0, 1], [0.5, 0.25], [{"rate": 0.5}, None]) == "continue"
    document = exported(db)
    with new_database(server, template) as url, engine(url).connect() as there:
        moved(there, document)
        with psycopg.connect(url, autocommit=True) as elsewhere:
            for _ in range(2):
                held = claim_one(elsewhere, "s", uuid.uuid4(), "w")
                assert held is not None
                assert protocol.complete(elsewhere, held, 0.5, {}, 1.0) == "recorded"
            assert changed(there) == set()
            elsewhere.execute("alter table ledger.report disable trigger user")
            elsewhere.execute("""update ledger.report set metrics = '{"rate": 0.25}' where trial = 1 and step = 0""")
        assert changed(there) == {1}


@pytest.mark.parametrize("installed", [False, True], ids=["without functions", "with functions"])
def test_an_upgrade_fills_the_hashes_of_trials_that_have_reports(server, installed):
    """The functions refuse each change of an ended trial, except that of the upgrade."""
    with new_database(server) as url, engine(url).connect() as db:
        if installed:
            migration.upgrade(db)
            migration.downgrade(db, "0008")
        else:
            migration.upgrade(db, "0008")
        with psycopg.connect(url, autocommit=True) as connection:
            for file in sorted(ROWS.iterdir())[:8]:
                connection.execute(file.read_text())
            migration.upgrade(db)
            assert changed(db, "under-way") == set()
            hashes = connection.execute(
                "select number, state, octet_length(reports_sha256) from ledger.trial"
                " where study_id = 1 and reports_sha256 is not null order by number"
            ).fetchall()
            assert hashes == [(1, "complete", 32), (2, "running", 0), (4, "pruned", 32), (5, "paused", 0)]
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute("update ledger.trial set loss = 1 where number = 1 and study_id = 1")
            for trial in (0, 1, 2):
                add_report(connection, trial)
        assert changed(db, "under-way") == {0, 1}


def test_a_downgrade_forgets_that_a_step_came_after_a_higher_step(db, connection):
    make_study(db)
    held = take(connection)
    for step in (3, 1):
        assert protocol.report(connection, held, [step], [0.5]) == "continue"
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    assert connection.execute("select after_step from ledger.report order by step").fetchall() == [(3,), (None,)]
    migration.downgrade(db, "0014")
    migration.upgrade(db)
    assert changed(db) == set()
