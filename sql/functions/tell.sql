-- Mark an iteration as told: all its trials have ended, and their losses are known to the optimizer.
--   size                  of how many trials the losses are
--   mean_loss, best_loss  of its complete trials; null where none completed
-- Answers: told; lost, where the claim does not hold the study; changed, where the iteration has another size or a trial
-- that has not ended, or is told already. Nothing is written then.
create or replace function ledger.tell(
  study_id int, claim uuid, number int, size int, mean_loss float8, best_loss float8)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  parent ledger.study := ledger.held_study(tell.study_id, tell.claim);
begin
  if parent.id is null then
    return 'lost';
  end if;
  -- Trials are added under the study's lock, so that none joins the iteration meanwhile.
  update ledger.iteration
  set told_at = ledger.clock(), mean_loss = tell.mean_loss, best_loss = tell.best_loss
  where study_id = parent.id and number = tell.number and told_at is null and size = tell.size
    and not exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.iteration = tell.number and trial.state in ('pending', 'running'));
  return case when found then 'told' else 'changed' end;
end
$$;

comment on function ledger.tell is
  'Mark an iteration as told, for the manager that holds the study. Answers told, lost or changed.';
