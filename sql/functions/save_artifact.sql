-- Save an artifact whose content the worker has written. From now on, readers see the artifact. If the ledger itself
-- keeps the content, the function checks the SHA-256 of the content.
--   content: the id that ledger.begin_artifact answered. If a worker repeats a call of ledger.begin_artifact, the earlier
--     call can reach the database after the later call, and then replaces the content that the worker writes. The worker
--     has not written the new content, so the SHA-256 is not enough to identify the content.
-- Answers:
--   saved: the function saved the artifact.
--   already: an earlier call saved this artifact with this content.
--   unbegun: the worker is not writing an artifact with this name and this content.
--   stale, unknown: the claim is not valid. The answers `stale` and `unknown` have the same meaning as in
--     ledger.complete.
-- After the function has saved a checkpoint, the trial keeps only its last ledger.kept_checkpoints() checkpoints. The
-- function deletes the older checkpoints, including the checkpoints of earlier attempts. The function skips a
-- checkpoint that another session has locked.
create or replace function ledger.save_artifact(study_id int, trial int, claim uuid, name text, content uuid)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  held int := ledger.held_attempt(save_artifact.study_id, save_artifact.trial, save_artifact.claim);
  known ledger.artifact;
  target ledger.artifact_content;
  digest text;
  unneeded uuid[];
begin
  if held is null then
    return ledger.invalid_claim(save_artifact.study_id, save_artifact.trial, save_artifact.claim);
  end if;
  select * into known
  from ledger.artifact
  where artifact.study_id = save_artifact.study_id and artifact.trial = save_artifact.trial
    and artifact.attempt = held and artifact.name = save_artifact.name
  for no key update;
  if known.uploading is distinct from save_artifact.content then
    return case when known.content = save_artifact.content then 'already' else 'unbegun' end;
  end if;
  select * into target from ledger.artifact_content where id = known.uploading;
  if target.stored_at is null then
    if target.store is null then
      select encode(sha256(coalesce(string_agg(piece.bytes, '' order by piece.number), '')), 'hex') into digest
      from ledger.artifact_piece as piece
      where piece.content = target.id;
      if digest <> target.sha256 then
        raise exception 'artifact %, the content: its SHA-256 is not %', save_artifact.name, target.sha256
          using errcode = 'invalid_parameter_value', hint = 'Add all pieces, or begin again with the right SHA-256.';
      end if;
    end if;
    update ledger.artifact_content set stored_at = ledger.clock() where id = target.id;
  end if;
  update ledger.artifact
  set content = target.id, uploading = null, sha256 = target.sha256, size = target.size, store = target.store,
      saved_at = ledger.clock(), removed_at = null
  where artifact.study_id = known.study_id and artifact.trial = known.trial and artifact.attempt = known.attempt
    and artifact.name = known.name;
  if known.step is not null then
    with older as (
      select attempt, name
      from ledger.artifact
      where artifact.study_id = known.study_id and artifact.trial = known.trial and artifact.step is not null
        and artifact.content is not null
      order by attempt desc, step desc
      offset ledger.kept_checkpoints()
      for update skip locked),
    deleted as (
      delete from ledger.artifact as gone
      using older
      where gone.study_id = known.study_id and gone.trial = known.trial
        and (gone.attempt, gone.name) = (older.attempt, older.name)
      returning gone.content, gone.uploading)
    select array_agg(content) || array_agg(uploading) into unneeded from deleted;
  end if;
  if known.content <> target.id then
    unneeded := array_append(unneeded, known.content);
  end if;
  if unneeded is not null then
    perform ledger.discard_contents(unneeded);
  end if;
  return 'saved';
end
$$;

comment on function ledger.save_artifact is
  'Save an artifact whose content is complete. Answers saved, already, unbegun, stale or unknown.';
