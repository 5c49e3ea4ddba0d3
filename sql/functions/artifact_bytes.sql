-- Return a piece of a content that the ledger itself keeps. If the piece does not exist, or if a store keeps the
-- content, the answer is null. The caller joins the pieces, and checks the SHA-256.
create or replace function ledger.artifact_bytes(content uuid, number int) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return (
    select bytes
    from ledger.artifact_piece
    where artifact_piece.content = artifact_bytes.content and artifact_piece.number = artifact_bytes.number);
end
$$;

comment on function ledger.artifact_bytes is
  'A piece of a content that the ledger itself keeps, from piece 0. Null after the last piece.';
