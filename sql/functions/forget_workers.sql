-- Remove workers that never had an attempt. The function removes a worker without an attempt if the worker's last
-- announcement is older than ledger.idle_workers_kept_for(). The function keeps at most ledger.most_idle_workers()
-- workers without an attempt. Of the workers without an attempt, the function keeps the workers with the latest
-- announcements. No view refers to a removed worker, because a removed worker never had an attempt. If a removed worker
-- is still alive, the worker announces itself again. A worker with an attempt stays in the ledger until a user deletes
-- the attempt's study. For each worker with an attempt, the view ledger.utilisation needs the time of the worker's
-- start and the time of the worker's end. If another transaction has locked a worker's row, the function skips the
-- worker. A later call can remove a worker that the function has skipped.
create or replace function ledger.forget_workers(moment timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  delete from ledger.worker
  where name in (
    select idle.name
    from ledger.worker as idle
    where not exists (select from ledger.attempt where attempt.worker = idle.name)
      and (idle.last_seen_at < moment - ledger.idle_workers_kept_for() or idle.last_seen_at <= (
        select newer.last_seen_at
        from ledger.worker as newer
        where not exists (select from ledger.attempt where attempt.worker = newer.name)
        order by newer.last_seen_at desc offset ledger.most_idle_workers() limit 1))
    for update skip locked);
end
$$;

comment on function ledger.forget_workers is
  'Remove workers that never had an attempt, if they were last seen long ago or if there are too many of them. '
  'Internal.';
