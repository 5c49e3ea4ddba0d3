-- How far the search was from the best that it has found, trial by trial in the order of proposal.
create or replace view ledger.regret as
select
  study,
  trial,
  iteration,
  loss,
  best_loss,
  study_best,
  -- two finite doubles may be further apart than a double can say
  case when best_loss / 2 - study_best / 2 < 8.9e307 then best_loss - study_best else 'infinity' end as simple_regret,
  case when loss / 2 - study_best / 2 < 8.9e307 then loss - study_best else 'infinity' end as instantaneous_regret
from (
  select
    study.name as study,
    trial.number as trial,
    trial.iteration,
    trial.loss,
    min(trial.loss) over (partition by study.name order by trial.number) as best_loss,
    min(trial.loss) over (partition by study.name) as study_best
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  where trial.state = 'complete') as so_far
order by study, trial;

comment on view ledger.regret is
  'How far the search was from the best that it has found itself, one row a complete trial, in the order of proposal.';
comment on column ledger.regret.study is 'Name of the study.';
comment on column ledger.regret.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.regret.iteration is 'The iteration that it belongs to, from 0.';
comment on column ledger.regret.loss is 'The loss of this trial, finite.';
comment on column ledger.regret.best_loss is 'The lowest loss of this trial and those before it.';
comment on column ledger.regret.study_best is 'The lowest loss of the study, as far as it is.';
comment on column ledger.regret.simple_regret is 'best_loss - study_best, from 0: what was still to gain by searching on.';
comment on column ledger.regret.instantaneous_regret is 'loss - study_best, from 0: how much worse this trial is.';
