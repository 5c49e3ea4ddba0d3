-- Record that the optimizer has received the losses of an iteration. All trials of the iteration must have ended.
--   size: the number of trials that the iteration had when the manager read the losses of the iteration.
--   mean_loss, best_loss: the mean loss and the lowest loss of the complete trials. The mean loss and the lowest loss
--     are null if no trial is complete.
-- Answers:
--   told: the function recorded that the optimizer has received the losses of the iteration.
--   lost: the manager does not hold the claim of the study, so the function wrote nothing.
--   changed: the function did not change the iteration. There are three possible reasons: the number of trials differs
--     from the argument `size`; a trial of the iteration is pending, running or paused; or the optimizer had already
--     received the losses.
-- With the rule `promotion` in batch mode, the function also records verdicts on the trials that never paused, such as
-- audited trials. The function records verdicts only at the rungs at which ledger.promote has compared the other
-- trials. With the rule `halving` and groups, the function records the verdicts on the trials that ended before their
-- verdicts were known.
create or replace function ledger.tell(
  study_id int, claim uuid, number int, size int, mean_loss float8, best_loss float8)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  parent ledger.study := ledger.held_study(tell.study_id, tell.claim);
  moment timestamptz := ledger.clock();
  rung bigint;
begin
  if parent.id is null then
    return 'lost';
  end if;
  -- The transaction holds a lock on the row of the study, so no trial can join the iteration before the end of the
  -- transaction.
  perform from ledger.iteration
  where study_id = parent.id and number = tell.number and told_at is null and size = tell.size
    and not exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.iteration = tell.number
        and trial.state in ('pending', 'running', 'paused'));
  if not found then
    return 'changed';
  end if;
  perform ledger.mark_told(parent.id, tell.number, moment, tell.mean_loss, tell.best_loss);
  if parent.spec -> 'stopping' ->> 'rule' = 'promotion' and coalesce(parent.spec ->> 'mode', 'batch') = 'batch' then
    foreach rung in array ledger.rungs(parent.spec -> 'stopping', tell.number) loop
      perform ledger.judge(parent.id, tell.number, rung, true, moment);
    end loop;
  elsif parent.spec -> 'stopping' ? 'group_size' then
    perform ledger.set_group_cutoffs(parent, tell.number, 9223372036854775807, tell.size, moment);
  end if;
  return 'told';
end
$$;

comment on function ledger.tell is
  'Mark an iteration as told, for the manager that holds the study. Answers told, lost or changed.';
