-- Store a data file of a study, unless the ledger already has the file. Return the SHA-256 of the file in hexadecimal.
-- The function calls ledger.hold_dataset, so no other transaction can delete the file before the caller's transaction
-- ends. The transaction that stores the file must also record the study that uses the file. If the caller records no
-- study, the stored file belongs to no study. If a file belongs to no study, and the ledger has stored the file for
-- more than a day, the function deletes the file.
create or replace function ledger.keep_dataset(name text, content bytea) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  digest text := encode(sha256(content), 'hex');
  spare text[];
begin
  -- If the isolation level is `repeatable read` or `serializable`, the function deletes no file. An old snapshot could
  -- hide a study that another transaction has recorded.
  if current_setting('transaction_isolation') not in ('repeatable read', 'serializable') then
    -- While a transaction records a study with a file, the transaction has a lock on the file's row. The query skips
    -- locked rows.
    spare := array(
      select known.sha256
      from ledger.dataset as known
      where known.created_at < ledger.clock() - interval '1 day' and known.sha256 <> digest
        and not exists (select from ledger.study where known.sha256 = any (ledger.data_files(spec)))
      for update skip locked);
    -- After the query above took its snapshot, another transaction may have recorded a study with one of the files.
    -- Therefore the following statement checks again that no study uses a file.
    delete from ledger.dataset as known
    where known.sha256 = any (spare)
      and not exists (select from ledger.study where known.sha256 = any (ledger.data_files(spec)));
  end if;
  loop
    insert into ledger.dataset (sha256, name, content, created_at)
    values (digest, keep_dataset.name, keep_dataset.content, ledger.clock())
    on conflict do nothing;
    -- If the ledger already had the file, another transaction may delete the file before ledger.hold_dataset locks the
    -- file's row.
    exit when ledger.hold_dataset(digest);
  end loop;
  return digest;
end
$$;

comment on function ledger.keep_dataset is
  'Store a file that a study trains on, if the ledger does not have the file. Return the SHA-256 of the file. Also '
  'delete the files that were stored more than a day ago and belong to no study.';
