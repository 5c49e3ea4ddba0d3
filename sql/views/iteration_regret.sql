-- The regret of each iteration. The regret is the difference between two losses: the best loss up to the iteration, and
-- the study's best loss. An iteration without a complete trial has no row.
create or replace view ledger.iteration_regret as
select
  study,
  iteration,
  complete,
  mean_loss,
  iteration_best,
  best_loss,
  study_best,
  ledger.difference(best_loss, study_best) as simple_regret,
  ledger.value(mean_loss, direction, loss_of_zero) as mean_value,
  ledger.value(iteration_best, direction, loss_of_zero) as iteration_best_value,
  ledger.value(best_loss, direction, loss_of_zero) as best_value
from (
  select
    study,
    direction,
    loss_of_zero,
    iteration,
    complete,
    mean_loss,
    iteration_best,
    min(iteration_best) over (partition by study order by iteration) as best_loss,
    min(iteration_best) over (partition by study) as study_best
  from (
    select
      study.name as study,
      study.direction,
      study.loss_of_zero,
      trial.iteration,
      count(*) as complete,
      -- The view computes the mean with the type numeric, because a sum of doubles can exceed the range of a double. If
      -- a mean is too small for a double, the view returns 0.
      ledger.number(to_jsonb(avg(trial.loss::numeric))) as mean_loss,
      min(trial.loss) as iteration_best
    from ledger.trial
    join ledger.study on study.id = trial.study_id
    where trial.state = 'complete'
    group by study.name, study.direction, study.loss_of_zero, trial.iteration) as of_iteration) as so_far
order by study, iteration;

comment on view ledger.iteration_regret is
  'Differences from the study''s best loss; one row for each iteration with a complete trial.';
comment on column ledger.iteration_regret.study is 'Name of the study.';
comment on column ledger.iteration_regret.iteration is 'Number of the iteration within the study, from 0.';
comment on column ledger.iteration_regret.complete is 'Number of complete trials in the iteration, at least 1.';
comment on column ledger.iteration_regret.mean_loss is 'Mean loss of the iteration''s complete trials.';
comment on column ledger.iteration_regret.iteration_best is 'Lowest loss of the iteration''s complete trials.';
comment on column ledger.iteration_regret.best_loss is 'The lowest loss of this iteration and all earlier iterations.';
comment on column ledger.iteration_regret.study_best is 'The lowest loss of the study so far.';
comment on column ledger.iteration_regret.mean_value is 'Mean value of the iteration''s complete trials.';
comment on column ledger.iteration_regret.iteration_best_value is
  'Best value of the iteration''s complete trials: the value of the loss iteration_best.';
comment on column ledger.iteration_regret.best_value is 'The best value of this iteration and all earlier iterations.';
comment on column ledger.iteration_regret.simple_regret is
  'best_loss - study_best, at least 0: the improvement that later iterations found.';
