-- For each complete trial, the best loss of this trial and all earlier trials, in the order of the trials' numbers.
create or replace view ledger.convergence as
select
  study.name as study,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  min(trial.loss) over (partition by study.name order by trial.number) as best_loss,
  trial.source
from ledger.trial
join ledger.study on study.id = trial.study_id
where trial.state = 'complete'
order by trial.study_id, trial.number;

comment on view ledger.convergence is
  'The best loss so far; one row for each complete trial, in the order of the trials'' numbers.';
comment on column ledger.convergence.study is 'Name of the study.';
comment on column ledger.convergence.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.convergence.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.convergence.loss is 'The loss of this trial, finite.';
comment on column ledger.convergence.best_loss is 'The lowest loss of this trial and all earlier trials.';
comment on column ledger.convergence.source is 'Origin of the trial: proposed, enqueued, retried or imported.';
