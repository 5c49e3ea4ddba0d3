-- The same as regret, iteration by iteration. One in which no trial is complete has no row.
create or replace view ledger.iteration_regret as
select
  study,
  iteration,
  complete,
  mean_loss,
  iteration_best,
  best_loss,
  study_best,
  case when best_loss / 2 - study_best / 2 < 8.9e307 then best_loss - study_best else 'infinity' end as simple_regret
from (
  select
    study,
    iteration,
    complete,
    mean_loss,
    iteration_best,
    min(iteration_best) over (partition by study order by iteration) as best_loss,
    min(iteration_best) over (partition by study) as study_best
  from (
    select
      study.name as study,
      trial.iteration,
      count(*) as complete,
      -- a sum of doubles may be beyond a double
      avg(trial.loss::numeric)::float8 as mean_loss,
      min(trial.loss) as iteration_best
    from ledger.trial
    join ledger.study on study.id = trial.study_id
    where trial.state = 'complete'
    group by study.name, trial.iteration) as of_iteration) as so_far
order by study, iteration;

comment on view ledger.iteration_regret is
  'How far the search was from the best that it has found itself, one row an iteration with a complete trial.';
comment on column ledger.iteration_regret.study is 'Name of the study.';
comment on column ledger.iteration_regret.iteration is 'Number of the iteration within the study, from 0.';
comment on column ledger.iteration_regret.complete is 'Its complete trials, at least 1.';
comment on column ledger.iteration_regret.mean_loss is 'Mean loss of its complete trials.';
comment on column ledger.iteration_regret.iteration_best is 'Lowest loss of its complete trials.';
comment on column ledger.iteration_regret.best_loss is 'The lowest loss of this iteration and those before it.';
comment on column ledger.iteration_regret.study_best is 'The lowest loss of the study, as far as it is.';
comment on column ledger.iteration_regret.simple_regret is
  'best_loss - study_best, from 0: what was still to gain by searching on.';
