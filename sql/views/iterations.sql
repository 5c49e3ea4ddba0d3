-- All iterations, with the times, the losses and the surrogate of each iteration. In steady mode, the column `seen`
-- lists the trials that have ended since the previous iteration. The totals of an iteration include the trials of this
-- iteration, and the trials of all iterations whose losses the optimizer had already received (ledger.mark_told).
create or replace view ledger.iterations as
select
  iteration.study_id,
  study.name as study,
  iteration.number as iteration,
  iteration.round,
  iteration.size,
  iteration.asked_at,
  iteration.told_at,
  iteration.ask_seconds,
  iteration.tell_seconds,
  iteration.mean_loss,
  iteration.best_loss,
  ledger.value(iteration.mean_loss, study.direction, study.loss_of_zero) as mean_value,
  ledger.value(iteration.best_loss, study.direction, study.loss_of_zero) as best_value,
  iteration.surrogate,
  iteration.environment,
  iteration.seen,
  iteration.batch_size,
  iteration.first_trial,
  iteration.told,
  iteration.total_proposed,
  iteration.total_complete,
  iteration.total_failed,
  iteration.total_cancelled,
  iteration.total_attempts,
  iteration.total_failures,
  iteration.total_crashes,
  iteration.total_lost,
  iteration.last_complete,
  iteration.improvements,
  iteration.total_pruned,
  iteration.seen_rungs
from ledger.iteration
join ledger.study on study.id = iteration.study_id;

comment on view ledger.iterations is
  'All iterations with their times, their losses and the surrogates that proposed them.';
comment on column ledger.iterations.study is 'Name of the study.';
comment on column ledger.iterations.mean_value is
  'Mean value of the iteration''s complete trials; null if mean_loss is null.';
comment on column ledger.iterations.best_value is
  'Best value of the iteration''s complete trials, lowest or highest as the study''s direction says; null if best_loss '
  'is null.';
comment on column ledger.iterations.iteration is 'Number of the iteration within the study, from 0.';
