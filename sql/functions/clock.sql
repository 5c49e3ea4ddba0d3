-- Return the time by the database's clock. Every lease, deadline and time stamp comes from this function, and clients
-- send only durations. A test of leases replaces this function. No session setting can change the time.
create or replace function ledger.clock() returns timestamptz
language sql volatile parallel safe
as 'select clock_timestamp()';

comment on function ledger.clock is
  'The time by the database''s clock: the only source of every time stamp, lease and deadline.';
