"""How a study stands at one moment, for a view of it: one statement, which reads the views alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import LedgerError
from ledger.text import last_line

# Ended trials that the rate is taken from, or twice the points of an iteration where that is more.
_RATED = 20
_FAILURES = 3

# The rate is that of the latest trials, and begins no earlier than the oldest worker that is alive: a pause of hours
# would count for long. Only improvements of the best loss are fetched, which are few however many trials there are.
_QUERY = text("""
with moment as materialized (select ledger.clock() as now),
study as materialized (select * from ledger.studies where id = :study),
trial as materialized (
  select number, iteration, round, source, state, loss, worker, claimed_at, finished_at, failures, lost
  from ledger.trials where study_id = :study),
latest as (
  select number, round, told_at from ledger.iterations where study_id = :study order by number desc limit 1),
counted as materialized (
  select
    count(*) filter (where state = 'complete') as complete,
    count(*) filter (where state = 'running') as running,
    count(*) filter (where state = 'pending') as pending,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    count(*) filter (where source = 'proposed' and finished_at is not null) as ended,
    count(*) filter (
      where source = 'proposed' and finished_at is not null
        and (iteration, round) = (select number, round from latest where told_at is null)) as ended_now,
    coalesce(sum(failures), 0) as failures,
    coalesce(sum(lost), 0) as lost,
    max(number) filter (where state = 'complete') as last_complete
  from trial),
here as materialized (
  select worker.name, worker.host, worker.alive, worker.started_at, worker.last_seen_at,
    case when worker.study = study.name then worker.trial end as trial
  from ledger.workers as worker cross join study
  where worker.study = study.name or worker.study is null and worker.alive),
began as (
  select greatest(
    coalesce(
      (select finished_at from trial where claimed_at is not null and finished_at is not null
       order by finished_at desc offset greatest(:rated, (select 2 * batch_size from study)) limit 1),
      (select min(claimed_at) from trial)),
    (select min(started_at) from here where alive)) as at)
select
  study.name, study.state, study.reason, coalesce(study.spec ->> 'mode', 'batch') as mode,
  study.iterations, study.batch_size, study.created_at, study.finished_at, moment.now,
  (select count(*) from ledger.iterations where study_id = :study and told_at is not null) as told,
  counted.*,
  exists (
    select from pg_locks
    where locktype = 'advisory' and granted and objsubid = 2 and classid = :manager and objid = :study
      and database = (select oid from pg_database where datname = current_database())) as managed,
  (select count(*) from trial where claimed_at is not null and finished_at > began.at) as rated,
  extract(epoch from moment.now - began.at)::float8 as rated_seconds,
  (select jsonb_build_object(
     'trial', first.number, 'iteration', first.iteration, 'loss', first.loss,
     'metric', case when metrics ? asked.name then asked.name end, 'score', ledger.number(metrics -> asked.name))
   from (select number, iteration, loss from trial where state = 'complete' order by loss, number limit 1) as first
   join ledger.trials on trials.study_id = :study and trials.number = first.number
   cross join lateral (select coalesce(study.spec -> 'objective' ->> 'metric', 'accuracy') as name) as asked) as best,
  (select coalesce(jsonb_agg(jsonb_build_array(number, loss) order by number), '[]')
   from (
     select number, loss,
       min(loss) over (order by number rows between unbounded preceding and 1 preceding) as before
     from trial where state = 'complete') as each
   where before is null or loss < before) as improvements,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'name', here.name, 'host', here.host, 'alive', here.alive, 'trial', here.trial,
       'since', trial.claimed_at,
       'seconds', extract(epoch from moment.now - trial.claimed_at)::float8,
       'seen_seconds', extract(epoch from moment.now - here.last_seen_at)::float8,
       'complete', coalesce(done.complete, 0)
     ) order by here.started_at, here.name), '[]')
   from here
   left join trial on trial.number = here.trial
   left join (select worker, count(*) as complete from trial where state = 'complete' group by worker) as done
     on done.worker = here.name) as workers,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'trial', attempt.trial, 'attempt', attempt.number, 'worker', attempt.worker, 'outcome', attempt.outcome,
       'ended_at', attempt.ended_at, 'seconds_ago', extract(epoch from moment.now - attempt.ended_at)::float8,
       'error', attempt.error) order by attempt.ended_at desc), '[]')
   from (
     select trial, number, worker, outcome, ended_at, right(error, 1000) as error
     from ledger.attempts
     -- asked of a study without any, this would read all its attempts in vain
     where (select failures + lost > 0 from counted)
       and study_id = :study and outcome in ('failed', 'timeout', 'lost')
     order by ended_at desc limit :failures) as attempt) as failures_seen
