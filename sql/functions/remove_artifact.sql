-- Remove an artifact. The ledger keeps the artifact's row, with the SHA-256 and the time of the removal. If no other
-- artifact has the same content, the ledger also discards the content. Answers:
--   removed: the function removed the artifact.
--   already: the artifact was removed before.
--   unknown: no such artifact exists.
create or replace function ledger.remove_artifact(study_id int, trial int, attempt int, name text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  known ledger.artifact;
begin
  select * into known
  from ledger.artifact
  where artifact.study_id = remove_artifact.study_id and artifact.trial = remove_artifact.trial
    and artifact.attempt = remove_artifact.attempt and artifact.name = remove_artifact.name
    and artifact.saved_at is not null
  for no key update;
  if not found then
    return 'unknown';
  end if;
  if known.removed_at is not null then
    return 'already';
  end if;
  update ledger.artifact
  set content = null, removed_at = ledger.clock()
  where artifact.study_id = known.study_id and artifact.trial = known.trial and artifact.attempt = known.attempt
    and artifact.name = known.name;
  perform ledger.discard_contents(array[known.content]);
  return 'removed';
end
$$;

comment on function ledger.remove_artifact is
  'Remove an artifact, and discard its content if no other artifact has it. Answers removed, already or unknown.';
