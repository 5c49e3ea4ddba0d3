-- Return a version of the code of a study's objective, as an object with the keys `sha256` and `parts`. A worker
-- compares the parts of the version with the code that the worker has loaded. The answer is null if the ledger does not
-- have the version.
--   number: the number of the version. The worker reads this number from the column `code` in the answer of
--     ledger.claim.
create or replace function ledger.objective_code(study_id int, number int) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_build_object('sha256', known.sha256, 'parts', known.parts)
    from ledger.code_version as known
    where known.study_id = objective_code.study_id and known.number = objective_code.number);
end
$$;

comment on function ledger.objective_code is
  'A version of the code of a study''s objective: the hash and the parts. Null if the version does not exist.';
