-- Claim a study for a manager, or renew the lease of the manager's claim. A claim is a random UUID, and gives a manager
-- the exclusive control of one study. The manager creates the claim, and calls this function several times within every
-- lease.
--   manager: the name of the manager, which commands and views show to users.
--   lease_seconds: the length of the lease in seconds.
--   backend: the process id of the manager's session. The manager's database driver receives the process id from the
--     server or the pooler. Behind a pooler in transaction mode, the argument `backend` differs from the process id of
--     the PostgreSQL session. A pooler can end a session while the manager still runs. Therefore, behind a pooler, only
--     the lease decides whether the manager's claim is valid.
-- Answers:
--   held: the caller holds the claim of the study.
--   taken: another manager holds the study, and the lease of the other manager is valid. The lease of a manager is not
--     valid after the end of the manager's session.
--   unknown: no such study exists.
-- If another session keeps the row of the study locked for longer than the lock_timeout of this function, the function
-- raises the error lock_not_available.
create or replace function ledger.claim_study(
  study_id int, claim uuid, manager text, lease_seconds float8, backend int default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
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

  -- Several managers may try to take the study at the same time. Because of the lock on the study's row, only one
  -- manager at a time can continue.
  perform from ledger.study where id = claim_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  select * into held from ledger.manager where study_id = claim_study.study_id for update;
  if not ledger.lease_ended(held.lease_until, held.lease, moment)
     and not ledger.session_ended(held.backend_pid, held.backend_started_at) then
    return 'taken';
  end if;
  if held.claim is not null then
    update ledger.study set managed_seconds = managed_seconds + ledger.manager_seconds(held)
    where id = claim_study.study_id;
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
  'Take a study for a manager, or renew the manager''s claim. Answers held, taken or unknown.';
