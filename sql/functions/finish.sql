-- Record the final state of a study. The final state is `complete` or `failed`.
--   budget: the budget that the study had when the manager decided to end the study. If the budget has changed after
--     the decision, a user has extended the study.
-- Answers:
--   finished: the function recorded the state.
--   lost: the manager no longer holds the claim on the study, so the function wrote nothing.
--   changed: the study has already ended, a user has extended the study, or the study has an open trial such as a
--     retry. The function did not change the study.
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
    raise exception 'state % is not one of complete and failed', left(finish.state, 50)
      using errcode = 'invalid_parameter_value';
  end if;
  update ledger.study
  set state = finish.state, reason = finish.reason, finished_at = ledger.clock()
  where id = parent.id and state in ('running', 'paused') and budget = finish.budget
    and not exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.state in ('pending', 'running', 'paused'));
  if not found then
    return 'changed';
  end if;
  -- The notification wakes the waiting workers, because a worker that waits only for this study must stop.
  perform ledger.notify('ledger');
  return 'finished';
end
$$;

comment on function ledger.finish is
  'Record the final state of a study, for the manager that holds the study. Answers finished, lost or changed.';
