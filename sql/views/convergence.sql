-- For each complete trial, the view shows the best loss and the best value up to this trial. The best loss is the
-- lowest loss of the trial itself and of all trials with a lower number. The rows are in the order of the trials'
-- numbers.
create or replace view ledger.convergence as
select
  study,
  trial,
  iteration,
  loss,
  value,
  best_loss,
  case
    when direction = 'maximize' then max(value) over (partition by study order by trial)
    else best_loss
  end as best_value,
  source
from (
  select
    study.id as study_id,
    study.name as study,
    study.direction,
    trial.number as trial,
    trial.iteration,
    trial.loss,
    ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value,
    min(trial.loss) over (partition by study.name order by trial.number) as best_loss,
    trial.source
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  where trial.state = 'complete') as so_far
order by study_id, trial;

comment on view ledger.convergence is
  'The best value so far; one row for each complete trial, in the order of the trials'' numbers.';
comment on column ledger.convergence.study is 'Name of the study.';
comment on column ledger.convergence.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.convergence.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.convergence.loss is 'The loss of this trial, finite.';
comment on column ledger.convergence.value is
  'The value of this trial, such as the score of a model or an estimator.';
comment on column ledger.convergence.best_loss is 'The lowest loss of this trial and all earlier trials.';
comment on column ledger.convergence.best_value is 'The best value of this trial and all earlier trials.';
comment on column ledger.convergence.source is 'Origin of the trial: proposed, enqueued, retried or imported.';
