-- The best loss so far, trial by trial in the order of proposal.
create or replace view ledger.convergence as
select
  study.name as study,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  min(trial.loss) over (partition by trial.study_id order by trial.number) as best_loss,
  trial.source
from ledger.trial
join ledger.study on study.id = trial.study_id
where trial.state = 'complete'
order by trial.study_id, trial.number;
