-- All studies with their definitions and states.
create or replace view ledger.studies as
select
  id,
  name,
  state,
  reason,
  budget,
  batch_size,
  seed,
  objective,
  tuples,
  direction,
  loss_of_zero,
  metric,
  created_at,
  finished_at,
  spec,
  spec_hash,
  versions,
  max_failures,
  max_crashes,
  max_lost,
  lease,
  heartbeat,
  trial_timeout,
  target,
  patience,
  timeout_seconds,
  managed_seconds,
  stopped_by,
  stopping_at,
  changed_batch_size
from ledger.study;

comment on view ledger.studies is 'All studies with their definitions and states.';
