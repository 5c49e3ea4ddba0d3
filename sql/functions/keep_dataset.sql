-- Store a file that a study trains on, if the ledger does not have the file. Return the SHA-256 of the file in
-- hexadecimal. The function calls ledger.hold_dataset, so no other transaction can delete the file before this
-- transaction ends.
create or replace function ledger.keep_dataset(name text, content bytea) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  digest text := encode(sha256(content), 'hex');
begin
  loop
    insert into ledger.dataset (sha256, name, content, created_at)
    values (digest, keep_dataset.name, keep_dataset.content, ledger.clock())
    on conflict do nothing;
    -- If the insert found that the ledger already has the file, a transaction may still delete the file before
    -- ledger.hold_dataset locks the file's row.
    exit when ledger.hold_dataset(digest);
  end loop;
  return digest;
end
$$;

comment on function ledger.keep_dataset is
  'Store a file that a study trains on, if the ledger does not have the file. Return the SHA-256 of the file.';
