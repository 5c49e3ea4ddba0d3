-- Record that the objective failed in an attempt. The failure counts against the limit max_failures of the study. If
-- the trial has fewer failures than max_failures, the trial becomes pending again.
--   error: a description of the error for users, such as a traceback. The function removes the middle of a very long
--     error.
--   outcome: the outcome of the attempt (failed, or timeout if the worker ended the attempt at its deadline).
--   output: the text that the attempt wrote to stdout and stderr. The function stores only the end of a very long
--     output.
-- Answers:
--   retry: the trial is pending again.
--   failed: the trial has reached the limit of failures, so the trial has failed.
--   already: an earlier call with this claim recorded the failure.
--   stale, unknown: the answers stale and unknown have the same meaning as in ledger.complete.
create or replace function ledger.fail(
  study_id int, trial int, claim uuid, error text, seconds float8 default null, outcome text default 'failed',
  output text default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  said text := ledger.shortened(coalesce(fail.error, 'no reason was given'));
  reached text;
  earlier text;
begin
  perform ledger.lock_trial(fail.study_id, fail.trial, fail.claim);
  if coalesce(fail.outcome, '') not in ('failed', 'timeout') then
    raise exception 'outcome % is not one of failed and timeout', left(fail.outcome, 50)
      using errcode = 'invalid_parameter_value';
  end if;
  update ledger.trial
  set failures = trial.failures + 1, error = said, claim = null, lease_until = null, deadline_at = null,
      state = case when trial.failures + 1 >= study.max_failures then 'failed' else 'pending' end,
      finished_at = case when trial.failures + 1 >= study.max_failures then moment end,
      available_at = moment
  from ledger.study
  where study.id = fail.study_id
    and trial.study_id = fail.study_id and trial.number = fail.trial and trial.claim = fail.claim
    and trial.finished_at is null
    and not exists (
      select from ledger.cancellation
      where cancellation.study_id = trial.study_id and cancellation.trial = trial.number)
  returning case trial.state when 'failed' then 'failed' else 'retry' end into reached;
  if found then
    update ledger.attempt
    set outcome = fail.outcome, ended_at = moment, error = said, seconds = fail.seconds,
        output = ledger.kept_output(fail.output)
    where attempt.claim = fail.claim;
    return reached;
  end if;

  -- If the table cancellation contains the trial, ledger.end_cancelled cancels the trial now.
  perform ledger.end_cancelled(fail.study_id, fail.trial);
  select attempt.outcome into earlier
  from ledger.attempt
  where attempt.claim = fail.claim and attempt.study_id = fail.study_id and attempt.trial = fail.trial
  for update;
  if not found then
    return 'unknown';
  end if;
  if earlier in ('failed', 'timeout') then
    return 'already';
  end if;
  if earlier is null or earlier = 'lost' then
    update ledger.attempt
    set outcome = 'stale', ended_at = moment, error = said, seconds = fail.seconds,
        output = ledger.kept_output(fail.output)
    where attempt.claim = fail.claim;
  end if;
  return 'stale';
end
$$;

comment on function ledger.fail is
  'Record that the objective failed, or that the objective exceeded the time limit (outcome timeout). Answers retry, '
  'failed, already, stale or unknown.';
