-- Return whether the last announcement of a worker is at most 30 seconds old. A worker with a recent announcement is
-- alive. The limit of 30 seconds is three times the interval between two announcements of a worker. If the last
-- announcement is more than 30 seconds after the argument `moment`, the database's clock was set back after the
-- announcement. If the clock was set back by more than 30 seconds, the function returns false until the worker's next
-- announcement.
create or replace function ledger.announced_recently(last_seen_at timestamptz, moment timestamptz) returns boolean
language sql immutable parallel safe
return last_seen_at between moment - interval '30 seconds' and moment + interval '30 seconds';

comment on function ledger.announced_recently is
  'Whether a worker''s last announcement is at most 30 seconds away from a moment, so that the worker counts as alive.';
