-- The status of a study at one moment. The query computes the rate of ended trials from the latest ended trials. The
-- rate of ended trials ignores the time before the oldest live worker started. If the rate included a pause of some
-- hours without workers, the rate would be too low for a long time. To keep the result small, the query returns the
-- loss and the value of a trial only if the loss is lower than all earlier losses. The times since a claim, an announcement or a failure are never
-- negative, even if the database's clock was set back.
with moment as materialized (select ledger.clock() as now),
study as materialized (select * from ledger.studies where id = :study),
trial as materialized (
  select number, iteration, round, source, state, loss, value, worker, claimed_at, finished_at, failures, crashes, lost
  from ledger.trials where study_id = :study),
counted as materialized (
  select
    count(*) filter (where trial.source = 'proposed' and finished_at is not null and trial.round = iteration.round)
      as ended,
    count(*) filter (where state = 'complete') as complete,
    count(*) filter (where state = 'running') as running,
    count(*) filter (where state = 'pending') as pending,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    coalesce(sum(failures), 0) as failures,
    coalesce(sum(crashes), 0) as crashes,
    coalesce(sum(lost), 0) as lost,
    max(trial.number) filter (where state = 'complete') as last_complete
  from trial
  join (select number, round from ledger.iterations where study_id = :study) as iteration
    on iteration.number = trial.iteration),
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
  study.name, study.state, study.reason, coalesce(study.spec ->> 'mode', 'batch') as mode, study.direction,
  study.target, study.patience, study.timeout_seconds,
  -- A timeout counts only the time for which managers have held the study.
  case when study.timeout_seconds is not null then
    greatest(study.timeout_seconds - study.managed_seconds - coalesce((
      select sum(greatest(extract(epoch from moment.now - claimed_at), 0)) from ledger.managers
      where study_id = :study and alive), 0), 0)::float8 end as timeout_left,
  study.budget, study.created_at, study.finished_at, moment.now, counted.*,
  (select count(*) from ledger.iterations where study_id = :study and told_at is not null) as iterations_told,
  exists (select from ledger.managers where study_id = :study and alive) as managed,
  (select count(*) from trial where claimed_at is not null and finished_at > began.at) as rated,
  extract(epoch from moment.now - began.at)::float8 as rated_seconds,
  (select jsonb_build_object(
     'trial', first.number, 'iteration', first.iteration, 'loss', first.loss, 'value', first.value,
     'metric', case when metrics ? study.metric then study.metric end,
     'score', ledger.number(metrics -> study.metric))
   from (select number, iteration, loss, value from trial where state = 'complete' order by loss, number limit 1) as first
   join ledger.trials on trials.study_id = :study and trials.number = first.number) as best,
  (select coalesce(jsonb_agg(jsonb_build_array(number, loss, value) order by number), '[]')
   from (
     select number, loss, value,
       min(loss) over (order by number rows between unbounded preceding and 1 preceding) as before
     from trial where state = 'complete') as each
   where before is null or loss < before) as improvements,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'name', here.name, 'host', here.host, 'alive', here.alive, 'trial', here.trial,
       'since', trial.claimed_at,
       'seconds', case when trial.claimed_at > moment.now then 0
         else extract(epoch from moment.now - trial.claimed_at)::float8 end,
       'seen_seconds', greatest(extract(epoch from moment.now - here.last_seen_at), 0)::float8,
       'complete', coalesce(done.complete, 0)
     ) order by here.started_at, here.name), '[]')
   from here
   left join trial on trial.number = here.trial
   left join (select worker, count(*) as complete from trial where state = 'complete' group by worker) as done
     on done.worker = here.name) as workers,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'trial', attempt.trial, 'attempt', attempt.number, 'worker', attempt.worker, 'outcome', attempt.outcome,
       'ended_at', attempt.ended_at,
       'seconds_ago', greatest(extract(epoch from moment.now - attempt.ended_at), 0)::float8,
       'error', attempt.error) order by attempt.ended_at desc), '[]')
   from (
     select trial, number, worker, outcome, ended_at, right(error, 1000) as error
     from ledger.attempts
     -- If the study has no failed, crashed or lost attempts, the condition `failures + crashes + lost > 0`
     -- avoids a read of all attempts of the study.
     where (select failures + crashes + lost > 0 from counted)
       and study_id = :study and outcome in ('failed', 'crashed', 'timeout', 'lost')
     order by ended_at desc limit :failures) as attempt) as failures_seen
from study cross join moment cross join counted cross join began
