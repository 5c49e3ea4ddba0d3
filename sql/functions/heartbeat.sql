-- Renew the lease of a claim. If the function returns false, the worker has lost the claim, and must stop the training.
-- If the manager has taken the trial back, but no other worker has claimed the trial, a heartbeat restores the worker's
-- claim. If the table ledger.cancellation contains the trial, the function cancels the trial and returns false.
create or replace function ledger.heartbeat(study_id int, trial int, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  perform ledger.lock_trial(heartbeat.study_id, heartbeat.trial, heartbeat.claim);
  update ledger.trial
  set state = 'running', lease_until = ledger.clock() + study.lease
  from ledger.study
  where study.id = heartbeat.study_id
    and trial.study_id = heartbeat.study_id and trial.number = heartbeat.trial and trial.claim = heartbeat.claim
    and trial.finished_at is null
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number);
  if found then
    return true;
  end if;
  perform ledger.end_cancelled(heartbeat.study_id, heartbeat.trial);
  return false;
end
$$;

comment on function ledger.heartbeat is
  'Renew the lease of a claim. If the answer is false, the claim is lost, and the worker must stop the training.';
