-- Say who works here: at the start, now and then while idle, and at the end (stopped). Not needed to claim; it is how
-- people see the workers.
create or replace function ledger.announce(
  worker text, host text, pid int, versions jsonb default '{}', stopped boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
begin
  insert into ledger.worker as known (name, host, pid, versions, started_at, last_seen_at, stopped_at)
  values (worker, host, pid, versions, moment, moment, case when stopped then moment end)
  on conflict (name) do update
  set last_seen_at = excluded.last_seen_at, stopped_at = excluded.stopped_at,
      versions = case when excluded.versions = '{}' then known.versions else excluded.versions end;
end
$$;

comment on function ledger.announce is
  'Say who works here, at the start, every 10 seconds or so, and at the end (stopped). Not needed to claim.';
