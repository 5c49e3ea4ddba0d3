-- Lock a study for the manager that holds it, and renew its lease. Answers the study's row, or no row where the claim does
-- not hold the study: another manager has taken it, or the study was deleted. Called by functions that write for a manager,
-- in whose transaction no other manager can then take the study.
create or replace function ledger.held_study(study_id int, claim uuid) returns ledger.study
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
begin
  select * into parent from ledger.study where id = held_study.study_id for no key update;
  update ledger.manager set lease_until = ledger.clock() + lease
  where study_id = held_study.study_id and claim = held_study.claim;
  if not found then
    return null;
  end if;
  return parent;
end
$$;

comment on function ledger.held_study is
  'Lock a study for the manager that holds it, and renew its lease; null where the claim does not hold it. Internal.';
