-- Return how long a worker counts as alive after its last announcement. This time is three times the interval between
-- two announcements of a worker.
create or replace function ledger.alive_for() returns interval
language sql immutable parallel safe
return interval '30 seconds';

comment on function ledger.alive_for is
  'The time for which a worker counts as alive after its last announcement.';
