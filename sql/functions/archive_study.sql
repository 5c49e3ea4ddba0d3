-- Archive a study, or take a study out of the archive. Listings do not show archived studies. Users can still read an
-- archived study. Only the owner of the tables can archive a study. Answers:
--   archived: the function archived the study.
--   restored: the function took the study out of the archive.
--   unchanged: the study was already in the requested state (in the archive, or outside the archive).
--   managed: a manager holds the study, so the function did not archive the study.
--   unknown: no such study exists.
-- Arguments:
--   archived: true to archive the study, false to take the study out of the archive.
create or replace function ledger.archive_study(study_id int, archived boolean default true) returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
begin
  select * into parent from ledger.study where id = archive_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if (parent.archived_at is not null) = archive_study.archived then
    return 'unchanged';
  end if;
  if archive_study.archived and ledger.is_managed(parent.id) then
    return 'managed';
  end if;
  update ledger.study set archived_at = case when archive_study.archived then ledger.clock() end where id = parent.id;
  return case when archive_study.archived then 'archived' else 'restored' end;
end
$$;

comment on function ledger.archive_study is
  'Archive a study, or take it out of the archive. Answers archived, restored, unchanged, managed or unknown.';
