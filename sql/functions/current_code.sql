-- Return the number of the latest version of a study's code. The latest version is the valid version. Return null if
-- the ledger has no version of the study's code.
create or replace function ledger.current_code(study_id int) returns int
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select max(number) from ledger.code_version where code_version.study_id = current_code.study_id);
end
$$;

comment on function ledger.current_code is
  'The number of a study''s code version that is valid now. Null if the ledger has no version of the code. Internal.';
