-- Cancel one pending, running or paused trial. If the argument `trial` is null, cancel all open trials of the study.
-- The worker of a running trial learns of the cancellation from the answer to the worker's next heartbeat. The running
-- attempt of a cancelled trial gets the outcome `lost`. If the worker of a cancelled trial still sends a result, the
-- ledger stores the result in the attempt, and the outcome of the attempt becomes `stale`. The function never waits for
-- a lock of another session. If another session has locked the row of a trial, the function records the cancellation in
-- ledger.cancellation. If a cancellation is recorded, the worker's next call for the trial, such as a heartbeat,
-- cancels the trial. If the worker makes no more calls, ledger.end_cancelled cancels the trial as soon as no other
-- session locks the row of the trial. The answer is the number of trials that this call itself has cancelled. If the
-- argument `trial` is the number of a trial that has already ended, the function raises an error.
create or replace function ledger.cancel_trials(study_id int, trial int, reason text) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  numbers int[];
  claims uuid[];
  cancelled int;
  reached text;
  study_name text;
begin
  numbers := array(
    select trial.number
    from ledger.trial
    where trial.study_id = cancel_trials.study_id and trial.state in ('pending', 'running', 'paused')
      and (cancel_trials.trial is null or trial.number = cancel_trials.trial)
    for no key update skip locked);
  with ended as (
    update ledger.trial
    set state = 'cancelled', finished_at = moment, error = cancel_trials.reason, lease_until = null, deadline_at = null
    where trial.study_id = cancel_trials.study_id and trial.number = any (numbers)
    returning trial.claim)
  select array_agg(ended.claim), count(*) into claims, cancelled from ended;
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = cancel_trials.reason
  where attempt.claim = any (claims) and attempt.outcome is null;

  -- After the statement above, a trial is still open only if another session has locked the row of the trial. Without
  -- the condition "not exists", the clause "on conflict" would wait for another session that is deleting the trial's
  -- row in ledger.cancellation.
  insert into ledger.cancellation (study_id, trial, reason, asked_at)
  select trial.study_id, trial.number, cancel_trials.reason, moment
  from ledger.trial
  where trial.study_id = cancel_trials.study_id and trial.state in ('pending', 'running', 'paused')
    and (cancel_trials.trial is null or trial.number = cancel_trials.trial)
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number)
  on conflict do nothing;

  if cancelled = 0 and cancel_trials.trial is not null then
    select trial.state into reached
    from ledger.trial where trial.study_id = cancel_trials.study_id and trial.number = cancel_trials.trial;
    if coalesce(reached, 'missing') not in ('pending', 'running', 'paused') then
      select study.name into study_name from ledger.study where study.id = cancel_trials.study_id;
      raise exception 'trial % of study % %', cancel_trials.trial, study_name,
        coalesce('is ' || reached || ' already, and a trial that has ended does not change', 'does not exist')
        using errcode = 'object_not_in_prerequisite_state';
    end if;
  end if;
  return cancelled;
end
$$;

comment on function ledger.cancel_trials is
  'Cancel one trial that has not ended. If trial is null, cancel all trials of the study that have not ended. Answers '
  'the number of trials that this call has ended. A trial that another session has locked ends later.';
