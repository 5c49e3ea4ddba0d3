-- Every complete trial with its rank within its study, the lowest loss first; of equal ones, the earlier. Imported ones
-- too, since the proposals follow from their losses as from the others': source says which they are.
-- Here and in the other views, windows are over the study's name, so that a question about one study reads one study.
create or replace view ledger.best_trials as
select
  study.name as study,
  rank() over (partition by study.name order by trial.loss, trial.number) as rank,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  ledger.number(trial.metrics -> scored.metric) as score,
  trial.params,
  trial.metrics,
  trial.worker,
  trial.finished_at,
  trial.source,
  scored.metric
from ledger.trial
join ledger.study on study.id = trial.study_id
cross join lateral (select case when trial.metrics ? study.metric then study.metric end as metric) as scored
where trial.state = 'complete';

comment on view ledger.best_trials is 'Every complete trial with its rank within its study, the lowest loss first.';
comment on column ledger.best_trials.study is 'Name of the study.';
comment on column ledger.best_trials.rank is 'From 1, the lowest loss; of equal losses, the earlier trial first.';
comment on column ledger.best_trials.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.best_trials.iteration is 'The iteration that it belongs to, from 0.';
comment on column ledger.best_trials.loss is 'What is minimised, finite.';
comment on column ledger.best_trials.score is
  'The metric by which the study scores, for the built-in models what the loss follows from; null where it is no number.';
comment on column ledger.best_trials.metric is
  'What score is: accuracy, or the scorer that the study names; null where the trial has no such metric.';
comment on column ledger.best_trials.params is 'The point: an object of parameter to number, text or boolean.';
comment on column ledger.best_trials.metrics is 'What else the objective returned, an object that may be empty.';
comment on column ledger.best_trials.worker is 'Who trained it.';
comment on column ledger.best_trials.finished_at is 'When its result was recorded.';
comment on column ledger.best_trials.source is 'proposed, enqueued, retried or imported.';
