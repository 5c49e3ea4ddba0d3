-- Remove workers that never had a trial: those that were last seen long ago, and the longest silent ones beyond the
-- largest number that the ledger keeps. No view shows work of such a worker, and a worker that is still alive announces
-- itself again. A worker with an attempt stays as long as a study of its attempts, because the views show its times.
-- A worker that another transaction has locked stays for the next call.
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
  'Remove workers that never had a trial: those that are long gone, and those beyond the most that are kept. Internal.';
