-- Record the loss of a trial. The loss must be a finite number. The ledger records at most one result of a trial. The
-- triggers of readable_rows.sql refuse values that a client of the database could not read, such as an infinite loss.
-- Answers:
--   recorded: the function recorded the result. If the manager has taken the trial back, the function still records the
--     result, unless another worker has claimed the trial.
--   already: an earlier call with the same claim recorded the result. If a worker has received no answer, the worker
--     repeats the call.
--   stale: another worker has claimed the trial, or the trial has ended. The function stores the loss only in the row
--     of the attempt, and not in the row of the trial.
--   unknown: no attempt has the claim of the caller, for example because a user has deleted the study.
-- The function stores the last part of the attempt's output in the row of the attempt.
create or replace function ledger.complete(
  study_id int, trial int, claim uuid, loss float8, metrics jsonb default '{}', seconds float8 default null,
  output text default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  earlier text;
begin
  perform ledger.lock_trial(complete.study_id, complete.trial, complete.claim);
  update ledger.trial
  set state = 'complete', loss = complete.loss, metrics = complete.metrics, error = null,
      lease_until = null, finished_at = moment
  where trial.study_id = complete.study_id and trial.number = complete.trial and trial.claim = complete.claim
    and trial.finished_at is null
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number);
  if found then
    update ledger.attempt
    set outcome = 'complete', ended_at = moment, loss = complete.loss, seconds = complete.seconds, error = null,
        output = ledger.kept_output(complete.output)
    where attempt.claim = complete.claim;
    return 'recorded';
  end if;

  -- If the table ledger.cancellation contains the trial, ledger.end_cancelled cancels the trial.
  perform ledger.end_cancelled(complete.study_id, complete.trial);
  select attempt.outcome into earlier
  from ledger.attempt
  where attempt.claim = complete.claim and attempt.study_id = complete.study_id and attempt.trial = complete.trial
  for update;
  if not found then
    return 'unknown';
  end if;
  if earlier = 'complete' then
    return 'already';
  end if;
  if earlier is null or earlier = 'lost' then
    update ledger.attempt
    set outcome = 'stale', ended_at = moment, loss = complete.loss, seconds = complete.seconds,
        output = ledger.kept_output(complete.output)
    where attempt.claim = complete.claim;
  end if;
  return 'stale';
end
$$;

comment on function ledger.complete is
  'Record the loss of a trial, which is a finite number, and the seconds of training. Answers recorded, already, stale '
  'or unknown.';
