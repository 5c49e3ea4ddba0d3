-- The only source of time: every lease, deadline and time stamp comes from here, and clients send only durations. A test of
-- leases replaces this function; no session setting can change it.
create or replace function ledger.clock() returns timestamptz
language sql volatile parallel safe
as 'select clock_timestamp()';

comment on function ledger.clock is
  'The time by the database''s clock: the only source of every time stamp, lease and deadline.';
