-- Take a trial back from its worker, because the lease of the trial has ended (ledger.lease_ended). If a heartbeat has
-- renewed the lease since the manager read the column `lease_until`, the function does nothing. If the trial has
-- `max_lost` lost attempts, the trial becomes failed. If the trial has fewer than `max_lost` lost attempts, the trial
-- becomes pending. A pending trial keeps the claim of the worker that lost the trial. Until another worker claims the
-- trial, the ledger accepts a late result of the worker that lost the trial.
--   claim: the manager's claim of the study.
--   lease_until: the value of the column `lease_until` that the manager has read from the trial's row.
-- Only a running trial has a lease, so the SQL statements need no condition on the column `state`. With a condition on
-- the column `state`, PostgreSQL could choose a query plan that reads all open trials. The function never waits for a
-- lock of another session. Answers:
--   pending, failed: the new state of the trial.
--   locked: another session has locked the trial's row. The manager repeats the call later.
--   null: the function did not take the trial back. The possible reasons are: the worker has renewed the lease, the
--     manager has already taken the trial back, the trial has ended, or the manager does not hold the study. If the
--     table ledger.cancellation contains the trial, the function cancels the trial and returns null.
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
  -- If a heartbeat has restored the claim after an earlier call of ledger.reap, the attempt already has the outcome
  -- `lost`.
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
