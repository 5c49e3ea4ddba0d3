"""Limits on the attempts of a trial and on the workers without an attempt."""

import uuid

from ledger.database import protocol, reads
from tests.integration.ledgers import claim_one, make_study, stop_clock, take


def test_a_trial_that_is_released_again_and_again_waits_longer_and_longer(db, connection):
    make_study(db, trials=1)
    now = 0.0
    stop_clock(connection, now)
    waits = []
    for _ in range(30):
        held = None
        waited = 0.0
        while held is None:
            held = claim_one(connection, "s", uuid.uuid4(), "w")
            if held is None:
                waited = max(2 * waited, 1.0)
                stop_clock(connection, now + waited)
        now += waited
        waits.append(waited)
        assert protocol.release(connection, held) == {held.claim}
    # the first claim, and five releases
    assert waits[:6] == [0.0] * 6
    assert waits[6:12] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert waits == sorted(waits)
    # the trial is never out of reach: the pause is at most an hour
    stop_clock(connection, now + 3600)
    held = take(connection)
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"


def test_3000_claims_and_releases_leave_few_attempts(db, connection):
    make_study(db, trials=1)
    stop_clock(connection, 0)
    for _ in range(3_000):
        held = claim_one(connection, "s", uuid.uuid4(), "w")
        if held is not None:
            protocol.release(connection, held)
    assert connection.execute("select count(*) from ledger.attempt").fetchone() == (6,)


def test_20000_announcements_leave_no_more_workers_than_the_ledger_keeps(db, connection, advance):
    make_study(db)
    protocol.announce(connection, "busy", "host", 1, {"python": "3"})
    held = take(connection, worker="busy")
    # the rows of 20,000 announcements, and one more announcement
    connection.execute(
        "with clock as materialized (select ledger.clock() as now)"
        " insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at, stopped_at)"
        " select 'w' || n, 'host', 1, '{}', moment, moment, case when n % 2 = 0 then moment end"
        " from clock, generate_series(1, 20000) as n, lateral (select now - n * interval '1 ms' as moment) as at"
    )
    protocol.announce(connection, "new", "host", 1, {"python": "3"})
    names = {name for (name,) in connection.execute("select name from ledger.worker").fetchall()}
    assert len(names) == 5_002
    assert {"busy", "new", "w1", "w4999"} < names
    # an hour later, the idle workers are gone, and a worker with an attempt is not
    advance(3_700)
    protocol.announce(connection, "later", "host", 1, {"python": "3"})
    assert connection.execute("select name from ledger.worker order by 1").fetchall() == [("busy",), ("later",)]
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    # a forgotten worker that is still alive comes back
    protocol.announce(connection, "new", "host", 1, {})
    assert {row.name for row, _ in reads.workers(db)} == {"busy", "later", "new"}
