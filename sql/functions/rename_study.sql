-- Rename a study. Only the owner of the tables can rename a study. Answers:
--   renamed: the function renamed the study.
--   unchanged: the study already has this name.
--   taken: another study has this name.
--   managed: a manager holds the study, so the function changed nothing. A manager finds its study by the study's name,
--     so the name must not change while a manager holds the study.
--   unknown: no such study exists.
create or replace function ledger.rename_study(study_id int, name text) returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
begin
  select * into parent from ledger.study where id = rename_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if parent.name = rename_study.name then
    return 'unchanged';
  end if;
  if ledger.is_managed(parent.id) then
    return 'managed';
  end if;
  update ledger.study set name = rename_study.name where id = parent.id;
  return 'renamed';
exception when unique_violation then
  return 'taken';
end
$$;

comment on function ledger.rename_study is
  'Rename a study. Answers renamed, unchanged, taken, managed or unknown.';
