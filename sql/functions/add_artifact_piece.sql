-- Add a piece to the content of an artifact, if the ledger itself keeps the content. The worker has called
-- ledger.begin_artifact before, and numbers the pieces from 0. Each piece except the last piece has
-- ledger.artifact_piece_size() bytes. The last piece has the remaining bytes. Answers:
--   recorded: the function added the piece.
--   already: an earlier call added the piece.
--   unbegun: the worker is not writing this artifact into the ledger.
--   stale, unknown: the claim is not valid. The answers `stale` and `unknown` have the same meaning as in
--     ledger.complete.
create or replace function ledger.add_artifact_piece(
  study_id int, trial int, claim uuid, name text, number int, bytes bytea)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  held int := ledger.held_attempt(
    add_artifact_piece.study_id, add_artifact_piece.trial, add_artifact_piece.claim);
  target ledger.artifact_content;
  wanted bigint;
begin
  if held is null then
    return ledger.invalid_claim(add_artifact_piece.study_id, add_artifact_piece.trial, add_artifact_piece.claim);
  end if;
  select known.* into target
  from ledger.artifact
  join ledger.artifact_content as known on known.id = artifact.uploading
  where artifact.study_id = add_artifact_piece.study_id and artifact.trial = add_artifact_piece.trial
    and artifact.attempt = held and artifact.name = add_artifact_piece.name
    and known.store is null and known.stored_at is null;
  if not found then
    return 'unbegun';
  end if;
  wanted := least(
    ledger.artifact_piece_size(), target.size - add_artifact_piece.number::bigint * ledger.artifact_piece_size());
  if add_artifact_piece.number is null or add_artifact_piece.number < 0 or wanted <= 0
     or octet_length(add_artifact_piece.bytes) is distinct from wanted then
    raise exception 'artifact %, piece %: % bytes do not fit into the size of the artifact',
      left(add_artifact_piece.name, 100), add_artifact_piece.number, octet_length(add_artifact_piece.bytes)
      using errcode = 'invalid_parameter_value';
  end if;
  insert into ledger.artifact_piece (content, number, bytes)
  values (target.id, add_artifact_piece.number, add_artifact_piece.bytes)
  on conflict do nothing;
  return case when found then 'recorded' else 'already' end;
end
$$;

comment on function ledger.add_artifact_piece is
  'Add a piece to an artifact that the ledger itself keeps. Answers recorded, already, unbegun, stale or unknown.';
