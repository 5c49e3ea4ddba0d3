-- Store a file that a study trains on, where it is not stored yet, and return its SHA-256 in hexadecimal. It stays until the
-- end of the transaction, as with ledger.hold_dataset.
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
    -- A file that another transaction stored may be removed before it is held here.
    exit when ledger.hold_dataset(digest);
  end loop;
  return digest;
end
$$;

comment on function ledger.keep_dataset is
  'Store a file that a study trains on, where it is not stored yet, and return its SHA-256.';
