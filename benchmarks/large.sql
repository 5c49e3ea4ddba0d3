-- Insert a history of many trials into a study without trials, as the owner of the tables. The parameters are:
--   study: the id of the study.
--   trials, size: the number of trials, and the number of trials in each iteration.
--   open: the number of the last trials that have not ended. Up to five of these trials are running.
--   steady: whether the study is in steady mode.
--   surrogate, environment: the surrogate and the environment of each iteration with proposed trials.
-- Of each 200 trials, one trial failed three times, one is a retry of this trial, one was lost once, and one crashed once. One trial each
-- was enqueued, imported and cancelled. The eight workers never pause, and the last trials ended just now. The search
-- converges slowly.
create temporary table made as
with numbered as (
  select
    n,
    mod(n, 200) as kind,
    n / %(size)s as iteration,
    -- A retry has the parameters of the failed trial.
    case mod(n, 200) when 15 then n - 12 else n end as point,
    moment.now - (%(trials)s - n) / 8 * interval '10 s' - interval '10 s' as claimed_at
  from (select ledger.clock() as now) as moment
  cross join generate_series(0, %(trials)s - 1) as n),
drawn as (
  select
    *,
    -- numbers from 0 to 1 that depend only on the number of the trial
    (hashint8extended(point, 1) & 9007199254740991) / 9007199254740992.0::float8 as u,
    (hashint8extended(point, 2) & 9007199254740991) / 9007199254740992.0::float8 as v,
    (hashint8extended(point, 3) & 9007199254740991) / 9007199254740992.0::float8 as w,
    1 + 4 * (hashint8extended(n, 4) & 1023) / 1024.0::float8 as seconds,
    power(1 + point / 1000.0::float8, -0.15::float8) as width
  from numbered),
points as (
  select *, 0.3 + (u - 0.3) * width as x, 0.3 + (v - 0.3) * width as y, 0.3 + (w - 0.3) * width as z from drawn)
select
  n as number,
  iteration,
  kind,
  case kind when 15 then 'retried' when 23 then 'enqueued' when 31 then 'imported' else 'proposed' end as source,
  case kind when 15 then n - 12 end as retry_of,
  jsonb_build_object('x', x, 'y', y, 'z', z) as params,
  case
    when n >= %(trials)s - least(5, %(open)s) then 'running'
    when n >= %(trials)s - %(open)s then 'pending'
    when kind = 3 then 'failed'
    when kind = 39 then 'cancelled'
    else 'complete'
  end as state,
  (x - 0.3) * (x - 0.3) + (y - 0.3) * (y - 0.3) + (z - 0.3) * (z - 0.3) as loss,
  seconds,
  'host-' || mod(n, 8) as worker,
  claimed_at,
  claimed_at + seconds * interval '1 s' as finished_at
from points;

-- A pending trial may have a kind that only an ended trial has.
update made set kind = 0, source = 'proposed', retry_of = null,
  params = case when kind = 15 then params || '{"x": 0.5}' else params end
where state in ('running', 'pending');

alter table made add attempts int, add failures int, add crashes int, add lost int;
update made set
  attempts = case when source = 'imported' or state in ('pending', 'cancelled') then 0 when kind = 3 then 3
    when kind in (40, 47) then 2 else 1 end,
  failures = case when kind = 3 then 3 else 0 end,
  crashes = case when kind = 47 then 1 else 0 end,
  lost = case when kind = 40 then 1 else 0 end;

-- The iterations are told in their order. `ledger.mark_told` would write the same totals, but would need several minutes.
with compared as (
  select
    *, state not in ('running', 'pending') as has_ended,
    state = 'complete' and loss < coalesce(
      min(loss) filter (where state = 'complete') over (order by number rows between unbounded preceding and 1 preceding),
      'infinity') as is_better
  from made),
counted as (
  select
    iteration, count(*) as size, min(number) as first_trial, min(claimed_at) as asked_at, max(finished_at) as told_at,
    bool_and(has_ended) as is_told, bool_or(source = 'proposed') as is_proposed,
    avg(loss) filter (where state = 'complete') as mean_loss, min(loss) filter (where state = 'complete') as best_loss,
    count(*) filter (where source = 'proposed') as proposed,
    count(*) filter (where state = 'complete') as complete,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    sum(attempts) as attempts, sum(failures) as failures, sum(crashes) as crashes, sum(lost) as lost,
    max(number) filter (where state = 'complete') as last_complete,
    array_agg(number order by number) filter (where is_better) as improvements
  from compared
  group by iteration)
