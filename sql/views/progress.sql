-- The progress and the best result of each study; one row for each study. In steady mode, each full batch of ended
-- trials counts as a told iteration.
create or replace view ledger.progress as
select
  study.name as study,
  study.state,
  case study.spec ->> 'mode'
    when 'steady' then least(study.iterations, trials.ended / study.batch_size)
    else count(told.number)
  end as iterations_told,
  study.iterations,
  trials.complete,
  trials.running,
  trials.pending,
  trials.failed,
  trials.cancelled,
  trials.attempts,
  trials.best_loss,
  best.score as best_score,
  study.created_at,
  coalesce(study.finished_at, ledger.clock()) - study.created_at as elapsed,
  study.reason,
  best.metric
from ledger.study
left join ledger.iteration as told on told.study_id = study.id and told.told_at is not null
cross join lateral (
  select
    count(*) filter (where trial.state = 'complete') as complete,
    count(*) filter (where trial.state = 'running') as running,
    count(*) filter (where trial.state = 'pending') as pending,
    count(*) filter (where trial.state = 'failed') as failed,
    count(*) filter (where trial.state = 'cancelled') as cancelled,
    count(*) filter (where trial.source = 'proposed' and trial.finished_at is not null) as ended,
    coalesce(sum(trial.attempts), 0) as attempts,
    min(trial.loss) as best_loss
  from ledger.trial
  where trial.study_id = study.id) as trials
left join lateral (
  select scored.metric, ledger.number(trial.metrics -> scored.metric) as score
  from ledger.trial
  -- an own objective may report an accuracy
  cross join lateral (select coalesce(study.spec -> 'objective' ->> 'metric', 'accuracy') as name) as asked
  cross join lateral (select case when trial.metrics ? asked.name then asked.name end as metric) as scored
  where trial.study_id = study.id and trial.state = 'complete'
  order by trial.loss, trial.number
  limit 1) as best on true
group by study.id, trials.ended, trials.complete, trials.running, trials.pending, trials.failed, trials.cancelled,
  trials.attempts, trials.best_loss, best.metric, best.score
order by study.created_at, study.id;

comment on view ledger.progress is
  'The progress and the best result of each study; one row for each study, the oldest first.';
comment on column ledger.progress.study is 'Name of the study.';
comment on column ledger.progress.state is 'State of the study: running, paused, complete, failed or cancelled.';
comment on column ledger.progress.iterations_told is
  'Number of iterations whose trials have all ended; in steady mode, number of ended trials divided by the batch size.';
comment on column ledger.progress.iterations is 'The budget, in iterations.';
comment on column ledger.progress.complete is 'Number of complete trials, which have a loss.';
comment on column ledger.progress.running is 'Number of trials that a worker holds now.';
comment on column ledger.progress.pending is 'Number of trials that wait for a worker.';
comment on column ledger.progress.failed is 'Number of failed trials.';
comment on column ledger.progress.cancelled is 'Number of cancelled trials.';
comment on column ledger.progress.attempts is 'Number of claims of its trials, including released ones.';
comment on column ledger.progress.best_loss is 'The lowest loss; null if no trial is complete.';
comment on column ledger.progress.best_score is
  'Value of the study''s metric in the trial with the lowest loss. For the built-in models, the loss follows from it.';
comment on column ledger.progress.metric is
  'Name of the study''s metric, accuracy by default; null if that trial has no such metric.';
comment on column ledger.progress.created_at is 'Time when the study was created.';
comment on column ledger.progress.elapsed is
  'Time from the creation of the study to its end or to now, including pauses.';
comment on column ledger.progress.reason is 'Reason for the state; null if none is recorded.';
