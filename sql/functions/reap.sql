-- Take back one claim whose lease has run out and is still the one that was seen: back to pending, or to failed where
-- the machines have lost the trial max_lost times. The claim stays on the pending trial, so that a late result of it
-- counts until somebody else claims the trial.
-- What is leased is running. To ask for that state as well, or below for those that have not ended, would let a plan read
-- all such trials by the index of them, to find one.
-- Answers: pending, failed, or null where the claim was renewed, ended or taken back meanwhile.
create or replace function ledger.reap(study_id int, trial int, lease_until timestamptz) returns text
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
  returning trial.* into taken;
  if not found then
    return null;
  end if;
  -- A claim that was revived and lost again has its lost attempt already.
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = 'no heartbeat within the lease'
  where attempt.claim = taken.claim and attempt.outcome is null;
  return taken.state;
end
$$;

comment on function ledger.reap is
  'Take back a claim whose lease has run out and is still the one that was seen. Answers pending, failed, or null '
  'where the claim was renewed, ended or taken back meanwhile.';
