-- Announce a worker. A worker calls this function at its start, about every 10 seconds, and at its stop (with
-- stopped). A worker can claim trials without an announcement. The announcements tell users which workers exist.
-- The announcement of a new worker removes workers that are long gone and never had a trial (ledger.forget_workers).
create or replace function ledger.announce(
  worker text, host text, pid int, versions jsonb default '{}', stopped boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
begin
  update ledger.worker
  set last_seen_at = moment, stopped_at = case when announce.stopped then moment end,
      versions = case when announce.versions = '{}' then worker.versions else announce.versions end
  where name = announce.worker;
  if found then
    return;
  end if;
  perform ledger.forget_workers(moment);
  insert into ledger.worker as known (name, host, pid, versions, started_at, last_seen_at, stopped_at)
  values (worker, host, pid, versions, moment, moment, case when stopped then moment end)
  on conflict (name) do update
  set last_seen_at = excluded.last_seen_at, stopped_at = excluded.stopped_at;
end
$$;

comment on function ledger.announce is
  'Announce a worker when it starts, every 10 seconds or so, and when it stops. Claims do not need it.';
