-- Return a piece of a file that a study trains on. The piece is empty after the end of the file. The answer is null
-- if the ledger has no such file. The caller joins the pieces, and checks the SHA-256 of the file.
--   sha256: the SHA-256 in hexadecimal, as in the objective's data.
--   first: the number of bytes before the piece.
--   bytes: the largest size of the piece in bytes.
create or replace function ledger.dataset(sha256 text, first int default 0, bytes int default 67108864) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select substring(known.content from dataset.first + 1 for dataset.bytes)
    from ledger.dataset as known
    where known.sha256 = dataset.sha256);
end
$$;
comment on function ledger.dataset is
  'A piece of the file that a study trains on, empty after its end; null where the ledger has no such file.';
