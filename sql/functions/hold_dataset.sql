-- Is the file with this SHA-256 stored? If so, it stays until the end of the transaction, which records a study that
-- trains on it.
create or replace function ledger.hold_dataset(sha256 text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ledger.dataset where dataset.sha256 = hold_dataset.sha256 for key share;
  return found;
end
$$;

comment on function ledger.hold_dataset is
  'Whether a file is stored; it then stays until the end of the transaction.';
