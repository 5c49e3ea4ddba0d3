-- End a trial that the study's rule of early stopping stops. A verdict of ledger.report must stop the trial. The trial
-- keeps the step and the loss of this verdict, and has no final loss.
-- Answers:
--   pruned: the function ended the trial. The function also ends the trial if the manager has taken the trial back, but
--     no other worker has claimed the trial.
--   continue: no verdict stops the trial, so the function changed nothing. The worker continues the training, or reports
--     a failure.
--   already: an earlier call with the same claim ended the trial.
--   stale, unknown: the answers `stale` and `unknown` have the same meaning as in ledger.complete.
-- The function stores the last part of the attempt's output in the row of the attempt.
create or replace function ledger.prune(
  study_id int, trial int, claim uuid, seconds float8 default null, output text default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  last ledger.verdict;
  earlier text;
begin
  if ledger.held_attempt(prune.study_id, prune.trial, prune.claim) is not null then
    select verdict.* into last
    from ledger.verdict
    where verdict.study_id = prune.study_id and verdict.trial = prune.trial and verdict.stops and not verdict.audited
    order by verdict.rung
    limit 1;
    if not found then
      return 'continue';
    end if;
    update ledger.trial
    set state = 'pruned', pruned_step = last.step, pruned_loss = last.loss, error = null, lease_until = null,
        finished_at = moment
    where trial.study_id = prune.study_id and trial.number = prune.trial;
    update ledger.attempt
    set outcome = 'pruned', ended_at = moment, seconds = prune.seconds, error = null,
        output = ledger.kept_output(prune.output)
    where attempt.claim = prune.claim;
    return 'pruned';
  end if;

  select attempt.outcome into earlier
  from ledger.attempt
  where attempt.claim = prune.claim and attempt.study_id = prune.study_id and attempt.trial = prune.trial
  for update;
  if not found then
    return 'unknown';
  end if;
  if earlier = 'pruned' then
    return 'already';
  end if;
  if earlier is null or earlier = 'lost' then
    update ledger.attempt
    set outcome = 'stale', ended_at = moment, seconds = prune.seconds, output = ledger.kept_output(prune.output)
    where attempt.claim = prune.claim;
  end if;
  return 'stale';
end
$$;

comment on function ledger.prune is
  'End a trial that the study''s rule of early stopping stops. Answers pruned, continue, already, stale or unknown.';