insert into ledger.iteration
  (study_id, number, first_trial, round, size, batch_size, asked_at, ask_seconds, tell_seconds, surrogate, environment,
   seen, told_at, mean_loss, best_loss, told, total_proposed, total_complete, total_pruned, total_failed,
   total_cancelled, total_attempts, total_failures, total_crashes, total_lost, last_complete, improvements)
select
  %(study)s, iteration, first_trial, 0, size,
  case when is_proposed then (select batch_size from ledger.study where id = %(study)s) end,
  asked_at, 0.05, 0.05,
  case when iteration > 1 and is_proposed then %(surrogate)s::jsonb end,
  case when is_proposed then %(environment)s::jsonb else '{}' end,
  case when %(steady)s and is_proposed then case when iteration >= 8 then array[iteration - 8] else '{}' end end,
  case when is_told then told_at end,
  case when is_told then mean_loss end,
  case when is_told then best_loss end,
  case when is_told then row_number() over so_far end,
  case when is_told then sum(proposed) over so_far end,
  case when is_told then sum(complete) over so_far end,
  case when is_told then 0 end,
  case when is_told then sum(failed) over so_far end,
  case when is_told then sum(cancelled) over so_far end,
  case when is_told then sum(attempts) over so_far end,
  case when is_told then sum(failures) over so_far end,
  case when is_told then sum(crashes) over so_far end,
  case when is_told then sum(lost) over so_far end,
  case when is_told then max(last_complete) over so_far end,
  case when is_told then improvements end
from counted
window so_far as (order by iteration)
order by iteration;

insert into ledger.trial
  (study_id, number, iteration, round, source, retry_of, params, state, attempts, failures, crashes, lost, available_at, claim,
   worker, claimed_at, lease_until, finished_at, loss, metrics, error)
select
  %(study)s, number, iteration, 0, source, retry_of, params, state,
  attempts, failures, crashes, lost, claimed_at,
  case when source <> 'imported' and state in ('running', 'complete') then gen_random_uuid() end,
  case when source <> 'imported' and state not in ('pending', 'cancelled') then worker end,
  case when source <> 'imported' and state not in ('pending', 'cancelled') then claimed_at end,
  case when state = 'running' then ledger.clock() + interval '1 day' end,
  case when state not in ('pending', 'running') then finished_at end,
  case when state = 'complete' then loss end,
  case when state = 'complete' then jsonb_build_object('accuracy', 1 - loss, 'rmse', sqrt(loss), 'epochs', 20) end,
  case state when 'failed' then 'Traceback (most recent call last):' || chr(10) || 'ValueError: no'
    when 'cancelled' then 'cancelled by `ledger trial cancel`' end
from made
order by number;

insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, error, loss, seconds)
select
  case when each.number = trial.attempts and trial.claim is not null then trial.claim else gen_random_uuid() end,
  %(study)s, trial.number, each.number, trial.worker,
  -- the attempts of a trial, one after another
  trial.claimed_at + (made.seconds * (each.number - 1) / trial.attempts) * interval '1 s',
  case when made.state <> 'running'
    then trial.claimed_at + (made.seconds * each.number / trial.attempts) * interval '1 s' end,
  case when made.state = 'failed' then 'failed'
    when each.number < trial.attempts then case when trial.crashes > 0 then 'crashed' else 'lost' end
    when made.state = 'complete' then 'complete' end,
  case when made.state = 'failed' then trial.error
    when each.number < trial.attempts
      then case when trial.crashes > 0 then 'the process of the objective ended with signal 11'
        else 'no heartbeat within the lease' end end,
  case when each.number = trial.attempts then trial.loss end,
  case when made.state <> 'running' then made.seconds / trial.attempts end
from made
join ledger.trial on trial.study_id = %(study)s and trial.number = made.number
cross join lateral generate_series(1, trial.attempts) as each (number)
order by trial.number, each.number;

insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at)
select 'host-' || k, 'host', k, '{}', ledger.clock() - interval '30 days', ledger.clock()
from generate_series(0, 7) as k
on conflict do nothing;

drop table made;