from study cross join moment cross join counted cross join began
""")


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that is alive, or that holds a trial of the study.

    Attributes
    ----------
    trial : int or None
        What it trains, for `seconds`; None where it is idle.
    since : datetime or None
        When it claimed that trial.
    seen_seconds : float
        Since it said that it is here.
    complete : int
        Trials of the study that it has completed.
    """

    name: str
    host: str
    alive: bool
    trial: int | None
    since: datetime | None
    seconds: float | None
    seen_seconds: float
    complete: int


@dataclass(frozen=True)
class Failure:
    """An attempt that failed, was lost or took too long, with the last line of its error."""

    trial: int
    attempt: int
    worker: str
    outcome: str
    ended_at: datetime
    seconds_ago: float
    error: str


@dataclass(frozen=True)
class Status:
    """A study at the moment `now` of the database's clock, which all seconds here are by.

    Attributes
    ----------
    iterations_told, iterations : int
        How many of the budget are told; in steady mode, how many iterations' worth of trials have ended.
    done, total : int
        Trials of the budget that have ended, of how many; what was retried, enqueued or imported does not count.
    complete, running, pending, failed, cancelled : int
        Trials in each state.
    failures, lost : int
        Attempts that count against a trial's limits.
    managed : bool
        Whether a manager is at work.
    trials_a_second : float or None
        At which trials ended of late; None where none has.
    remaining_seconds : float or None
        An estimate, from that rate; None where the study does not run or nothing is known.
    best : mapping or None
        Of the complete trial with the lowest loss: trial, iteration, loss.
    improvements : sequence of (int, float)
        Each complete trial, in the order of numbers, whose loss is below all before it, with that loss.
    last_complete : int or None
        Number of the last complete trial, where the convergence ends.
    workers : sequence of WorkerStatus
        The earliest first.
    latest_failures : sequence of Failure
        The latest first, at most 3.
    """

    name: str
    state: str
    reason: str | None
    mode: str
    now: datetime
    created_at: datetime
    finished_at: datetime | None
    elapsed_seconds: float
    iterations_told: int
    iterations: int
    done: int
    total: int
    complete: int
    running: int
    pending: int
    failed: int
    cancelled: int
    failures: int
    lost: int
    managed: bool
    trials_a_second: float | None
    remaining_seconds: float | None
    best: Mapping[str, Any] | None
    improvements: Sequence[tuple[int, float]]
    last_complete: int | None
    workers: Sequence[WorkerStatus]
    latest_failures: Sequence[Failure]

    @property
    def has_ended(self) -> bool:
        return self.state in ("complete", "failed", "cancelled")


def read(connection: Connection, study_id: int, manager_lock: int) -> Status:
    """Ask how a study stands, in one statement.

    Parameters
    ----------
    manager_lock : int
        The class of the managers' advisory locks.

    Raises
    ------
    LedgerError
        There is no such study any more.
    """
    given = {"study": study_id, "manager": manager_lock, "rated": _RATED, "failures": _FAILURES}
    row = connection.execute(_QUERY, given).one_or_none()
    if row is None:
        raise LedgerError("the study was deleted while it was watched")
    total = row.iterations * row.batch_size
    if row.mode == "steady":
        done = row.ended
        told = min(row.iterations, done // row.batch_size)
    else:
        done = row.told * row.batch_size + min(row.batch_size, row.ended_now)
        told = row.told
    done = min(done, total)
    rate = row.rated / row.rated_seconds if row.rated and row.rated_seconds > 0 else None
    is_known = rate is not None and row.state == "running" and row.managed
    end = row.finished_at or row.now
    return Status(
        name=row.name,
        state=row.state,
        reason=row.reason,
        mode=row.mode,
        now=row.now,
        created_at=row.created_at,
        finished_at=row.finished_at,
        elapsed_seconds=(end - row.created_at).total_seconds(),
        iterations_told=told,
        iterations=row.iterations,
        done=done,
        total=total,
        complete=row.complete,
        running=row.running,
        pending=row.pending,
        failed=row.failed,
        cancelled=row.cancelled,
        failures=int(row.failures),
        lost=int(row.lost),
        managed=row.managed,
        trials_a_second=rate,
        remaining_seconds=(total - done) / rate if rate is not None and is_known else None,
        best=row.best,
        improvements=[(number, float(loss)) for number, loss in row.improvements],
        last_complete=row.last_complete,
        workers=[WorkerStatus(**{**one, "since": _moment(one["since"])}) for one in row.workers],
        latest_failures=[
            Failure(**{**one, "ended_at": _moment(one["ended_at"]), "error": _said(one["error"])})
            for one in row.failures_seen
        ],
    )


def _moment(value: str | None) -> Any:
    """Return a time out of JSON, in UTC as the connection's."""
    return None if value is None else datetime.fromisoformat(value)


def _said(error: str | None) -> str:
    return last_line(error) if error else ""
