-- Return whether a lease has ended. A lease also counts as ended if its end is later than now by more than twice the
-- length of the lease. In this case, the lease was given before the database's clock was set back, and the holder has
-- not renewed the lease since. Without this rule, the claim of a dead holder would last for as long as the clock was
-- set back. The limit is twice the length of the lease, so that a small correction of the clock does not end a lease.
create or replace function ledger.lease_ended(lease_until timestamptz, lease interval, moment timestamptz)
returns boolean
language sql stable parallel safe
return lease_until < moment or lease_until > moment + 2 * lease;

comment on function ledger.lease_ended is
  'Whether a lease has ended, or was given before the database''s clock was set back by more than one lease.';
