-- Return a piece of a data file of a study. If `first` is beyond the end of the file, the piece is empty. If the ledger
-- does not have the file, the answer is null. The caller joins all pieces of the file, and checks the SHA-256 of the
-- result.
--   sha256: the SHA-256 of the file in hexadecimal. The study's objective contains the SHA-256 under the key
--     `data.sha256`.
--   first: the number of bytes of the file that come before the piece.
--   bytes: the maximum size of the piece in bytes.
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
  'A piece of a file that a study trains on. After the end of the file, the piece is empty. Null if the ledger does '
  'not have the file.';
