-- Store a file that a study trains on, if the ledger does not have the file. Return the SHA-256 of the file in
-- hexadecimal. The function calls ledger.hold_dataset, so no other transaction can delete the file before this
-- transaction ends. The caller records a study with this file in the same transaction. If a caller records no study,
-- the file belongs to no study. Therefore the function also deletes the files that were stored more than a day ago and
-- belong to no study.
create or replace function ledger.keep_dataset(name text, content bytea) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  digest text := encode(sha256(content), 'hex');
  spare text[];
begin
  -- An old snapshot could hide a study that another transaction has recorded since then.
  if current_setting('transaction_isolation') not in ('repeatable read', 'serializable') then
    -- If another transaction is recording a study with a file, that transaction has locked the file's row.
    spare := array(
      select known.sha256
      from ledger.dataset as known
      where known.created_at < ledger.clock() - interval '1 day' and known.sha256 <> digest
        and not exists (select from ledger.study where spec -> 'objective' -> 'data' ->> 'sha256' = known.sha256)
      for update skip locked);
    -- The transaction may have ended between the start of the statement above and the lock of the row.
    delete from ledger.dataset as known
    where known.sha256 = any (spare)
      and not exists (select from ledger.study where spec -> 'objective' -> 'data' ->> 'sha256' = known.sha256);
  end if;
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
  'Store a file that a study trains on, if the ledger does not have the file. Return the SHA-256 of the file. Also '
  'delete the files that were stored more than a day ago and belong to no study.';
