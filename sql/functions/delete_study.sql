-- Delete a study and all rows that belong to the study. Also delete the study's data files and source texts, unless
-- another study uses the same file or the same text. If no other artifact refers to the content of a deleted artifact,
-- also discard the content.
-- Only the owner of the tables can delete a study. Answers:
--   deleted: the function deleted the study.
--   managed: a manager holds the study, so the function deleted nothing.
--   unknown: no such study exists.
create or replace function ledger.delete_study(study_id int) returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  files text[];
  texts text[];
begin
  select * into parent from ledger.study where id = delete_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if ledger.is_managed(parent.id) then
    return 'managed';
  end if;
  texts := array(
    select distinct kept.value
    from ledger.code_version, jsonb_each_text(sources) as kept
    where study_id = parent.id);
  delete from ledger.study where id = parent.id;
  files := ledger.data_files(parent.spec);
  -- While a transaction records a study with a data file, the transaction holds a lock on the file's row
  -- (ledger.hold_dataset). The clause "for update" waits until no other transaction holds a lock on the file's row.
  perform from ledger.dataset where sha256 = any (files) order by sha256 for update;
  delete from ledger.dataset as known
  where known.sha256 = any (files)
    and not exists (select from ledger.study where known.sha256 = any (ledger.data_files(spec)));
  -- While a transaction records a version of an objective's code, the transaction holds a lock on the row of each
  -- source text (ledger.add_code).
  perform from ledger.source where sha256 = any (texts) order by sha256 for update;
  delete from ledger.source
  where sha256 = any (texts)
    and not exists (
      select from ledger.code_version, jsonb_each_text(sources) as kept where kept.value = source.sha256);
  perform ledger.discard_contents();
  return 'deleted';
end
$$;

comment on function ledger.delete_study is
  'Delete a study and all its rows. Answers deleted, managed or unknown.';
