-- Every worker that is or was here. It is alive where it has not left and was seen within 30 seconds, or where it holds
-- a claim whose lease has not run out. Study and trial are what it holds now.
create or replace view ledger.workers as
select
  worker.name,
  worker.host,
  worker.pid,
  worker.started_at,
  worker.last_seen_at,
  worker.stopped_at,
  worker.stopped_at is null and worker.last_seen_at > ledger.clock() - ledger.alive_for()
    or coalesce(held.lease_until > ledger.clock(), false) as alive,
  held.study,
  held.trial,
  worker.versions
from ledger.worker
left join (
  -- of several, the one that it will hold the longest, or of those that it claimed together the first
  select distinct on (trial.worker) trial.worker, study.name as study, trial.number as trial, trial.lease_until
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  where trial.state = 'running'
  order by trial.worker, trial.lease_until desc, trial.number) as held on held.worker = worker.name;

comment on view ledger.workers is 'Every worker that is or was here, and what it holds now.';
comment on column ledger.workers.alive is
  'It has not left and was seen within 30 seconds, or it holds a trial whose lease has not run out.';
comment on column ledger.workers.study is 'Name of the study of the trial that it holds; null where it holds none.';
comment on column ledger.workers.trial is
  'Number of the trial that it holds, of several the last whose lease runs out; null where it holds none.';
