-- Return whether a worker announced itself recently, and so counts as alive. The limit is three times the interval
-- between two announcements of a worker. If the time of the announcement is later than `moment` by more than the limit,
-- the announcement came before the database's clock was set back. The worker then counts as not alive until its next
-- announcement.
create or replace function ledger.announced_recently(last_seen_at timestamptz, moment timestamptz) returns boolean
language sql immutable parallel safe
return last_seen_at between moment - interval '30 seconds' and moment + interval '30 seconds';

comment on function ledger.announced_recently is
  'Whether a worker''s last announcement is at most 30 seconds away from a moment, so that the worker counts as alive.';
