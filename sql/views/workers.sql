-- All workers, including stopped workers. A worker that has not stopped is alive if the worker's last announcement is
-- at most 30 seconds old. Any worker, even a stopped worker, is alive while the worker holds a trial whose lease has
-- not ended. The columns `study` and `trial` identify the trial that the worker holds now.
create or replace view ledger.workers as
select
  worker.name as worker,
  worker.host,
  worker.pid,
  worker.started_at,
  worker.last_seen_at,
  worker.stopped_at,
  worker.stopped_at is null and ledger.announced_recently(worker.last_seen_at, ledger.clock())
    or not coalesce(ledger.lease_ended(held.lease_until, held.lease, ledger.clock()), true) as alive,
  held.study,
  held.trial,
  worker.versions
from ledger.worker
left join (
  -- If a worker holds several trials, the view shows the trial whose lease ends last. If several leases end at the same
  -- time, the view shows the trial with the lowest number.
  select distinct on (trial.worker) trial.worker, study.name as study, trial.number as trial, trial.lease_until,
    study.lease
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  where trial.state = 'running'
  order by trial.worker, trial.lease_until desc, trial.number) as held on held.worker = worker.name;

comment on view ledger.workers is 'All workers, present and past, and the trials that they hold now.';
comment on column ledger.workers.alive is
  'True if the worker has not stopped and has announced itself within 30 seconds, or if it holds a trial with a valid '
  'lease.';
comment on column ledger.workers.study is
  'Name of the study of the trial that the worker holds; null if the worker holds no trial.';
comment on column ledger.workers.trial is
  'Number of the trial that the worker holds; of several trials, the trial whose lease expires last; null if it holds '
  'no trial.';
comment on column ledger.workers.worker is 'Unique name of the worker, made of host, process id and four random digits.';
