-- Return how long a worker counts as alive after its last announcement. The result is three times the interval
-- between two announcements. A worker whose last announcement is more than this interval after now has announced itself
-- before the database's clock was set back, and counts as not alive until its next announcement.
create or replace function ledger.alive_for() returns interval
language sql immutable parallel safe
return interval '30 seconds';

comment on function ledger.alive_for is
  'How long a worker counts as alive after it was last seen.';
