-- Every iteration: when it was asked and told, what was told, and the surrogate that proposed it. In steady mode, seen
-- are the trials whose end was seen since the iteration before.
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

comment on view ledger.iterations is 'Every iteration: when it was asked and told, and the surrogate that proposed it.';
comment on column ledger.iterations.study is 'Name of the study.';
