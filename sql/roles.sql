-- The four roles of the ledger. Each role has only the rights that its work needs.
--   ledger_owner owns the schema, and runs `ledger db upgrade` and `ledger study delete`.
--   ledger_manager is the role of managers, and of the commands that control a study.
--   ledger_worker is the role of workers, which call the functions of the protocol and read no table or view.
--   ledger_reader is the role of users and dashboards, which read the views and the data files of studies.
-- Run this file once in a database that contains only the ledger, with the command `psql -d ledger -f sql/roles.sql`.
-- Run the file as a superuser, or as a role with CREATEROLE that owns the database. Running the file again changes
-- nothing. The roles have no passwords, so they cannot log in over a network. Give each service a login of its own by
-- `ledger access add worker-7 --as worker`. If two services shared a login, each service could change the other's
-- password and settings, and could see the other's statements. In psql, set a password of ledger_owner with
-- `\password ledger_owner`, which sends only a SCRAM hash to the server. Then run `ledger db upgrade` as ledger_owner.
-- The upgrade grants the rights of each role.
begin;
set local search_path = pg_catalog, pg_temp;

do $$
begin
  if to_regrole('ledger_owner') is null then create role ledger_owner login; end if;
  if to_regrole('ledger_manager') is null then create role ledger_manager login; end if;
  if to_regrole('ledger_worker') is null then create role ledger_worker login; end if;
  if to_regrole('ledger_reader') is null then create role ledger_reader login; end if;
  -- A user without superuser rights can make a role the owner of an object only if the user is a member of this role.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    grant ledger_owner to current_user;
  end if;
end
$$;

-- Time limits for sessions that do not set their own limits. A transaction that is left open keeps its locks and its
-- snapshot. The programs of the ledger set their own limits. A role can change its own limits, so the ledger does not
-- depend on these limits (sql/functions/README.md). `ledger access add` copies the limits to each login. If an
-- administrator has already set a limit, this file does not change that limit.
do $$
declare
  wanted record;
begin
  for wanted in
    select limits.role, limits.name, limits.value
    from (values
      ('ledger_owner', 'idle_in_transaction_session_timeout', '5min'),
      ('ledger_owner', 'lock_timeout', '10s'),
      ('ledger_manager', 'idle_in_transaction_session_timeout', '20s'),
      ('ledger_manager', 'lock_timeout', '5s'),
      ('ledger_manager', 'statement_timeout', '2min'),
      ('ledger_manager', 'transaction_timeout', '10min'),
      ('ledger_worker', 'idle_in_transaction_session_timeout', '20s'),
      ('ledger_worker', 'lock_timeout', '5s'),
      ('ledger_worker', 'statement_timeout', '1min'),
      ('ledger_worker', 'transaction_timeout', '1min'),
      ('ledger_reader', 'idle_in_transaction_session_timeout', '5min'),
      ('ledger_reader', 'lock_timeout', '5s'),
      ('ledger_reader', 'statement_timeout', '10min'),
      ('ledger_reader', 'transaction_timeout', '1h')) as limits (role, name, value)
    -- PostgreSQL has transaction_timeout since version 17.
    where limits.name in (select pg_settings.name from pg_settings)
      and not exists (
        select from pg_db_role_setting as known
        cross join unnest(known.setconfig) as entry
        where known.setrole = to_regrole(limits.role)
          and known.setdatabase = (select oid from pg_database where datname = current_database())
          and entry like limits.name || '=%')
  loop
    begin
      execute format('alter role %I in database %I set %I = %L',
                     wanted.role, current_database(), wanted.name, wanted.value);
    exception when insufficient_privilege then
      raise notice 'role % keeps its own %, because % may not change the role', wanted.role, wanted.name, current_user;
    end;
  end loop;
end
$$;

-- The names in these statements come from the catalog and are quoted, so no user input gets into a statement.
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

  -- If a role other than ledger_owner created the ledger or the views for Optuna, these objects get the owner
  -- ledger_owner.
  if to_regnamespace('ledger') is null then
    return;
  end if;
  for thing in
    select format('alter schema %I owner to ledger_owner', nspname)
    from pg_namespace
    where oid = any (of_ledger) and nspowner <> to_regrole('ledger_owner')
    union all
    -- The sequence of an identity column always has the same owner as the table.
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
