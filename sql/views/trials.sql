-- All trials. The view does not show the claims, because only the worker that holds a trial may know the trial's claim.
-- The column `seconds` contains the training time of the attempt that completed the trial.
create or replace view ledger.trials as
select
  trial.study_id,
  study.name as study,
  trial.number as trial,
  trial.iteration,
  trial.round,
  trial.source,
  trial.retry_of,
  trial.params,
  trial.state,
  trial.loss,
  ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value,
  trial.metrics,
  -- PostgreSQL runs the subquery of the column `seconds` only if a query selects this column.
  (select max(attempt.seconds)
   from ledger.attempt
   where attempt.study_id = trial.study_id and attempt.trial = trial.number and attempt.outcome = 'complete') as seconds,
  trial.error,
  trial.attempts,
  trial.failures,
  trial.crashes,
  trial.lost,
  trial.worker,
  trial.available_at,
  trial.claimed_at,
  trial.lease_until,
  trial.deadline_at,
  trial.finished_at,
  trial.pruned_step,
  trial.pruned_loss
from ledger.trial
join ledger.study on study.id = trial.study_id;

comment on view ledger.trials is 'All trials in all states.';
comment on column ledger.trials.study is 'Name of the study.';
comment on column ledger.trials.value is
  'Value that the objective returned, such as the score of a model or an estimator; null unless the trial is complete.';
comment on column ledger.trials.seconds is
  'Seconds of training of the attempt that completed the trial, as measured by its worker; null unless complete.';
comment on column ledger.trials.trial is
  'Number of the trial within the study, from 0, in the order of insertion.';
