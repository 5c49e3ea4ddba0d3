-- Cancel one pending or running trial. If the argument trial is null, cancel all open trials of the study. The worker
-- of a running trial learns of the cancellation at its next heartbeat. The attempt counts as lost. If a result still
-- arrives, the attempt keeps the result and becomes stale.
-- The answer is the number of cancelled trials. The function refuses to cancel a single trial that has ended.
create or replace function ledger.cancel_trials(study_id int, trial int, reason text) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  claims uuid[];
  cancelled int;
  reached text;
  study_name text;
begin
  with ended as (
    update ledger.trial
    set state = 'cancelled', finished_at = moment, error = cancel_trials.reason, lease_until = null, deadline_at = null
    where trial.study_id = cancel_trials.study_id and trial.state in ('pending', 'running')
      and (cancel_trials.trial is null or trial.number = cancel_trials.trial)
    returning trial.claim)
  select array_agg(ended.claim), count(*) into claims, cancelled from ended;
  if cancelled = 0 and cancel_trials.trial is not null then
    select trial.state into reached
    from ledger.trial where trial.study_id = cancel_trials.study_id and trial.number = cancel_trials.trial;
    select study.name into study_name from ledger.study where study.id = cancel_trials.study_id;
    raise exception 'trial % of study % %', cancel_trials.trial, study_name,
      coalesce('is ' || reached || ' already, and a trial that has ended does not change', 'does not exist')
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  -- The update above may have waited for a claim, and this separate statement sees the attempt of that claim.
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = cancel_trials.reason
  where attempt.claim = any (claims) and attempt.outcome is null;
  return cancelled;
end
$$;

comment on function ledger.cancel_trials is
  'Cancel one trial that has not ended, or with null all trials of the study. Answers how many were cancelled.';
