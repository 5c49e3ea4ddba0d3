-- The ledger's four roles. Each role has only the rights that its work needs:
--   ledger_owner    owns the schema: `ledger db upgrade`, `ledger study delete`
--   ledger_manager  managers, and the commands that control a study
--   ledger_worker   workers: the functions of the protocol, and no table or view
--   ledger_reader   people and dashboards: the views, and the data files of studies
-- Run this file once in a database that is used for the ledger alone, as a superuser, or as the database's owner with
-- CREATEROLE. Running it again changes nothing:
--   psql -d ledger -f sql/roles.sql
-- The roles have no passwords, so they cannot log in over a network. Set a password with \password ledger_worker, which
-- sends only a SCRAM hash. Then run `ledger db upgrade` as ledger_owner, which grants the rights of each role.
-- Sessions of one role see each other's statements in pg_stat_activity. If workers do not trust each other, give each
-- worker its own login: create role worker_7 login in role ledger_worker
begin;
set local search_path = pg_catalog, pg_temp;

do $$
begin
  if to_regrole('ledger_owner') is null then create role ledger_owner login; end if;
  if to_regrole('ledger_manager') is null then create role ledger_manager login; end if;
  if to_regrole('ledger_worker') is null then create role ledger_worker login; end if;
  if to_regrole('ledger_reader') is null then create role ledger_reader login; end if;
  -- A user who is not a superuser can change an owner only to a role that the user is a member of.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    grant ledger_owner to current_user;
  end if;
end
$$;

-- Names come from the catalog and are quoted, so no input is inserted into a statement.
do $$
declare
  thing text;
  -- the schema optuna belongs to the ledger only if `ledger optuna enable` has created it
  of_ledger oid[] := array(
    select oid from pg_namespace
    where nspname = 'ledger'
      or nspname = 'optuna' and obj_description(oid, 'pg_namespace') like '%`ledger optuna enable` made this schema%');
begin
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to ledger_owner, ledger_manager, ledger_worker, ledger_reader',
                 current_database());
  execute format('grant create on database %I to ledger_owner', current_database());
  if to_regnamespace('public') is not null then
    revoke create on schema public from public;
  end if;

  -- ledger_owner becomes the owner of a ledger that another role created, and of the views for Optuna.
  if to_regnamespace('ledger') is null then
    return;
  end if;
  for thing in
    select format('alter schema %I owner to ledger_owner', nspname)
    from pg_namespace
    where oid = any (of_ledger) and nspowner <> to_regrole('ledger_owner')
    union all
    -- Sequences of identity columns follow their tables.
    select format('alter table %s owner to ledger_owner', oid::regclass)
    from pg_class
    where relnamespace = any (of_ledger) and relowner <> to_regrole('ledger_owner')
      and (relkind in ('r', 'p', 'v', 'm') or relkind = 'S' and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = pg_class.oid and deptype in ('a', 'i')))
    union all
    select format('alter routine %s owner to ledger_owner', oid::regprocedure)
    from pg_proc
    where pronamespace = any (of_ledger) and proowner <> to_regrole('ledger_owner')
    union all
    select format('alter type %s owner to ledger_owner', oid::regtype)
    from pg_type
    where typnamespace = any (of_ledger) and typtype = 'e' and typowner <> to_regrole('ledger_owner')
  loop
    execute thing;
  end loop;
end
$$;

commit;
