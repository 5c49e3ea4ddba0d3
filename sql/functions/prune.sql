-- End or pause a trial that the study's rule of early stopping has stopped. If a recorded verdict stops the trial, the
-- function ends the trial, except with the rule `promotion` in steady mode. The function copies the step and the loss
-- of the verdict into the trial's row. A pruned trial has no final loss. With the rule `promotion` in steady mode, the
-- function pauses the trial instead. With the rule `promotion` in batch mode, the function pauses a trial at a rung
-- without a verdict. In batch mode, ledger.promote lets the paused trial go on, or prunes the trial. In steady mode,
-- ledger.promote_waiting lets the paused trial go on, or ledger.prune_paused prunes the trial. Answers:
--   pruned: the function ended the trial. The worker may have lost its claim before. In this case, the function ends
--     the trial only if no other worker has claimed the trial since then.
--   paused: the rule is `promotion`, and the trial waits at a rung. The attempt has ended, and does not count as a
--     failed, crashed or lost attempt.
--   continue: no verdict stops the trial, so the function changed nothing. The worker continues the training, or reports
--     a failure.
--   already: an earlier call with the same claim ended or paused the trial.
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
  held int := ledger.held_attempt(prune.study_id, prune.trial, prune.claim);
  parent ledger.study;
  is_promotion boolean;
  last ledger.verdict;
  reached text;
  earlier text;
begin
  if held is not null then
    select verdict.* into last
    from ledger.verdict
    where verdict.study_id = prune.study_id and verdict.trial = prune.trial and verdict.stops and not verdict.audited
      and not exists (
        select from ledger.promotion
        where promotion.study_id = verdict.study_id and promotion.trial = verdict.trial
          and promotion.rung = verdict.rung)
    order by verdict.rung
    limit 1;
    select * into parent from ledger.study where id = prune.study_id;
    is_promotion := coalesce(parent.spec -> 'stopping' ->> 'rule' = 'promotion', false);
    if last.trial is not null and not (is_promotion and coalesce(parent.spec ->> 'mode', 'batch') = 'steady') then
      update ledger.trial
      set state = 'pruned', pruned_step = last.step, pruned_loss = last.loss, error = null, lease_until = null,
          finished_at = moment
      where trial.study_id = prune.study_id and trial.number = prune.trial;
      reached := 'pruned';
    elsif is_promotion and (
      last.trial is not null or ledger.decide(prune.study_id, prune.trial, held, moment) = 'stop') then
      update ledger.trial
      set state = 'paused', claim = null, lease_until = null, deadline_at = null
      where trial.study_id = prune.study_id and trial.number = prune.trial;
      reached := 'paused';
    else
      return 'continue';
    end if;
    update ledger.attempt
    set outcome = reached, ended_at = moment, seconds = prune.seconds, error = null,
        output = ledger.kept_output(prune.output)
    where attempt.claim = prune.claim;
    return reached;
  end if;

  select attempt.outcome into earlier
  from ledger.attempt
  where attempt.claim = prune.claim and attempt.study_id = prune.study_id and attempt.trial = prune.trial
  for update;
  if not found then
    return 'unknown';
  end if;
  if earlier in ('pruned', 'paused') then
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
  'End a trial that the study''s rule of early stopping stops, or pause a trial at a rung of the rule promotion. Answers '
  'pruned, paused, continue, already, stale or unknown.';
