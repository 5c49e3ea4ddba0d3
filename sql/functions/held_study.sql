-- Lock a study for the manager that holds it, and renew the manager's lease. The answer is the row of the study. The
-- answer is null if another manager has taken the study, or if the study was deleted. Functions that write for a
-- manager call this function. No other manager can take the study before the end of the caller's transaction. If
-- another session has locked the study for longer than this function's lock_timeout, the function raises
-- lock_not_available. After this error, the manager continues with work such as reaping, and later calls the function
-- again.
create or replace function ledger.held_study(study_id int, claim uuid) returns ledger.study
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
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
  'Lock a study for its manager, and renew the manager''s lease. Null if the claim does not hold the study. Internal.';
