-- Who worked, on how much, and how busily? Busy is the share of its time here that a worker spent on attempts.
-- psql -f sql/queries/worker_activity.sql
select worker.name as worker, worker.host, date_trunc('second', worker.started_at) as started_at,
  case when worker.stopped_at is not null then 'left' when worker.alive then 'here' else 'silent' end as presence,
  count(attempt.trial) as attempts,
  count(*) filter (where attempt.outcome = 'complete') as complete,
  round(sum(extract(epoch from coalesce(attempt.ended_at, ledger.clock()) - attempt.claimed_at)), 1) as busy_seconds,
  round(100 * sum(extract(epoch from coalesce(attempt.ended_at, ledger.clock()) - attempt.claimed_at))
    / nullif(extract(epoch from coalesce(worker.stopped_at, ledger.clock()) - worker.started_at), 0)) as busy_percent
from ledger.workers as worker
left join ledger.attempts as attempt on attempt.worker = worker.name
group by worker.name, worker.host, worker.started_at, worker.stopped_at, worker.alive
order by worker.started_at, worker.name;
