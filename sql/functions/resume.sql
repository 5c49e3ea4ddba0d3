-- Resume a paused or failed study, and notify the workers. If a stopping criterion has ended a study, the study is
-- complete. After a criterion has ended a study, the study runs again only if a user changes the criteria
-- (ledger.set_criteria). The function returns the state of the study after the call, or `unknown` if the study does not
-- exist.
create or replace function ledger.resume(study_id int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  reached text;
begin
  select state into reached from ledger.study where id = resume.study_id for no key update;
  if reached in ('paused', 'failed') then
    update ledger.study
    set state = 'running', reason = case when stopped_by is not null then reason end, finished_at = null
    where id = resume.study_id;
    reached := 'running';
    perform ledger.notify('ledger');
  end if;
  return coalesce(reached, 'unknown');
end
$$;

comment on function ledger.resume is
  'Resume a paused or failed study. Answers the state of the study after the call, or unknown.';
