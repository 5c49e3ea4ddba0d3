-- Take a trial back from a worker after the end of the trial's lease (ledger.lease_ended). The lease must not have
-- changed since the manager read the lease. The trial becomes pending, or failed if the trial was lost max_lost times.
-- A pending trial keeps the worker's claim. Therefore a late result of this worker counts until another worker claims
-- the trial.
--   claim: the manager's claim of the study.
--   lease_until: the end of the lease that the manager read.
-- Only a running trial has a lease, so the statements need no condition on the state. With a condition on the state, a
-- plan could read all open trials to find one trial. The function waits for no other session. Answers:
--   pending, failed: the new state of the trial.
--   locked: another session has locked the trial's row. The manager repeats the call later.
--   null: the worker has renewed the lease, the trial was already taken back or has ended, or the manager does not hold
--     the study. If a cancellation of the trial is recorded, the call ends the trial, and the answer is also null.
create or replace function ledger.reap(study_id int, claim uuid, trial int, lease_until timestamptz) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  lease interval := (select study.lease from ledger.study where study.id = reap.study_id);
  taken ledger.trial;
begin
  if not exists (
    select from ledger.manager where manager.study_id = reap.study_id and manager.claim = reap.claim) then
    return null;
  end if;
  perform from ledger.trial
  where trial.study_id = reap.study_id and trial.number = reap.trial
    and trial.lease_until = reap.lease_until and ledger.lease_ended(trial.lease_until, lease, moment)
  for no key update skip locked;
  if not found then
    return (
      select 'locked' from ledger.trial
      where trial.study_id = reap.study_id and trial.number = reap.trial
        and trial.lease_until = reap.lease_until and ledger.lease_ended(trial.lease_until, lease, moment));
  end if;
  if exists (
    select from ledger.cancellation
    where cancellation.study_id = reap.study_id and cancellation.trial = reap.trial) then
    perform ledger.end_cancelled(reap.study_id, reap.trial);
    return null;
  end if;
  update ledger.trial
  set lost = trial.lost + 1, lease_until = null, deadline_at = null, available_at = moment,
      state = case when trial.lost + 1 >= study.max_lost then 'failed' else 'pending' end,
      finished_at = case when trial.lost + 1 >= study.max_lost then moment end,
      error = case when trial.lost + 1 >= study.max_lost
                   then format('lost %s times, the last by worker %s', trial.lost + 1, trial.worker)
                   else trial.error end
  from ledger.study
  where study.id = reap.study_id
    and trial.study_id = reap.study_id and trial.number = reap.trial
  returning trial.* into taken;
  -- If the manager took the trial back earlier, and a heartbeat then restored the claim, the ledger already records the
  -- attempt as lost.
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = 'no heartbeat within the lease'
  where attempt.claim = taken.claim and attempt.outcome is null;
  if taken.state = 'pending' then
    perform ledger.notify('ledger');
  end if;
  return taken.state;
end
$$;

comment on function ledger.reap is
  'Take a trial back after its lease has expired, for the manager that holds the study. Answers pending, failed, '
  'locked or null.';
