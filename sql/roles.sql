-- The ledger's four roles, each of which can do no more than its work needs:
--   ledger_owner    owns the schema: `ledger db upgrade`, `ledger study delete`
--   ledger_manager  managers, and the commands that steer a study
--   ledger_worker   workers: the functions of the protocol, and no table or view
--   ledger_reader   people and dashboards: the views, and what studies train on
-- Run once in the ledger's database, which is to be the ledger's own, by a superuser, or by the database's owner with
-- CREATEROLE; running it again changes nothing:
--   psql -d ledger -f sql/roles.sql
-- The roles have no passwords, so over the network they cannot log in: give them with \password ledger_worker, which
-- sends no password but its SCRAM hash. Then `ledger db upgrade` as ledger_owner grants what each role may do.
-- Sessions of one role see each other's statements in pg_stat_activity. Where workers are not to trust each other, give
-- each a login of its own: create role worker_7 login in role ledger_worker
begin;
set local search_path = pg_catalog, pg_temp;

do $$
begin
  if to_regrole('ledger_owner') is null then create role ledger_owner login; end if;
  if to_regrole('ledger_manager') is null then create role ledger_manager login; end if;
  if to_regrole('ledger_worker') is null then create role ledger_worker login; end if;
  if to_regrole('ledger_reader') is null then create role ledger_reader login; end if;
  -- Whoever is no superuser can give things only to a role whose member they are.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    grant ledger_owner to current_user;
  end if;
end
$$;

-- Names come from the catalog and are quoted by it: no input is spliced.
do $$
declare
  thing text;
  -- the schema optuna is the ledger's where `ledger optuna enable` says so
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

  -- A ledger that somebody else made, such as a superuser, becomes the owner's, with what Optuna sees of it.
  if to_regnamespace('ledger') is null then
    return;
  end if;
  for thing in
    select format('alter schema %I owner to ledger_owner', nspname)
    from pg_namespace
    where oid = any (of_ledger) and nspowner <> to_regrole('ledger_owner')
    union all
    -- Sequences of identity columns go with their tables.
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
