-- How busily each worker worked for each study. A worker is busy while it holds a trial, from the claim to the end of the
-- attempt; trials that it holds at once count once. It is present from its start to its end, or to now while it was seen
-- within 30 seconds or an attempt is under way, or else to when it was last heard of; and within the study's own time.
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
      -- a clock that was set back must not make a range that ends before it begins
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
              when work.is_under_way or worker.last_seen_at > ledger.clock() - ledger.alive_for() then ledger.clock()
              else greatest(worker.last_seen_at, work.last_heard_at)
            end)) as ended) as ends) as here) as counted;

comment on view ledger.utilisation is 'How busily each worker worked for each study, one row a study and worker.';
comment on column ledger.utilisation.study is 'Name of the study.';
comment on column ledger.utilisation.worker is 'Name of the worker.';
comment on column ledger.utilisation.attempts is 'Trials of the study that it claimed, those that it gave back included.';
comment on column ledger.utilisation.complete is 'Attempts that ended with the trial''s loss.';
comment on column ledger.utilisation.busy_seconds is
  'Seconds for which it held a trial of the study; trials that it held at once count once.';
comment on column ledger.utilisation.training_seconds is
  'Seconds of training, as the worker measured them; what it did not measure counts as none.';
comment on column ledger.utilisation.present_seconds is
  'Seconds for which it was here between the study''s beginning and end; null where it never said that it was.';
comment on column ledger.utilisation.utilisation is
  'busy_seconds by present_seconds, from 0 to 1; null where it never said that it was here.';
