-- The one source of time: every lease, deadline and stamp comes from here, and clients send durations only.
-- A test of leases replaces this function; no session setting can forge it.
create or replace function ledger.clock() returns timestamptz
language sql volatile parallel safe
as 'select clock_timestamp()';

comment on function ledger.clock is
  'The time, from the database''s clock: the one source of every stamp, lease and deadline.';
