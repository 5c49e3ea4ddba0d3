-- One row a study: how far it is and the best it has found. In steady mode, an iteration's worth of trials that have
-- ended counts as an iteration told.
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

comment on view ledger.progress is 'How far each study is and the best it has found, one row a study, the oldest first.';
comment on column ledger.progress.study is 'Name of the study.';
comment on column ledger.progress.state is 'running, paused, complete, failed or cancelled; the last three are ends.';
comment on column ledger.progress.iterations_told is
  'Iterations whose trials have all ended; in steady mode, trials that have ended by those of an iteration.';
comment on column ledger.progress.iterations is 'The budget, in iterations.';
comment on column ledger.progress.complete is 'Trials with a loss.';
comment on column ledger.progress.running is 'Trials that a worker holds now.';
comment on column ledger.progress.pending is 'Trials that wait for a worker.';
comment on column ledger.progress.failed is 'Trials that were given up.';
comment on column ledger.progress.cancelled is 'Trials that were cancelled.';
comment on column ledger.progress.attempts is 'Claims of its trials, those that were given back included.';
comment on column ledger.progress.best_loss is 'The lowest loss; null where no trial is complete.';
comment on column ledger.progress.best_score is
  'The metric of the trial with the lowest loss: for the built-in models the score that the loss follows from.';
comment on column ledger.progress.metric is
  'What best_score is: accuracy, or the scorer that the study names; null where that trial has no such metric.';
comment on column ledger.progress.created_at is 'When it was made.';
comment on column ledger.progress.elapsed is 'From when it was made until it ended, or until now; pauses included.';
comment on column ledger.progress.reason is 'Why it is in this state; null where there is nothing to say.';
