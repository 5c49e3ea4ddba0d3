-- Return how long a worker counts as alive after its last announcement. This time is three times the interval between
-- two announcements of a worker. If the time of a worker's last announcement is more than 30 seconds in the future, the
-- announcement came before the database's clock was set back. The worker then counts as not alive until its next
-- announcement.
create or replace function ledger.alive_for() returns interval
language sql immutable parallel safe
return interval '30 seconds';

comment on function ledger.alive_for is
  'The time for which a worker counts as alive after its last announcement.';
