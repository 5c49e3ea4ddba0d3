-- Every complete trial with its rank within its study, the lowest loss first; of equal ones, the earlier. Imported ones
-- too, since the proposals follow from their losses as from the others': source says which they are.
create or replace view ledger.best_trials as
select
  study.name as study,
  rank() over (partition by trial.study_id order by trial.loss, trial.number) as rank,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  -- an own objective may call anything its accuracy, and numeric holds what float8 does not
  case
    when jsonb_typeof(trial.metrics -> 'accuracy') = 'number' and abs((trial.metrics -> 'accuracy')::numeric) < 1e300
    then round((trial.metrics -> 'accuracy')::numeric, 300)::float8
  end as accuracy,
  trial.params,
  trial.metrics,
  trial.worker,
  trial.finished_at,
  trial.source
from ledger.trial
join ledger.study on study.id = trial.study_id
where trial.state = 'complete';
