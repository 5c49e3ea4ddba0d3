-- Return whether the session with the given process id and start time has ended. Every role can see the process ids of
-- all sessions. A role can see the start time of a session only if the role is a member of the role that owns the
-- session. If the function cannot see the start time of the session, the function assumes that the session is still
-- open. If the process id is null, the answer is false. The process id is null if the session is unknown, for example
-- behind a transaction pooler.
create or replace function ledger.session_ended(pid int, started_at timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return session_ended.pid is not null and not exists (
  select from pg_stat_activity as session
  where session.pid = session_ended.pid
    and coalesce(session.backend_start = session_ended.started_at, true));

comment on function ledger.session_ended is
  'Whether the session with this process id and start time has ended. False if the database cannot tell.';
