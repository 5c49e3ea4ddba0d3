-- Return the paused trials of a study in steady mode with the rule `promotion`. Each row contains the rung at which the
-- trial waits, and the step and the loss of the verdict at this rung. A trial waits at the rung whose verdict stops the
-- trial, unless the trial is audited or was promoted at this rung.
create or replace function ledger.paused_trials(study_id int)
returns table (trial int, rung bigint, step bigint, loss float8)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select verdict.trial, verdict.rung, verdict.step, verdict.loss
  from ledger.trial
  join ledger.verdict on verdict.study_id = trial.study_id and verdict.trial = trial.number
  where trial.study_id = paused_trials.study_id and trial.state = 'paused'
    and verdict.stops and not verdict.audited
    and not exists (
      select from ledger.promotion
      where promotion.study_id = verdict.study_id and promotion.trial = verdict.trial
        and promotion.rung = verdict.rung)
$$;

comment on function ledger.paused_trials is
  'The paused trials of a study in steady mode, and the rungs at which the trials wait. Internal.';
