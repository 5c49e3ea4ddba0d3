-- All complete trials. The view ranks the trials of each study by loss. If two trials have equal losses, the trial with
-- the lower number comes first. The view includes imported trials, because the optimizer also uses the losses of
-- imported trials. The column `source` shows which trials a user has imported. In other views, window functions are
-- partitioned by the study's name, so that a query for one study reads only the rows of that study. Instead of a
-- partition, the view `best_trials` uses a lateral subquery. The subquery reads only the index `trial_best`, which
-- contains the trials in the order of their ranks. Therefore a query with a condition such as `rank <= 10` reads only
-- the best trials.
create or replace view ledger.best_trials as
select
  study.name as study,
  ranked.rank,
  ranked.number as trial,
  trial.iteration,
  trial.loss,
  ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value,
  ledger.number(trial.metrics -> scored.metric) as score,
  trial.params,
  trial.metrics,
  trial.worker,
  trial.finished_at,
  trial.source,
  scored.metric,
  study.direction
from ledger.study
cross join lateral (
  select best.number, rank() over (order by best.loss, best.number) as rank
  from ledger.trial as best
  where best.study_id = study.id and best.state = 'complete') as ranked
cross join lateral (
  select trial.*
  from ledger.trial
  where trial.study_id = study.id and trial.number = ranked.number
  -- Without the clause "offset 0", the planner could read all trials of the study.
  offset 0) as trial
cross join lateral (select case when trial.metrics ? study.metric then study.metric end as metric) as scored;

comment on view ledger.best_trials is
  'All complete trials with their ranks within their studies, the best value first.';
comment on column ledger.best_trials.study is 'Name of the study.';
comment on column ledger.best_trials.rank is
  'Rank within the study; rank 1 has the lowest loss, and so the best value. If two losses are equal, the earlier '
  'trial comes first.';
comment on column ledger.best_trials.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.best_trials.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.best_trials.loss is 'The minimised loss, finite.';
comment on column ledger.best_trials.value is
  'Value that the objective returned, such as the score of a model or an estimator.';
comment on column ledger.best_trials.direction is
  'minimize or maximize: whether the lowest or the highest value is best.';
comment on column ledger.best_trials.score is
  'Value of the study''s metric; null if the value is not a number. For a model or an estimator, the loss follows from '
  'the value.';
comment on column ledger.best_trials.metric is
  'Name of the study''s metric, accuracy by default; null if the trial has no such metric.';
comment on column ledger.best_trials.params is
  'The parameters: an object with a number, text or boolean for each name.';
comment on column ledger.best_trials.metrics is
  'The other values that the objective returned: an object, which may be empty.';
comment on column ledger.best_trials.worker is 'Name of the worker that trained the trial.';
comment on column ledger.best_trials.finished_at is 'Time when the trial''s result was recorded.';
comment on column ledger.best_trials.source is 'Origin of the trial: proposed, enqueued, retried or imported.';
