-- Store a file that a study trains on, where it is not there yet, and return its SHA-256 in hexadecimal.
create or replace function ledger.keep_dataset(name text, content bytea) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  digest text := encode(sha256(content), 'hex');
begin
  insert into ledger.dataset (sha256, name, content, created_at)
  values (digest, keep_dataset.name, keep_dataset.content, ledger.clock())
  on conflict do nothing;
  return digest;
end
$$;
comment on function ledger.keep_dataset is
  'Stores a file that a study trains on, where it is not there yet, and returns its SHA-256.';
