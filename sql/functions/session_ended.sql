-- Has the session with this process id and start ended? Every role sees the process ids of all sessions, but the start
-- only of sessions whose role it has; a session whose start cannot be seen counts as going on. Null as pid: unknown, as
-- behind a transaction pooler, so false.
create or replace function ledger.session_ended(pid int, started_at timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return session_ended.pid is not null and not exists (
  select from pg_stat_activity as session
  where session.pid = session_ended.pid
    and coalesce(session.backend_start = session_ended.started_at, true));

comment on function ledger.session_ended is
  'Whether the session with this process id and start has ended; false where that is unknown.';
