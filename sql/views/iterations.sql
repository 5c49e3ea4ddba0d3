-- All iterations, with the times, the losses and the surrogate of each iteration. In steady mode, the column seen lists
-- the trials that ended since the previous iteration.
create or replace view ledger.iterations as
select
  iteration.study_id,
  study.name as study,
  iteration.number,
  iteration.round,
  iteration.size,
  iteration.asked_at,
  iteration.told_at,
  iteration.ask_seconds,
  iteration.tell_seconds,
  iteration.mean_loss,
  iteration.best_loss,
  iteration.surrogate,
  iteration.environment,
  iteration.seen
from ledger.iteration
join ledger.study on study.id = iteration.study_id;

comment on view ledger.iterations is
  'All iterations with their times, their losses and the surrogates that proposed them.';
comment on column ledger.iterations.study is 'Name of the study.';
