-- Announce a worker. A worker calls this function at its start, then about every 10 seconds, and at its end. If the
-- argument `stopped` is true, the function also removes the worker's refusals. A worker can claim trials without an
-- announcement. The announcements show users which workers exist. If another session has locked the worker's row, the
-- function leaves the row unchanged, because the worker announces itself again later. The first announcement of a
-- worker also removes all workers that never had an attempt, and whose last announcement is long ago
-- (ledger.forget_workers).
create or replace function ledger.announce(
  worker text, host text, pid int, versions jsonb default '{}', stopped boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
begin
  perform ledger.end_cancelled();
  perform from ledger.worker as known where known.name = announce.worker for no key update skip locked;
  if found then
    update ledger.worker as known
    set last_seen_at = moment, stopped_at = case when announce.stopped then moment end,
        versions = case when announce.versions = '{}' then known.versions else announce.versions end
    where known.name = announce.worker;
  elsif not exists (select from ledger.worker as known where known.name = announce.worker) then
    perform ledger.forget_workers(moment);
    begin
      insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at, stopped_at)
      values (announce.worker, announce.host, announce.pid, announce.versions, moment, moment,
              case when announce.stopped then moment end)
      on conflict do nothing;
    exception when lock_not_available then
      -- The error lock_not_available means that another session has inserted a worker with the same name, but has not
      -- committed yet.
      null;
    end;
  end if;
  if stopped then
    delete from ledger.refusal where refusal.worker = announce.worker;
  end if;
end
$$;

comment on function ledger.announce is
  'Announce a worker when it starts, about every 10 seconds, and when it stops. A worker can claim trials without an '
  'announcement.';
