-- Release an unfinished trial. A worker calls this function when the worker stops. If the training of one trial takes
-- too long, the worker also calls the function for the other trials that the worker has claimed. Another worker can
-- claim the trial at once, or after a pause if workers have released the trial many times (ledger.release_pause). The
-- attempt gets the outcome `released`, so the attempt is neither a failed attempt nor a lost attempt. The answer is
-- false if the worker had already lost the claim.
create or replace function ledger.release(study_id int, trial int, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
begin
  perform ledger.lock_trial(release.study_id, release.trial, release.claim);
  update ledger.trial
  set state = 'pending', claim = null, lease_until = null, deadline_at = null,
      available_at = moment + ledger.release_pause(ledger.releases(trial))
  where trial.study_id = release.study_id and trial.number = release.trial and trial.claim = release.claim
    and trial.finished_at is null
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number);
  if not found then
    perform ledger.end_cancelled(release.study_id, release.trial);
    return false;
  end if;
  update ledger.attempt set outcome = 'released', ended_at = moment where attempt.claim = release.claim;
  return true;
end
$$;

comment on function ledger.release is
  'Give back an unfinished trial. The attempt counts against no limit. If the answer is false, the worker had already '
  'lost the claim.';
