-- Announce a worker. A worker calls this function at its start, about every 10 seconds, and at its stop (with
-- stopped). The stop also removes the worker's refusals. A worker can claim trials without an announcement. The
-- announcements tell users which workers exist.
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
  if stopped then
    delete from ledger.refusal where refusal.worker = announce.worker;
  end if;
end
$$;

comment on function ledger.announce is
  'Announce a worker when it starts, every 10 seconds or so, and when it stops. Claims do not need it.';
