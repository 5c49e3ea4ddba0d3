-- Lock a study for the manager that holds the study, and renew the manager's lease. The answer is the row of the study.
-- The answer is null if another manager has taken the study, or if the study was deleted. When a function such as
-- ledger.propose writes rows for a manager, the function calls ledger.held_study. No other manager can take the study
-- before the end of the caller's transaction. If another session keeps the row of the study locked for longer than the
-- lock_timeout of this function, the function raises the error lock_not_available. After the error lock_not_available,
-- the manager does other work, such as calls of ledger.reap. Later, the manager repeats the failed call.
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
