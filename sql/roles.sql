-- The four roles of the ledger. Each role has only the rights that its work needs.
--   ledger_owner owns the schema, and runs `ledger db upgrade` and `ledger study delete`.
--   ledger_manager is the role of managers, and of the commands that control a study.
--   ledger_worker is the role of workers. Workers read no table or view, and only call functions such as ledger.claim.
--   ledger_reader is the role of users and dashboards, which read the views and the data files of studies.
-- Run this file in each database with a ledger, with the command `psql -d ledger -f sql/roles.sql`. The database must
-- contain only the ledger. Run the file as a superuser, or as a role with CREATEROLE that owns the database. Only a
-- superuser can revoke the right to call the functions in the list at the end of this file. If the roles exist, this
-- file restores the settings and rights of the roles, and changes nothing else.
-- ledger_manager, ledger_worker and ledger_reader cannot log in. A role that can log in can change its own password and
-- settings. If ledger_worker could log in, one worker could change the password of ledger_worker, and lock out all
-- other workers that log in as ledger_worker. Create a separate login for each service, for example by `ledger access
-- add worker-7 --as worker`. The login worker-7 inherits the rights of the role ledger_worker.
-- The role ledger_owner has no password at first, and cannot log in over a network. In psql, set a password of
-- ledger_owner with `\password ledger_owner`, which sends only a SCRAM hash to the server. After this file, run `ledger
-- db upgrade` as ledger_owner. `ledger db upgrade` also grants the four roles their rights in the schema `ledger`.
begin;
set local search_path = pg_catalog, pg_temp;

do $$
declare
  is_superuser boolean := (select rolsuper from pg_roles where rolname = current_user);
  role text;
  change text;
begin
  if to_regrole('ledger_owner') is null then create role ledger_owner login; end if;
  foreach role in array array['ledger_manager', 'ledger_worker', 'ledger_reader']
  loop
    if to_regrole(role) is null then
      execute format('create role %I nologin', role);
    end if;
    -- With older versions of the ledger, the roles ledger_manager, ledger_worker and ledger_reader could log in.
    -- Therefore each of the three roles may still have a password or settings from an older version.
    for change in
      select format('alter role %I nologin password null', role)
      from pg_roles
      where rolname = role and (rolcanlogin or is_superuser)
      union all
      select format('alter role %I%s reset all', role, ' in database ' || quote_ident(datname))
      from pg_db_role_setting
      left join pg_database on pg_database.oid = setdatabase
      where setrole = to_regrole(role)
      union all
      -- A login inherits the rights of its role, so the login does not need the permission for `set role`. Since
      -- version 16, PostgreSQL can grant a role without the permission for `set role`. If a member has the admin option
      -- for a role, the member keeps the permission for `set role`.
      select format('grant %I to %I with set false granted by %I', role, pg_get_userbyid(member),
                    pg_get_userbyid(grantor))
      from pg_auth_members as membership
      where roleid = to_regrole(role) and not admin_option
        and (to_jsonb(membership) ->> 'set_option')::boolean
    loop
      begin
        execute change;
      exception when insufficient_privilege then
        raise warning 'role % may not run `%`: run it as a superuser', current_user, change;
      end;
    end loop;
  end loop;
  -- Only a superuser or a member of a role can make this role the owner of an object.
  if not is_superuser then
    grant ledger_owner to current_user;
  end if;
end
$$;

-- Default time limits for the sessions of ledger_owner. If a client leaves a transaction open, the transaction keeps
-- its locks and its snapshot until a time limit ends the transaction. The programs of the ledger set their own time
-- limits in each session. A role can change its own time limits, so the ledger does not depend on the time limits of a
-- role (sql/functions/README.md). `ledger access add` sets the time limits of each login. If ledger_owner already has a
-- time limit, this file does not change that time limit.
do $$
declare
  wanted record;
begin
  for wanted in
    select limits.name, limits.value
    from (values ('idle_in_transaction_session_timeout', '5min'), ('lock_timeout', '10s')) as limits (name, value)
    where not exists (
      select from pg_db_role_setting as known
      cross join unnest(known.setconfig) as entry
      where known.setrole = to_regrole('ledger_owner')
        and known.setdatabase = (select oid from pg_database where datname = current_database())
        and entry like limits.name || '=%')
  loop
    begin
      execute format('alter role ledger_owner in database %I set %I = %L',
                     current_database(), wanted.name, wanted.value);
    exception when insufficient_privilege then
      raise notice 'ledger_owner keeps its own %, because % may not change the role', wanted.name, current_user;
    end;
  end loop;
end
$$;

-- The following DO block reads all object names from the system catalog, and quotes the names. Therefore no SQL
-- statement contains user input.
do $$
declare
  thing text;
  -- The schema optuna belongs to the ledger only if `ledger optuna enable` has created this schema.
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

  -- If a role other than ledger_owner created the ledger or the views for Optuna, ledger_owner becomes the owner of the
  -- ledger and of the views for Optuna.
  if to_regnamespace('ledger') is null then
    return;
  end if;
  for thing in
    select format('alter schema %I owner to ledger_owner', nspname)
    from pg_namespace
    where oid = any (of_ledger) and nspowner <> to_regrole('ledger_owner')
    union all
    -- The owner of a table always owns the sequences of the table's identity columns.
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

-- By default, PostgreSQL lets every role call the functions for advisory locks, large objects, logical messages and
-- exported snapshots. The following DO block revokes the right to call the functions for advisory locks, large objects,
-- logical messages and exported snapshots. Sessions can fill the lock table of the whole server with advisory locks,
-- and then no role can log in. Sessions can fill the disk with large objects, logical messages and exported snapshots.
-- PostgreSQL stores the rights to call built-in functions separately in each database. Only a superuser can revoke the
-- right to call a built-in function. When ledger.claim takes an advisory lock, ledger.claim has the rights of the
-- schema's owner. pg_dump and pg_restore use large objects and snapshots.
do $$
declare
  found record;
  database_owner name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    raise warning 'role % is no superuser, so every role can still fill the lock table or the disk of the server: '
      'run sql/roles.sql as a superuser', current_user;
    return;
  end if;
  for found in
    select oid::regprocedure as function, proname as name
    from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace
      and proname ~ '^(pg_(try_)?advisory_(xact_)?lock|pg_export_snapshot|pg_logical_emit_message|lo_|lo(read|write)$)'
  loop
    execute format('revoke execute on function %s from public', found.function);
    -- `lo_import` reads files of the server, and `lo_export` writes files of the server.
    if found.name not in ('lo_import', 'lo_export') then
      execute format('grant execute on function %s to ledger_owner, %I', found.function, database_owner);
    end if;
  end loop;
end
$$;

commit;
