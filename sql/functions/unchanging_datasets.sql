-- Triggers that refuse each change of a dataset, because the results of studies depend on the dataset. When a user
-- deletes the last study that uses a dataset, the ledger also deletes the dataset.
create or replace function ledger.refuse_change_of_dataset() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and not exists (
    select from ledger.study where old.sha256 = any (ledger.data_files(spec))) then
    return old;
  end if;
  raise exception '% of ledger.dataset is refused: what studies train on does not change', tg_op
    using errcode = 'restrict_violation', hint = 'It is removed with the last study that uses it.';
end
$$;
comment on function ledger.refuse_change_of_dataset is
  'Trigger: refuse to change a dataset, and to delete a dataset that a study uses.';

create or replace trigger datasets_do_not_change before update or delete on ledger.dataset
  for each row execute function ledger.refuse_change_of_dataset();
create or replace trigger datasets_are_not_truncated before truncate on ledger.dataset
  for each statement execute function ledger.refuse_change_of_dataset();

alter table ledger.dataset enable always trigger datasets_do_not_change;
alter table ledger.dataset enable always trigger datasets_are_not_truncated;
