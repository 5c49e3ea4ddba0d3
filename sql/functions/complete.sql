-- Record the loss of a trial, which is a finite number. A trial has at most one recorded result. Answers:
--   recorded: the function recorded the result. The function also records the result of a trial that the manager took
--     back, if no other worker has claimed the trial.
--   already: an earlier call with this claim recorded the result, and its acknowledgement was lost.
--   stale: another worker has claimed the trial, or the trial has ended. The loss is stored with the attempt only.
--   unknown: no such claim exists, or its study was deleted.
-- The attempt keeps the end of the output.
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
  if jsonb_typeof(metrics) <> 'object' then
    raise exception 'metrics are not an object: %', metrics using errcode = 'invalid_parameter_value';
  end if;
  if not (seconds >= 0 and seconds < 'infinity') then
    raise exception 'seconds are not a finite number: %', seconds using errcode = 'invalid_parameter_value';
  end if;
  update ledger.trial
  set state = 'complete', loss = complete.loss, metrics = complete.metrics, error = null,
      lease_until = null, finished_at = moment
  where trial.study_id = complete.study_id and trial.number = complete.trial and trial.claim = complete.claim
    and trial.finished_at is null;
  if found then
    update ledger.attempt
    set outcome = 'complete', ended_at = moment, loss = complete.loss, seconds = complete.seconds, error = null,
        output = ledger.kept_output(complete.output)
    where attempt.claim = complete.claim;
    return 'recorded';
  end if;

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
  'Record the loss, a finite number, and the seconds of training of a trial that is held. Answers recorded, already, '
  'stale or unknown.';
