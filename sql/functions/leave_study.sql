-- Give up the claim on a study, so that another manager can take the study at once. The answer is true if the caller
-- held the claim on the study. The function increases the column `managed_seconds` of the study by the seconds for
-- which the manager has held the study. If another session keeps the row of the study locked for longer than the
-- lock_timeout of this function, the function does not change the column `managed_seconds`. When a manager ends, the
-- manager must not wait for a lock.
create or replace function ledger.leave_study(study_id int, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
begin
  begin
    update ledger.study set managed_seconds = managed_seconds + ledger.manager_seconds(manager)
    from ledger.manager
    where study.id = leave_study.study_id and manager.study_id = study.id and manager.claim = leave_study.claim;
  exception when lock_not_available then
    null;
  end;
  delete from ledger.manager where study_id = leave_study.study_id and claim = leave_study.claim;
  return found;
end
$$;

comment on function ledger.leave_study is
  'Give up the claim on a study, so that another manager can take the study at once. Answers whether the claim held '
  'the study.';
