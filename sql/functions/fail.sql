-- Record that the objective failed or crashed in an attempt. The setting `max_crashes` of the study limits a trial's
-- crashes, and the setting `max_failures` limits all other failures. If the trial has reached neither limit, the trial
-- becomes pending again.
--   error: a description of the error for users, such as a traceback. The function removes the middle of a very long
--     error.
--   outcome: the outcome of the attempt. The outcome `crashed` means that the trainer process ended or ran out of
--     memory. The outcome `timeout` means that the worker ended the attempt at the attempt's deadline. The outcome
--     `failed` means a failure that is neither a crash nor a timeout.
--   output: the text that the attempt wrote to stdout and stderr. The function stores only the end of a very long
--     output.
-- Answers:
--   retry: the trial is pending again.
--   failed: the trial has reached the limit of failures or of crashes, so the trial has failed.
--   already: an earlier call with the same claim recorded the failure.
--   stale, unknown: the answers `stale` and `unknown` have the same meaning as in ledger.complete.
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
  is_crash bool := fail.outcome is not distinct from 'crashed';
  reached text;
  earlier text;
begin
  perform ledger.lock_trial(fail.study_id, fail.trial, fail.claim);
  if coalesce(fail.outcome, '') not in ('failed', 'crashed', 'timeout') then
    raise exception 'outcome % is not one of failed, crashed and timeout', left(fail.outcome, 50)
      using errcode = 'invalid_parameter_value';
  end if;
  update ledger.trial
  set failures = trial.failures + (not is_crash)::int, crashes = trial.crashes + is_crash::int,
      error = said, claim = null, lease_until = null, deadline_at = null, available_at = moment,
      (state, finished_at) = (
        select case when is_last then 'failed' else 'pending' end, case when is_last then moment end
        from (
          select case when is_crash then trial.crashes + 1 >= study.max_crashes
                      else trial.failures + 1 >= study.max_failures end) as counted (is_last))
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

  -- If the table ledger.cancellation contains the trial, ledger.end_cancelled cancels the trial.
  perform ledger.end_cancelled(fail.study_id, fail.trial);
  select attempt.outcome into earlier
  from ledger.attempt
  where attempt.claim = fail.claim and attempt.study_id = fail.study_id and attempt.trial = fail.trial
  for update;
  if not found then
    return 'unknown';
  end if;
  if earlier in ('failed', 'crashed', 'timeout') then
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
  'Record that the objective failed, crashed (outcome crashed) or exceeded the time limit (outcome timeout). Answers '
  'retry, failed, already, stale or unknown.';
