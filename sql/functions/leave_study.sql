-- Give up the claim on a study, so that another manager can take the study at once. The answer is true if the caller
-- held the claim on the study.
create or replace function ledger.leave_study(study_id int, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  delete from ledger.manager where study_id = leave_study.study_id and claim = leave_study.claim;
  return found;
end
$$;

comment on function ledger.leave_study is
  'Give up the claim on a study, so that another manager can take the study at once. Answers whether the claim held '
  'the study.';
