"""Warnings about transactions that keep PostgreSQL from removing dead rows. Dead rows slow down every claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from ledger.text import one_line

# The query omits the current session, and the sessions of other databases. A snapshot in another database does not
# affect the tables of this database. If a role may not see a session, the columns of the session are null. The query
# _HIDDEN counts the sessions that the role may not see.
_SESSIONS = text("""
    select pid, application_name, usename, state, xact_start as since, clock_timestamp() - xact_start as age,
      backend_xmin is not null or backend_xid is not null as pins
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and clock_timestamp() - xact_start >= :age
      and (backend_xmin is not null or backend_xid is not null or state like 'idle in transaction%')
    order by xact_start""")
_PREPARED = text("""
    select gid, owner, prepared as since, clock_timestamp() - prepared as age
    from pg_prepared_xacts
    where database = current_database() and clock_timestamp() - prepared >= :age
    order by prepared""")
# PostgreSQL does not record when a replication slot got its snapshot.
_SLOTS = text("""
    select slot_name, active, age(xmin) as transactions
    from pg_replication_slots
    where xmin is not null
    order by age(xmin) desc""")
_HIDDEN = text("""
    select count(*) as sessions, current_user as role
    from pg_stat_activity
    where datname = current_database() and query = '<insufficient privilege>'""")
_DEAD = text("""
    select format('%s.%s', schemaname, relname) as name, n_dead_tup as dead, n_live_tup as live
    from pg_stat_user_tables
    where schemaname = 'ledger' and n_dead_tup > 0
    order by n_dead_tup desc
    limit 1""")
_CONSEQUENCE = "so rows that have died since then cannot be removed"


@dataclass(frozen=True)
class Warnings:
    """Warnings about the database.

    Attributes
    ----------
    lines : sequence of str
        One warning for each finding, with advice for the user.
    is_held_back : bool
        Whether dead rows exist that PostgreSQL cannot remove.
    """

    lines: Sequence[str]
    is_held_back: bool


def warnings(connection: Connection, older_than: float) -> Warnings:
    """Find transactions that are open for at least `older_than` seconds, and replication slots with a snapshot."""
    age = {"age": timedelta(seconds=older_than)}
    with connection.begin():
        sessions = connection.execute(_SESSIONS, age).all()
        prepared = connection.execute(_PREPARED, age).all()
        slots = connection.execute(_SLOTS).all()
        hidden = connection.execute(_HIDDEN).one()
        most = connection.execute(_DEAD).one_or_none()
    dead = f"{most.name} has {most.dead:,} dead and {most.live:,} live rows" if most else "no dead rows exist yet"
    lines = [_of_session(session, dead) for session in sessions]
    lines += [
        f"prepared transaction {one_line(repr(row.gid))} of user {one_line(row.owner)} has been open since"
        f" {_since(row)}, {_CONSEQUENCE} ({dead}): commit it, or roll it back by `rollback prepared`"
        for row in prepared
    ]
    lines += [
        f"replication slot {slot.slot_name}, {'in use' if slot.active else 'not in use'}, holds a snapshot that is"
        f" {slot.transactions:,} transactions old, {_CONSEQUENCE} ({dead}): let its reader catch up, or"
        f" drop the slot by `select pg_drop_replication_slot('{slot.slot_name}')`"
        for slot in slots
    ]
    if hidden.sessions:
        lines.append(
            f"{hidden.sessions} sessions of other users are hidden from role {one_line(hidden.role)} and were not"
            " checked: run this command as another role, or grant pg_read_all_stats to this role"
        )
    pinned = bool(prepared or slots or any(session.pins for session in sessions))
    return Warnings(lines, is_held_back=pinned and most is not None)


def _of_session(session: Row[Any], dead: str) -> str:
    name = one_line(session.application_name or "no name")
    subject = f"session {session.pid} ({name}, user {one_line(session.usename)})"
    if session.pins:
        problem = f"has held a snapshot since {_since(session)}, {_CONSEQUENCE} ({dead})"
    else:
        problem = f"has been in a transaction since {_since(session)}, and keeps its locks"
    return f"{subject} {problem}; it is {session.state}: end it by `select pg_terminate_backend({session.pid})`"


def _since(row: Row[Any]) -> str:
    since: datetime = row.since
    return f"{since:%Y-%m-%d %H:%M:%S} UTC ({row.age.total_seconds():,.0f} s)"
