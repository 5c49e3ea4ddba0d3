-- Every complete trial with its rank within its study, the lowest loss first; of equal ones, the earlier.
-- Here and in the other views, windows are over the study's name, so that a question about one study reads one study.
create or replace view ledger.best_trials as
select
  study.name as study,
  rank() over (partition by study.name order by trial.loss, trial.number) as rank,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  -- an own objective may call anything its accuracy
  ledger.number(trial.metrics -> 'accuracy') as accuracy,
  trial.params,
  trial.metrics,
  trial.worker,
  trial.finished_at
from ledger.trial
join ledger.study on study.id = trial.study_id
where trial.state = 'complete';

comment on view ledger.best_trials is 'Every complete trial with its rank within its study, the lowest loss first.';
comment on column ledger.best_trials.study is 'Name of the study.';
comment on column ledger.best_trials.rank is 'From 1, the lowest loss; of equal losses, the earlier trial first.';
comment on column ledger.best_trials.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.best_trials.iteration is 'The iteration that it belongs to, from 0.';
comment on column ledger.best_trials.loss is 'What is minimised, finite.';
comment on column ledger.best_trials.accuracy is
  'The metric of that name, a share of 1 for the built-in models; null where there is none.';
comment on column ledger.best_trials.params is 'The point: an object of parameter to number, text or boolean.';
comment on column ledger.best_trials.metrics is 'What else the objective returned, an object that may be empty.';
comment on column ledger.best_trials.worker is 'Who trained it.';
comment on column ledger.best_trials.finished_at is 'When its result was recorded.';
