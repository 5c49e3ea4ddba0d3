-- Cancel one pending or running trial, or with null all of the study's. The worker of a running trial learns it from its next
-- heartbeat. Its attempt counts as lost; a result that still comes is kept with the attempt, as stale.
-- Answers how many trials were cancelled. A named trial that has ended is refused.
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
  -- A separate statement, which sees the attempt of a claim that the statement above waited for.
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = cancel_trials.reason
  where attempt.claim = any (claims) and attempt.outcome is null;
  return cancelled;
end
$$;

comment on function ledger.cancel_trials is
  'Cancel one trial that has not ended, or with null all trials of the study. Answers how many were cancelled.';
