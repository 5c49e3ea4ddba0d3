-- Take a trial back from a worker whose lease has run out and has not changed since the manager saw it: to pending, or to
-- failed where the trial was lost max_lost times. The worker's claim stays on the pending trial, so that its late result
-- counts until another worker claims the trial.
--   claim        the manager's claim of the study
--   lease_until  the lease as the manager saw it
-- A trial with a lease is running. A condition on the state would let a plan read all open trials to find one.
-- Answers: pending, failed, or null where the lease was renewed, the trial was taken back or has ended, or the manager does
-- not hold the study.
create or replace function ledger.reap(study_id int, claim uuid, trial int, lease_until timestamptz) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  taken ledger.trial;
begin
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
    and trial.lease_until = reap.lease_until and trial.lease_until < moment
    and exists (
      select from ledger.manager where manager.study_id = reap.study_id and manager.claim = reap.claim)
  returning trial.* into taken;
  if not found then
    return null;
  end if;
  -- A claim that was revived and lost again has a lost attempt already.
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = 'no heartbeat within the lease'
  where attempt.claim = taken.claim and attempt.outcome is null;
  if taken.state = 'pending' then
    notify ledger;
  end if;
  return taken.state;
end
$$;

comment on function ledger.reap is
  'Take a trial back from a worker whose lease has run out, for the manager that holds the study. Answers pending, '
  'failed or null.';
