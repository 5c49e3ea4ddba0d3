-- Return whether a lease has ended. The function also returns true if the remaining time of the lease exceeds twice the
-- length of the lease. If the remaining time exceeds twice the length of the lease, the database's clock was set back
-- after the last renewal of the lease. If the lease were still valid after the clock was set back, a dead worker would
-- keep its claim for a long time. The limit is twice the length of the lease, so that a small correction of the clock
-- does not end a lease.
create or replace function ledger.lease_ended(lease_until timestamptz, lease interval, moment timestamptz)
returns boolean
language sql stable parallel safe
return lease_until < moment or lease_until > moment + 2 * lease;

comment on function ledger.lease_ended is
  'Whether a lease has ended, or was given before the database''s clock was set back by more than one lease.';
