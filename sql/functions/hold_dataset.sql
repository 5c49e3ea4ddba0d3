-- Return whether the ledger has the file with the given SHA-256. If the file exists, no other transaction can delete
-- the file before the caller's transaction ends. The transaction that calls the function also records a study that uses
-- the file.
create or replace function ledger.hold_dataset(sha256 text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ledger.dataset where dataset.sha256 = hold_dataset.sha256 for key share;
  return found;
end
$$;

comment on function ledger.hold_dataset is
  'Whether the ledger has a file. If so, the ledger keeps the file until the end of the transaction.';
