-- Return the seconds for which a manager has held its study. If a manager was killed, the function counts the seconds
-- until the end of the manager's lease. If the database's clock was set back after the claim, the result is 0 instead
-- of a negative number.
create or replace function ledger.manager_seconds(held ledger.manager) returns double precision
language sql volatile set search_path = pg_catalog, pg_temp
as $$
  select greatest(extract(epoch from least(ledger.clock(), held.lease_until) - held.claimed_at), 0)::float8
$$;

comment on function ledger.manager_seconds is
  'The seconds for which a manager has held its study. Internal.';
