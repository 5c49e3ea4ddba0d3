-- The regret of each complete trial, in the order of the trials' numbers.
create or replace view ledger.regret as
select
  study,
  trial,
  iteration,
  loss,
  value,
  best_loss,
  study_best,
  ledger.difference(best_loss, study_best) as simple_regret,
  ledger.difference(loss, study_best) as instantaneous_regret,
  ledger.value(best_loss, direction, loss_of_zero) as best_value
from (
  select
    study.name as study,
    trial.number as trial,
    trial.iteration,
    study.direction,
    study.loss_of_zero,
    trial.loss,
    ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value,
    min(trial.loss) over (partition by study.name order by trial.number) as best_loss,
    min(trial.loss) over (partition by study.name) as study_best
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  where trial.state = 'complete') as so_far
order by study, trial;

comment on view ledger.regret is
  'Differences from the study''s best loss; one row for each complete trial, in the order of the trials'' numbers.';
comment on column ledger.regret.study is 'Name of the study.';
comment on column ledger.regret.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.regret.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.regret.loss is 'The loss of this trial, finite.';
comment on column ledger.regret.value is 'The value of this trial, such as the score of a model or an estimator.';
comment on column ledger.regret.best_loss is 'The lowest loss of this trial and all earlier trials.';
comment on column ledger.regret.best_value is 'The best value of this trial and all earlier trials.';
comment on column ledger.regret.study_best is 'The lowest loss of the study so far.';
comment on column ledger.regret.simple_regret is
  'best_loss - study_best, at least 0: the improvement that later trials found.';
comment on column ledger.regret.instantaneous_regret is
  'loss - study_best, at least 0: the difference between this trial''s loss and the lowest loss of the study.';
