-- Refuse a transaction whose isolation level keeps an old snapshot. A transaction with an old snapshot does not see a
-- cancellation that was recorded after the transaction's first statement. With an old snapshot, a worker could complete
-- a cancelled trial.
create or replace function ledger.refuse_old_snapshot() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  isolation text := current_setting('transaction_isolation');
begin
  if isolation in ('repeatable read', 'serializable') then
    raise exception 'a worker cannot call the ledger in a transaction of isolation level %', isolation
      using errcode = 'invalid_transaction_state', hint = 'Use read committed, which is the default.';
  end if;
end
$$;

comment on function ledger.refuse_old_snapshot is
  'Refuse a transaction whose isolation level could hide a cancellation. Internal.';
