"""What holds back the removal of dead rows: a snapshot that stays open makes every claim slower, for everybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from ledger.text import one_line

# Of this database alone, whose tables no other's snapshots hold back; and never the session that asks. What a role may
# not see of others' sessions is null here, and counted by _HIDDEN.
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
# since when is not recorded
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
_KEPT = "so no row that has died since then is removed"


@dataclass(frozen=True)
class Warnings:
    """What there is to warn of.

    Attributes
    ----------
    lines : sequence of str
        One a finding, with what to do about it.
    is_held_back : bool
        Whether dead rows are there that cannot be removed.
    """

    lines: Sequence[str]
    is_held_back: bool


def warnings(connection: Connection, older_than: float) -> Warnings:
    """Look for what has kept dead rows from being removed for at least `older_than` seconds."""
    age = {"age": timedelta(seconds=older_than)}
    with connection.begin():
        sessions = connection.execute(_SESSIONS, age).all()
        prepared = connection.execute(_PREPARED, age).all()
        slots = connection.execute(_SLOTS).all()
        hidden = connection.execute(_HIDDEN).one()
        most = connection.execute(_DEAD).one_or_none()
    dead = f"{most.name} has {most.dead:,} beside {most.live:,} live ones" if most else "there are none yet"
    lines = [_of_session(session, dead) for session in sessions]
    lines += [
        f"prepared transaction {one_line(repr(one.gid))} of user {one_line(one.owner)} is open since {_since(one)},"
        f" {_KEPT} ({dead}): commit it, or `rollback prepared`"
        for one in prepared
    ]
    lines += [
        f"replication slot {one.slot_name}, {'in use' if one.active else 'not in use'}, holds a snapshot that is"
        f" {one.transactions:,} transactions old, {_KEPT} ({dead}): let its reader catch up, or"
        f" `select pg_drop_replication_slot('{one.slot_name}')`"
        for one in slots
    ]
    if hidden.sessions:
        lines.append(
            f"sessions of other users ({hidden.sessions}) are hidden from {one_line(hidden.role)}, so what they hold"
            " back is not known: ask as another role, or `grant pg_read_all_stats` to this one"
        )
    pinned = bool(prepared or slots or any(session.pins for session in sessions))
    return Warnings(lines, is_held_back=pinned and most is not None)


def _of_session(session: Row[Any], dead: str) -> str:
    name = one_line(session.application_name or "without a name")
    who = f"session {session.pid} ({name}, user {one_line(session.usename)})"
    if session.pins:
        what = f"holds a snapshot since {_since(session)}, {_KEPT} ({dead})"
    else:
        what = f"is in a transaction since {_since(session)}, with whatever locks it took"
    return f"{who} {what}; it is {session.state}: end it by `select pg_terminate_backend({session.pid})`"


def _since(row: Row[Any]) -> str:
    since: datetime = row.since
    return f"{since:%Y-%m-%d %H:%M:%S} UTC ({row.age.total_seconds():,.0f} s)"
