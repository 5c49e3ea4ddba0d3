-- Some views for Optuna are updatable, so a role with write privileges on a view could change the ledger. The triggers
-- in this file refuse every write to the views for Optuna.
create or replace function optuna.refuse_write() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Optuna only reads this ledger, and % of optuna.% is refused', tg_op, tg_table_name
    using errcode = 'insufficient_privilege',
      hint = 'The ledger runs the search itself; `ledger export --format optuna` writes a storage that is Optuna''s own.';
end
$$;
revoke all on function optuna.refuse_write from public;

do $$
declare
  view regclass;
begin
  for view in select oid from pg_class where relnamespace = 'optuna'::regnamespace and relkind = 'v'
  loop
    execute format('create or replace trigger refuse_write instead of insert or update or delete on %s'
                   ' for each row execute function optuna.refuse_write()', view);
  end loop;
end
$$;
