-- Pause a running study, so that workers can claim no more trials of the study. The workers still train the running
-- trials to their end. The function returns the state of the study after the call, or `unknown` if the study does not
-- exist.
create or replace function ledger.pause(study_id int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  reached text;
begin
  select state into reached from ledger.study where id = pause.study_id for no key update;
  if reached = 'running' then
    update ledger.study set state = 'paused' where id = pause.study_id;
    reached := 'paused';
  end if;
  return coalesce(reached, 'unknown');
end
$$;

comment on function ledger.pause is
  'Pause a running study. Answers the state of the study after the call, or unknown.';
