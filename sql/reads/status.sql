-- The status of a study at one moment. To count the complete trials of each worker, the query reads an index. The count
-- of the complete trials takes longer if more trials have ended. The time for the other parts of the query does not
-- depend on the number of ended trials. The query computes the rate of ended trials from the latest ended trials. The
-- rate of ended trials does not include the time before the start of the oldest live worker. If the rate included hours
-- without workers, the rate would be too low for a long time. To keep the result small, the query returns the losses
-- and the values of at most `improvements` trials. The returned trials are improvements, so each returned trial has a
-- lower loss than all earlier trials. The times since a claim, an announcement or a failure are never negative, even if
-- the database's clock was set back.
with moment as materialized (select ledger.clock() as now),
study as materialized (select * from ledger.studies where study_id = :study),
counted as materialized (select * from ledger.counts where study_id = :study),
here as materialized (
  select worker.worker as name, worker.host, worker.alive, worker.started_at, worker.last_seen_at,
    case when worker.study = study.study then worker.trial end as trial
  from ledger.workers as worker cross join study
  where worker.study = study.study or worker.study is null and worker.alive),
-- The trials with the highest numbers usually have the latest attempts. In rare cases, the latest attempt belongs to a
-- trial with a lower number.
latest as materialized (
  select trial.claimed_at, trial.finished_at
  from (
    select distinct attempt.trial
    from (
      select trial from ledger.attempts where study_id = :study
      order by trial desc, attempt desc
      limit 100 + 4 * (select least(greatest(:rated, 2 * batch_size), :most_rated) from study)) as attempt) as attempted
  cross join lateral (
    select claimed_at, finished_at from ledger.trials
    where study_id = :study and trials.trial = attempted.trial
    -- Without the clause "offset 0", the planner could read all trials of the study.
    offset 0) as trial
  where trial.claimed_at is not null),
began as (
  select greatest(
    coalesce(
      (select finished_at from latest where finished_at is not null
       order by finished_at desc
       offset (select least(greatest(:rated, 2 * batch_size), :most_rated) from study) limit 1),
      (select min(claimed_at) from latest)),
    (select min(started_at) from here where alive)) as at),
improvement as materialized (
  select trial as number, loss, value, row_number() over (order by trial) as place, count(*) over () as places
  from ledger.improvements where study_id = :study)
select
  study.study as name, study.state, study.reason, coalesce(study.spec ->> 'mode', 'batch') as mode, study.direction,
  study.target, study.patience, study.timeout_seconds,
  -- The stopping criterion `timeout` limits only the time for which managers have held the study.
  case when study.timeout_seconds is not null then
    greatest(study.timeout_seconds - study.managed_seconds - coalesce((
      select sum(greatest(extract(epoch from moment.now - claimed_at), 0)) from ledger.managers
      where study_id = :study and alive), 0), 0)::float8 end as timeout_left,
  study.budget, study.created_at, study.finished_at, moment.now,
  counted.iterations_told, counted.ended, counted.complete, counted.running, counted.paused, counted.pending, counted.pruned,
  counted.failed, counted.cancelled, counted.failures, counted.crashes, counted.lost, counted.last_complete,
  exists (select from ledger.managers where study_id = :study and alive) as managed,
  (select count(*) from latest where finished_at > began.at) as rated,
  extract(epoch from moment.now - began.at)::float8 as rated_seconds,
  (select jsonb_build_object(
     'trial', trial, 'iteration', iteration, 'loss', loss, 'value', value,
     'metric', case when metrics ? study.metric then study.metric end,
     'score', ledger.number(metrics -> study.metric))
   from ledger.trials
   where study_id = :study and state = 'complete'
   order by loss, trial
   limit 1) as best,
  -- If the study has more than `improvements` improvements, the query returns a selection that contains every n-th
  -- improvement. The selection includes the first and the last improvement.
  (select coalesce(jsonb_agg(jsonb_build_array(number, loss, value) order by number), '[]')
   from improvement
   where places <= :improvements or place = places
     or mod(place - 1, 1 + (places - 1) / (:improvements - 1)) = 0) as improvements,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'name', here.name, 'host', here.host, 'alive', here.alive, 'trial', here.trial,
       'since', trial.claimed_at,
       'seconds', case when trial.claimed_at > moment.now then 0
         else extract(epoch from moment.now - trial.claimed_at)::float8 end,
       'seen_seconds', greatest(extract(epoch from moment.now - here.last_seen_at), 0)::float8,
       'complete', (
         select count(*) from ledger.trials as done
         where done.study_id = :study and done.worker = here.name and done.state = 'complete'),
       -- The query reads at most one report of each worker's trial, in the order of the primary key.
       'step', (
         select step from ledger.reports
         where study_id = :study and reports.trial = here.trial and reports.attempt = trial.attempts
         order by step desc
         limit 1)
     ) order by here.started_at, here.name), '[]')
   from here
   left join ledger.trials as trial on trial.study_id = :study and trial.trial = here.trial) as workers,
  (select coalesce(jsonb_agg(jsonb_build_object(
       'trial', attempt.trial, 'attempt', attempt.attempt, 'worker', attempt.worker, 'outcome', attempt.outcome,
       'ended_at', attempt.ended_at,
       'seconds_ago', greatest(extract(epoch from moment.now - attempt.ended_at), 0)::float8,
       'error', attempt.error) order by attempt.ended_at desc), '[]')
   from (
     select attempt.trial, attempt.attempt, attempt.worker, attempt.outcome, attempt.ended_at,
       right(attempt.error, 1000) as error
     from (
       -- In a descending order, PostgreSQL sorts null before all times, so the trials that have not ended come first.
       select trial as number from ledger.trials
       where study_id = :study and failures + crashes + lost > 0
       order by finished_at desc
       limit :troubled) as trial
     join ledger.attempts as attempt on attempt.study_id = :study and attempt.trial = trial.number
     where attempt.outcome in ('failed', 'crashed', 'timeout', 'lost')
     order by attempt.ended_at desc
     limit :failures) as attempt) as failures_seen,
  study.spec ? 'stopping' as stops_early
from study cross join moment cross join counted cross join began
