-- The utilisation of each worker for each study. The utilisation is the time for which the worker is busy, divided by
-- the time for which the worker is present. A worker is busy while the worker holds at least one trial. A worker holds
-- a trial from the claim to the end of the attempt. The presence of a worker for a study begins when the worker has
-- started and the study exists. The presence of a worker for a study ends when the worker stops or the study ends. If a
-- worker has not stopped, and its last announcement is at most 30 seconds old, the worker is present now. A worker that
-- has an open attempt is present now. If a worker has not stopped, and is not present now, the presence of the worker
-- ended at the later of two times: the worker's last announcement, and the end of the worker's last attempt. The view
-- ignores the end of a lost attempt, because the worker did not record the end of the attempt.
create or replace view ledger.utilisation as
select
  study,
  worker,
  attempts,
  complete,
  busy_seconds,
  training_seconds,
  present_seconds,
  busy_seconds / nullif(present_seconds, 0) as utilisation
from (
  select
    study.name as study,
    work.worker,
    work.attempts,
    work.complete,
    (select coalesce(sum(extract(epoch from upper(held) - lower(held))), 0)::float8
     from unnest(work.held * tstzmultirange(here.present)) as held) as busy_seconds,
    work.training_seconds,
    case when worker.name is not null
         then extract(epoch from upper(here.present) - lower(here.present))::float8 end as present_seconds
  from ledger.study
  cross join lateral (
    select
      attempt.worker,
      count(*) as attempts,
      count(*) filter (where attempt.outcome = 'complete') as complete,
      coalesce(sum(attempt.seconds), 0) as training_seconds,
      bool_or(attempt.outcome is null) as is_under_way,
      max(attempt.ended_at) filter (where attempt.outcome <> 'lost') as last_heard_at,
      -- If the database's clock was set back, the recorded end of an attempt can be before the start. The function
      -- `tstzrange` raises an error if the end of a range is before the start.
      range_agg(tstzrange(
        attempt.claimed_at, greatest(attempt.claimed_at, coalesce(attempt.ended_at, ledger.clock())))) as held
    from ledger.attempt
    where attempt.study_id = study.id
    group by attempt.worker) as work
  left join ledger.worker on worker.name = work.worker
  cross join lateral (
    select case
      when worker.name is null then tstzrange(null, null)
      else tstzrange(began, greatest(began, ended))
    end as present
    from (
      select
        greatest(worker.started_at, study.created_at) as began,
        least(
          coalesce(study.finished_at, ledger.clock()),
          coalesce(
            worker.stopped_at,
            case
              when work.is_under_way
                or ledger.announced_recently(worker.last_seen_at, ledger.clock())
              then ledger.clock()
              else greatest(worker.last_seen_at, work.last_heard_at)
            end)) as ended) as ends) as here) as counted;

comment on view ledger.utilisation is 'The utilisation of each worker; one row for each study and worker.';
comment on column ledger.utilisation.study is 'Name of the study.';
comment on column ledger.utilisation.worker is 'Name of the worker.';
comment on column ledger.utilisation.attempts is
  'Number of attempts of the worker in the study, including released attempts.';
comment on column ledger.utilisation.complete is 'Number of the worker''s attempts that ended with a recorded loss.';
comment on column ledger.utilisation.busy_seconds is
  'Seconds for which the worker held at least one trial of the study.';
comment on column ledger.utilisation.training_seconds is
  'Seconds of training, as measured by the worker; attempts without a measurement count as 0.';
comment on column ledger.utilisation.present_seconds is
  'Seconds for which the worker was present for the study; null if the worker never announced itself.';
comment on column ledger.utilisation.utilisation is
  'busy_seconds divided by present_seconds, from 0 to 1; null if the worker never announced itself.';
