-- Take a study for a manager, or renew what it holds. A manager holds one study by one claim, a random UUID that it draws,
-- and calls this again well within every lease.
--   manager        name of the manager, for people
--   lease_seconds  how long the claim is believed without another call
--   backend        process id of the caller's session as its driver knows it. A session behind a transaction pooler has
--                  another one, so its end says nothing about the manager, and only the lease counts.
-- Answers: held; taken, where another manager holds it: its session goes on, or is unknown, and its lease has not ended;
-- unknown, where no such study exists.
create or replace function ledger.claim_study(
  study_id int, claim uuid, manager text, lease_seconds float8, backend int default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  period interval := make_interval(secs => claim_study.lease_seconds);
  own_pid int := case when claim_study.backend = pg_backend_pid() then pg_backend_pid() end;
  own_start timestamptz;
  held ledger.manager;
begin
  select session.backend_start into own_start from pg_stat_activity as session where session.pid = own_pid;
  update ledger.manager
  set lease_until = moment + period, lease = period, backend_pid = own_pid,
      backend_started_at = own_start
  where study_id = claim_study.study_id and claim = claim_study.claim;
  if found then
    return 'held';
  end if;

  -- The study first: of several managers that take it, one goes on at a time.
  perform from ledger.study where id = claim_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  select * into held from ledger.manager where study_id = claim_study.study_id for update;
  if held.lease_until >= moment and not ledger.session_ended(held.backend_pid, held.backend_started_at) then
    return 'taken';
  end if;
  insert into ledger.manager as known
    (study_id, claim, name, backend_pid, backend_started_at, claimed_at, lease, lease_until)
  values
    (claim_study.study_id, claim_study.claim, claim_study.manager, own_pid, own_start, moment, period,
     moment + period)
  on conflict (study_id) do update
  set claim = excluded.claim, name = excluded.name, backend_pid = excluded.backend_pid,
      backend_started_at = excluded.backend_started_at, claimed_at = excluded.claimed_at, lease = excluded.lease,
      lease_until = excluded.lease_until;
  return 'held';
end
$$;

comment on function ledger.claim_study is
  'Take a study for a manager, or renew what it holds. Answers held, taken or unknown.';
