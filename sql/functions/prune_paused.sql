-- Prune the paused trials of a study in steady mode with the rule `promotion`, for the manager that holds the study.
-- The manager calls the function when two conditions are true: the manager proposes no more trials, and no trial is
-- pending or running. Then no other trial can arrive at a rung. Therefore no paused trial can go on later. The function
-- copies the step and the loss of a verdict into the row of each pruned trial. This verdict is the verdict at the rung
-- at which the trial waited.
--   budget: the budget of the study when the manager decided to propose no more trials.
-- Answers:
--   pruned: the function pruned the paused trials. If another session has locked the row of a trial, the trial stays
--     paused, and the manager calls the function again.
--   lost: the manager does not hold the study, so the function wrote nothing.
--   changed: the function wrote nothing. The possible reasons are: the study has ended, the budget of the study has
--     changed, a trial is pending or running, or a paused trial can go on. Another possible reason is that the study is
--     not in steady mode, or does not have the rule `promotion`.
create or replace function ledger.prune_paused(study_id int, claim uuid, budget int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study := ledger.held_study(prune_paused.study_id, prune_paused.claim);
  waiting int[];
begin
  if parent.id is null then
    return 'lost';
  end if;
  if parent.state not in ('running', 'paused') or parent.budget <> prune_paused.budget
     or parent.spec ->> 'mode' is distinct from 'steady'
     or parent.spec -> 'stopping' ->> 'rule' is distinct from 'promotion'
     or exists (
       select from ledger.trial where trial.study_id = parent.id and trial.state in ('pending', 'running'))
     or exists (select from ledger.ready_for_promotion(parent.id, parent.spec -> 'stopping')) then
    return 'changed';
  end if;
  waiting := array(
    select trial.number
    from ledger.trial
    where trial.study_id = parent.id and trial.state = 'paused'
    for no key update skip locked);
  update ledger.trial
  set state = 'pruned', pruned_step = found.step, pruned_loss = found.loss, error = null, finished_at = moment
  from ledger.paused_trials(parent.id) as found
  where trial.study_id = parent.id and trial.number = found.trial and trial.number = any (waiting);
  return 'pruned';
end
$$;

comment on function ledger.prune_paused is
  'Prune the paused trials of a study in steady mode that has no other open trial, for the manager that holds the study. '
  'Answers pruned, lost or changed.';
