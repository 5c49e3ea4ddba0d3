-- A piece of the file with this SHA-256, which a study trains on: empty after the end of the file, null where the ledger has
-- no such file. The pieces one after another are the file; check its SHA-256.
--   sha256  in hexadecimal, as in the objective's data
--   first   bytes before the piece
--   bytes   bytes of the piece, at most
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
