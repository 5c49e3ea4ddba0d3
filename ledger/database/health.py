"""Warnings about transactions that keep locks, and about transactions that prevent the removal of dead rows.

Dead rows in the tables slow down every claim of a trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from ledger.database.connection import STATEMENT_SECONDS
from ledger.text import one_line

# The query _SESSIONS omits the current session, and the sessions of other databases. A snapshot in another database has
# no effect on the tables of this database. PostgreSQL hides the times of a session from a role without the necessary
# rights. Therefore the query _SESSIONS omits hidden sessions. The query _HIDDEN counts the hidden sessions.
_SESSIONS = text("""
    select pid, application_name, usename, state, query, xact_start as since, clock_timestamp() - xact_start as age,
      backend_xmin is not null or backend_xid is not null as pins
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and clock_timestamp() - xact_start >= :age
      and (backend_xmin is not null or backend_xid is not null or state like 'idle in transaction%')
    order by xact_start""")
# The query _HOLDERS returns the sessions that hold a lock on a table or view of the ledger, and the sessions for which
# other sessions wait. The query _HOLDERS omits a session that itself waits for a lock. Every role can read pg_locks. If
# a role may not see a session, the start time of the session's transaction is null. The virtual transaction id shows
# whether two executions of _HOLDERS found the same transaction.
_HOLDERS = text("""
    select holder.*, transaction.virtualtransaction as transaction
    from (
      select pid, application_name, usename, state, query, xact_start as since,
        clock_timestamp() - xact_start as age,
        (select count(distinct waiting.pid) from pg_locks as waiting
         where not waiting.granted and clock_timestamp() - waiting.waitstart > :patience
           and activity.pid = any (pg_blocking_pids(waiting.pid))) as waiting,
        exists (
          select from pg_locks as held
          join pg_class on pg_class.oid = held.relation
          where held.pid = activity.pid and held.granted and relnamespace = 'ledger'::regnamespace
            and held.database = activity.datid) as holds
      from pg_stat_activity as activity
      where datname = current_database() and pid <> pg_backend_pid()) as holder
    join pg_locks as transaction on transaction.pid = holder.pid and transaction.locktype = 'virtualxid'
      and transaction.granted and transaction.mode = 'ExclusiveLock'
    where (holder.holds or holder.waiting > 0)
      and not exists (select from pg_locks as own where own.pid = holder.pid and not own.granted)
    order by holder.pid""")
_SLEEP = text("select pg_sleep(:seconds)")
_PREPARED = text("""
    select gid, owner, prepared as since, clock_timestamp() - prepared as age
    from pg_prepared_xacts
    where database = current_database() and clock_timestamp() - prepared >= :age
    order by prepared""")
# PostgreSQL does not record when a replication slot got its snapshot. Therefore the query _SLOTS returns the age of the
# snapshot as a number of transactions.
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
# `LOCK_AGE` equals the time limit of one SQL statement, in seconds. A transaction of a worker or manager is usually
# shorter than `LOCK_AGE` seconds.
LOCK_AGE = STATEMENT_SECONDS
# If a session waits for a lock for longer than this number of seconds, the function `warnings` reports the wait.
LOCK_PATIENCE = 1.0
_LONGEST_STATEMENT = 120
_CONSEQUENCE = "so PostgreSQL cannot remove the old versions of rows that were deleted or updated since then"


@dataclass(frozen=True)
class DatabaseWarnings:
    """Warnings about the database, with advice for the user.

    Attributes
    ----------
    lines : sequence of str
        One warning for each finding, with advice for the user.
    is_held_back : bool
        Whether the tables contain dead rows that PostgreSQL cannot remove.
    """

    lines: Sequence[str]
    is_held_back: bool


def warnings(connection: Connection, older_than: float) -> DatabaseWarnings:
    """Find long transactions, transactions that keep locks, and replication slots that keep a snapshot.

    Parameters
    ----------
    older_than : float
        Minimum age, in seconds, of the open transactions that the function reports. If a transaction holds a lock on a
        table or a view of the ledger, the minimum age is only `LOCK_AGE` seconds. If other sessions wait for a lock of
        a transaction, the function always reports the transaction.
    """
    age = {"age": timedelta(seconds=older_than)}
    with connection.begin():
        sessions = connection.execute(_SESSIONS, age).all()
        prepared = connection.execute(_PREPARED, age).all()
        slots = connection.execute(_SLOTS).all()
        hidden = connection.execute(_HIDDEN).one()
        most = connection.execute(_DEAD).one_or_none()
    holders = {holder.pid: holder for holder in _holders(connection)}
    dead = f"{most.name} has {most.dead:,} dead and {most.live:,} live rows" if most else "no dead rows exist yet"
    lines = [_of_session(session, dead, holders.pop(session.pid, None)) for session in sessions]
    lines += [_of_holder(holder, hidden.role) for holder in holders.values()]
    lines += [
        f"prepared transaction {one_line(repr(row.gid))} of user {one_line(row.owner)} has been open since"
        f" {_since(row)}, {_CONSEQUENCE} ({dead}): end the transaction by `commit prepared` or `rollback prepared`"
        for row in prepared
    ]
    lines += [
        f"replication slot {slot.slot_name}, {'in use' if slot.active else 'not in use'}, holds a snapshot that is"
        f" {slot.transactions:,} transactions old, {_CONSEQUENCE} ({dead}): let the consumer of the slot catch up, or"
        f" drop the slot by `select pg_drop_replication_slot('{slot.slot_name}')`"
        for slot in slots
    ]
    if hidden.sessions:
        lines.append(
            f"{hidden.sessions} sessions of other users are hidden from role {one_line(hidden.role)} and were not"
            " checked: grant pg_read_all_stats to this role, or run this command as another role"
        )
    pinned = bool(prepared or slots or any(session.pins for session in sessions))
    return DatabaseWarnings(lines, is_held_back=pinned and most is not None)


def _holders(connection: Connection) -> list[Row[Any]]:
    """Return the sessions that hold locks for too long, and the sessions for which other sessions wait."""
    patience = {"patience": timedelta(seconds=LOCK_PATIENCE)}
    with connection.begin():
        found = connection.execute(_HOLDERS, patience).all()
    again: set[tuple[int, str]] = set()
    if any(holder.age is None for holder in found):
        # The age of a transaction in a hidden session is unknown. The code executes _HOLDERS twice, with a pause
        # between the executions. If both executions return the same transaction, the transaction was open during the
        # whole pause.
        with connection.begin():
            connection.execute(_SLEEP, {"seconds": LOCK_PATIENCE})
        with connection.begin():
            again = {(holder.pid, holder.transaction) for holder in connection.execute(_HOLDERS, patience)}
    oldest = timedelta(seconds=LOCK_AGE)
    return [
        holder
        for holder in found
        if holder.waiting
        or (holder.age >= oldest if holder.age is not None else (holder.pid, holder.transaction) in again)
    ]


def _of_session(session: Row[Any], dead: str, holder: Row[Any] | None) -> str:
    if session.pins:
        problem = f"has held a snapshot since {_since(session)}, {_CONSEQUENCE} ({dead})"
    else:
        problem = f"has been in a transaction since {_since(session)}, and keeps the locks of this transaction"
    return f"{_subject(session)} {problem}{_waiting(holder)}{_statement(session)}; {_end(session)}"


def _of_holder(holder: Row[Any], role: str) -> str:
    if holder.age is None:
        problem = "keeps locks on tables of the ledger"
        details = f"; role {one_line(role)} cannot see the start time and the statement of the transaction"
        return f"{_subject(holder)} {problem}{_waiting(holder)}{details}; {_end(holder)}"
    problem = f"has been in a transaction since {_since(holder)}, and keeps locks on tables of the ledger"
    return f"{_subject(holder)} {problem}{_waiting(holder)}{_statement(holder)}; {_end(holder)}"


def _subject(session: Row[Any]) -> str:
    name = one_line(session.application_name or "no name")
    return f"session {session.pid} ({name}, user {one_line(session.usename)})"


def _waiting(holder: Row[Any] | None) -> str:
    if holder is None or not holder.waiting:
        return ""
    return f", while {holder.waiting} other session{'s wait' if holder.waiting > 1 else ' waits'} for these locks"


def _statement(session: Row[Any]) -> str:
    statement = " ".join((session.query or "").split())
    return f"; its last statement is `{one_line(statement, _LONGEST_STATEMENT)}`" if statement else ""


def _end(session: Row[Any]) -> str:
    state = f"its state is {session.state}: " if session.state else ""
    return f"{state}end the session by `select pg_terminate_backend({session.pid})`"


def _since(row: Row[Any]) -> str:
    since: datetime = row.since
    return f"{since:%Y-%m-%d %H:%M:%S} UTC ({row.age.total_seconds():,.0f} s)"
