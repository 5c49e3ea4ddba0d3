-- Record how a study ended: complete or failed.
--   budget  the budget that was used up; another one means that the study was extended meanwhile
-- Answers: finished; lost, where the claim does not hold the study; changed, where it has ended, was extended, or has a
-- trial that has not ended, such as a retry. Nothing is written then.
create or replace function ledger.finish(study_id int, claim uuid, state text, reason text, budget int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  parent ledger.study := ledger.held_study(finish.study_id, finish.claim);
begin
  if parent.id is null then
    return 'lost';
  end if;
  if finish.state not in ('complete', 'failed') then
    raise exception 'state % is not one of complete and failed', finish.state using errcode = 'invalid_parameter_value';
  end if;
  update ledger.study
  set state = finish.state, reason = finish.reason, finished_at = ledger.clock()
  where id = parent.id and state in ('running', 'paused') and budget = finish.budget
    and not exists (
      select from ledger.trial where trial.study_id = parent.id and trial.state in ('pending', 'running'));
  if not found then
    return 'changed';
  end if;
  -- for the workers that leave with the study
  notify ledger;
  return 'finished';
end
$$;

comment on function ledger.finish is
  'Record how a study ended, for the manager that holds it. Answers finished, lost or changed.';
