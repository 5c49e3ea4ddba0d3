-- Return whether a worker announced itself recently. Such a worker counts as alive. The limit of 30 seconds is three
-- times the interval between two announcements of a worker. If the last announcement is later than `moment` by more
-- than 30 seconds, the database's clock was set back after this announcement. After the database's clock was set back
-- by more than 30 seconds, a worker does not count as alive until its next announcement.
create or replace function ledger.announced_recently(last_seen_at timestamptz, moment timestamptz) returns boolean
language sql immutable parallel safe
return last_seen_at between moment - interval '30 seconds' and moment + interval '30 seconds';

comment on function ledger.announced_recently is
  'Whether a worker''s last announcement is at most 30 seconds away from a moment, so that the worker counts as alive.';
