-- Return the time by the database's clock. The ledger computes every lease, deadline and time stamp from this time, and
-- clients send only durations. Tests of leases replace this function to set the time. No setting of a session can
-- change the time that this function returns.
create or replace function ledger.clock() returns timestamptz
language sql volatile parallel safe
as 'select clock_timestamp()';

comment on function ledger.clock is
  'The time of the database''s clock. Every time stamp, lease and deadline comes from this function.';
