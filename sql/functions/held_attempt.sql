-- Lock the trial of a claim, and return the number of the attempt that holds the trial. If the claim is not valid, the
-- answer is null. If the manager has taken the trial back, the claim stays valid until another worker claims the trial.
-- If the table ledger.cancellation contains the trial, the function cancels the trial.
create or replace function ledger.held_attempt(study_id int, trial int, claim uuid) returns int
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  held int;
begin
  perform ledger.lock_trial(held_attempt.study_id, held_attempt.trial, held_attempt.claim);
  select attempt.number into held
  from ledger.trial
  join ledger.attempt on attempt.claim = trial.claim
  where trial.study_id = held_attempt.study_id and trial.number = held_attempt.trial
    and trial.claim = held_attempt.claim and trial.finished_at is null
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number);
  if not found then
    perform ledger.end_cancelled(held_attempt.study_id, held_attempt.trial);
  end if;
  return held;
end
$$;

comment on function ledger.held_attempt is
  'Lock the trial of a claim, and return the number of its attempt; null if the claim is not valid. Internal.';

-- Return the answer to a call whose claim is not valid. The answer is `stale` if an attempt of the trial has the claim,
-- and `unknown` otherwise.
create or replace function ledger.invalid_claim(study_id int, trial int, claim uuid) returns text
language sql stable set search_path = pg_catalog, pg_temp
return case when exists (
  select from ledger.attempt
  where attempt.claim = invalid_claim.claim and attempt.study_id = invalid_claim.study_id
    and attempt.trial = invalid_claim.trial) then 'stale' else 'unknown' end;

comment on function ledger.invalid_claim is
  'Say why a claim is not valid: stale, or unknown if no attempt of the trial has the claim. Internal.';
